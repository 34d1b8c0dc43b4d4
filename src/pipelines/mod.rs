//! Where pipeline definitions are looked up: directories first, then those that came with kiln.
//!
//! The real [`PipelineSource`]: each definition is read and parsed once in the life of a [`Library`], whichever thread asks.

mod built_in;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use crate::{
    compile::{Definition, PipelineSource},
    manifest::{self, Diagnostics, Source, file},
};

/// Where a distribution puts definitions, looked up after the directories that the user names.
pub const SYSTEM_DIRECTORY: &str = "/usr/share/melange/pipelines";

type Found = Result<Option<Arc<Definition>>, Diagnostics>;

/// Definitions of some directories, and those built in.
#[derive(Debug)]
pub struct Library {
    directories: Vec<PathBuf>,
    parsed: RwLock<HashMap<String, Found>>,
}

impl Library {
    /// The user's directories come first, in their order.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let system = PathBuf::from(SYSTEM_DIRECTORY);
        Self { directories: directories.into_iter().chain([system]).collect(), parsed: RwLock::default() }
    }

    fn read(&self, name: &str) -> Found {
        for directory in &self.directories {
            let path = directory.join(format!("{name}.yaml"));
            match file::bytes(&path) {
                Ok(bytes) => return parse(&file::text(&path, bytes)?, &path, false).map(Some),
                Err(error) if absent(&error) => {}
                Err(error) => return Err(file::unreadable(&path, &error).into()),
            }
        }
        let text = built_in::DEFINITIONS.iter().find(|(known, _)| *known == name).map(|(_, text)| text);
        text.map(|text| parse(text, Path::new(&format!("{name}.yaml (built in)")), true)).transpose()
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

fn parse(text: &str, path: &Path, built_in: bool) -> Result<Arc<Definition>, Diagnostics> {
    let source = Source::new(path, text);
    let step = manifest::parse_definition(text, &source)?;
    Ok(Arc::new(Definition::new(step, source, built_in)))
}

impl PipelineSource for Library {
    fn find(&self, name: &str) -> Found {
        let known = |parsed: &HashMap<String, Found>| parsed.get(name).cloned();
        // A poisoned lock still holds a whole map: entries are put in at once.
        if let Some(found) = known(&self.parsed.read().unwrap_or_else(|poisoned| poisoned.into_inner())) {
            return found;
        }
        let mut parsed = self.parsed.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        known(&parsed).unwrap_or_else(|| {
            let found = self.read(name);
            parsed.insert(name.to_owned(), found.clone());
            found
        })
    }

    fn known(&self) -> Vec<&str> {
        built_in::DEFINITIONS.iter().map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::compile::{self, Arch, Options, Recipe};

    /// A build file that uses a definition, every required input given.
    fn user_of(definition: &manifest::Step, name: &str) -> manifest::Manifest {
        let required = definition.inputs.iter().filter(|(_, input)| input.required);
        let with: Vec<String> = required.map(|(name, _)| format!("{name}: given")).collect();
        let text = format!(
            "package: {{name: p, version: '1', epoch: 0}}\nsubpackages:\n- name: q\n  pipeline:\n  - uses: {name}\n    with: {{{}}}\n",
            with.join(", ")
        );
        manifest::parse(&text, Path::new("user.yaml")).expect("the file of the test is valid")
    }

    /// The same definition, as if a user had brought it: its scripts are checked.
    struct Checked(Arc<Library>);

    impl PipelineSource for Checked {
        fn find(&self, name: &str) -> Found {
            let found = self.0.find(name)?;
            Ok(found.map(|it| Arc::new(Definition::new(it.step.clone(), it.source.clone(), false))))
        }
    }

    #[test]
    fn every_built_in_definition_compiles_and_is_shell() {
        let library = Arc::new(Library { directories: Vec::new(), parsed: RwLock::default() });
        assert_eq!(built_in::DEFINITIONS.len(), 51);
        for (name, _) in built_in::DEFINITIONS {
            let definition = library.find(name).expect("it can be parsed").expect("it is there");
            let file = user_of(&definition.step, name);
            let compiled: Result<Recipe, Diagnostics> =
                compile::compile(&file, &Options::new(Arch::X86_64), &Checked(Arc::clone(&library)));
            let recipe = compiled.unwrap_or_else(|faults| panic!("{name}: {faults}"));
            assert!(recipe.package_steps().iter().any(|steps| !steps.runs.is_empty()), "{name} runs nothing");
        }
    }

    #[test]
    fn inputs_reach_the_scripts_as_variables() {
        let library = Library { directories: Vec::new(), parsed: RwLock::default() };
        for (name, _) in built_in::DEFINITIONS {
            let definition = library.find(name).expect("it can be parsed").expect("it is there");
            let file = user_of(&definition.step, name);
            let recipe = compile::compile(&file, &Options::new(Arch::X86_64), &library);
            let recipe = recipe.unwrap_or_else(|faults| panic!("{name}: {faults}"));
            let steps = recipe.package_steps();
            for (key, value) in steps.iter().flat_map(|steps| &steps.runs).flat_map(|run| &run.environment) {
                assert!(!value.contains("${{"), "{name}: {key}={value}");
            }
        }
    }

    #[test]
    fn a_directory_wins_over_built_in_definitions_and_is_read_once() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("strip.yaml");
        fs::write(&path, "runs: mine\n").expect("it is ours");
        let library = Library::new([directory.path().to_owned()]);
        let first = library.find("strip").expect("valid").expect("there");
        assert_eq!((first.step.runs.as_str(), first.built_in), ("mine", false));
        fs::remove_file(&path).expect("it is ours");
        assert!(Arc::ptr_eq(&first, &library.find("strip").expect("valid").expect("remembered")));
        assert!(library.find("fetch").expect("valid").is_some_and(|fetch| fetch.built_in));
        assert!(library.find("no/such").expect("no fault").is_none());
    }
}
