//! Which file of `src/` uses which: imports and paths, read as text and resolved to the file that defines the name.
//!
//! A re-export (`pub use`) is followed and is no use of its own: a module that only gathers the names of its children does
//! not depend on them.

use std::collections::{BTreeMap, BTreeSet};

/// A path of modules from the root of the crate.
type Module = Vec<String>;

/// The source, by module.
pub(crate) struct Source {
    /// Name of the file and its code.
    files: BTreeMap<Module, (String, String)>,
    /// The names that a module has by `use`, and the paths that they stand for.
    names: BTreeMap<Module, BTreeMap<String, Module>>,
}

/// An import: a path, the name that it has here, and whether others see it.
struct Import {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

impl Source {
    /// Of files by their names below `src/`, without comments and tests.
    pub(crate) fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let by_module =
            files.into_iter().map(|(name, code)| (module(&name), (name, without_visibility(&code))));
        let mut source = Self { files: by_module.collect(), names: BTreeMap::new() };
        for (module, (_, code)) in &source.files {
            let imports = imports(code).into_iter();
            let names =
                imports.filter_map(|import| Some((import.name, source.absolute(module, &import.path)?)));
            source.names.insert(module.clone(), names.collect());
        }
        source
    }

    /// For each file the files that it uses.
    pub(crate) fn uses(&self) -> BTreeMap<String, BTreeSet<String>> {
        let of_file = |(module, (name, code)): (&Module, &(String, String))| {
            let imported = imports(code).into_iter().filter(|import| !import.is_public);
            let paths = imported.map(|import| import.path).chain(self.inline(module, code));
            let files = paths.filter_map(|path| self.file(&self.absolute(module, &path)?, 0));
            (name.clone(), files.filter(|file| file != name).collect())
        };
        self.files.iter().map(of_file).collect()
    }

    /// The paths that stand in the code itself.
    fn inline(&self, module: &Module, code: &str) -> Vec<Vec<String>> {
        let text: String =
            statements(code).filter(|statement| !statement.1).map(|statement| statement.0).collect();
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let paths = text.split(|c: char| !is_path(c)).map(|path| {
            let names = path.trim_end_matches(':').split("::").map(str::to_owned);
            names.collect::<Vec<String>>()
        });
        let is_ours = |path: &Vec<String>| path.len() > 1 && self.absolute(module, path).is_some();
        paths.filter(is_ours).collect()
    }

    /// A path from the root; none for another crate's.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Module> {
        let ups = path.iter().take_while(|name| *name == "super").count();
        let (base, rest) = match path.first()?.as_str() {
            "crate" => (&[][..], &path[1..]),
            "self" => (module, &path[1..]),
            "super" => (&module[..module.len().checked_sub(ups)?], &path[ups..]),
            child if self.files.contains_key(&[module, &[child.to_owned()]].concat()) => (module, path),
            _ => return None,
        };
        let rest = rest.iter().filter(|name| *name != "self");
        Some(base.iter().chain(rest).cloned().collect())
    }

    /// The file in which what a path names is defined.
    fn file(&self, path: &[String], depth: usize) -> Option<String> {
        let mut module = Module::new();
        for (at, name) in path.iter().enumerate() {
            let below = [&module[..], std::slice::from_ref(name)].concat();
            if self.files.contains_key(&below) {
                module = below;
                continue;
            }
            // A name that comes from elsewhere, perhaps by way of another one. None is longer than this.
            if let Some(target) =
                self.names.get(&module).and_then(|names| names.get(name)).filter(|_| depth < 10)
            {
                return self.file(&[target, &path[at + 1..]].concat(), depth + 1);
            }
            break;
        }
        self.files.get(&module).map(|(name, _)| name.clone())
    }
}

/// The module of a file below `src/`.
fn module(name: &str) -> Module {
    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Module::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The paths of `pub(in path)` are no uses.
fn without_visibility(code: &str) -> String {
    let mut parts = code.split("pub(in ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + "pub" + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// The code between semicolons, and whether it is an import.
fn statements(code: &str) -> impl Iterator<Item = (&str, bool)> {
    code.split_inclusive(';').flat_map(|statement| {
        let starts = |line: &str| {
            let line = line.trim_start();
            line.starts_with("use ")
                || (line.starts_with("pub") && line.contains("use ") && !line.contains("fn "))
        };
        let at = statement.lines().scan(0, |at, line| {
            let start = *at;
            *at += line.len() + 1;
            Some((start, line))
        });
        let import = at.filter(|(_, line)| starts(line)).map(|(start, _)| start).last();
        let (before, after) = statement.split_at(import.unwrap_or(statement.len()));
        [(before, false), (after, true)]
    })
}

fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for (statement, _) in statements(code).filter(|(text, is_import)| *is_import && !text.is_empty()) {
        let (visibility, tree) = statement.split_once("use ").expect("an import has the word");
        for leaf in leaves(tree.trim().trim_end_matches(';')) {
            let (path, alias) =
                leaf.split_once(" as ").map_or((&*leaf, None), |(path, name)| (path, Some(name)));
            let path: Vec<String> = path.split("::").map(|name| name.trim().to_owned()).collect();
            let last = path.iter().rfind(|name| *name != "self").cloned().unwrap_or_default();
            let name = alias.map_or(last, |name| name.trim().to_owned());
            found.push(Import { path, name, is_public: visibility.contains("pub") });
        }
    }
    found
}

/// The single paths of a tree such as `a::{b, c::{d, e}}`.
fn leaves(tree: &str) -> Vec<String> {
    let Some((start, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inner.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("there is one from the start").push(c);
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| leaves(part)).map(|leaf| format!("{}{leaf}", start.trim())).collect()
}

/// The groups of files of which each uses each other, perhaps by way of others.
pub(crate) fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        uses.keys().map(|file| (file, reach(uses, file))).collect();
    let group = |file: &String| -> BTreeSet<String> {
        let back = |other: &&String| reached.get(*other).is_some_and(|others| others.contains(file));
        reached[file].iter().copied().filter(back).cloned().collect()
    };
    let groups: BTreeSet<BTreeSet<String>> = uses.keys().map(group).filter(|group| group.len() > 1).collect();
    groups.into_iter().collect()
}

/// All files that a file uses, by way of others as well.
fn reach<'a>(uses: &'a BTreeMap<String, BTreeSet<String>>, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = uses[from].iter().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(uses.get(file).into_iter().flatten());
        }
    }
    reached
}
