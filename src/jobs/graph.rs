//! Build files as a graph: an edge leads from a build to another whose packages its guest has.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::exit::Failure;

/// What the graph needs to know of a build file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Definition {
    /// The build file.
    pub(crate) file: PathBuf,
    /// The main package, `name-version-rN`.
    pub(crate) id: String,
    /// Where its main package lies in the directory of packages, without the ending of its form.
    pub(crate) artifact: PathBuf,
    /// The names of its packages and subpackages.
    pub(crate) packages: Vec<String>,
    /// Further names that these provide.
    pub(crate) provides: Vec<String>,
    /// The packages of the build's guest, perhaps with constraints (`name>=1`).
    pub(crate) build_needs: Vec<String>,
    /// What its packages need where they are installed, perhaps with constraints.
    pub(crate) runtime_needs: Vec<String>,
}

/// Builds, and for each the builds that come before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Graph {
    definitions: Vec<Definition>,
    /// For each definition the indexes of those that it needs.
    needs: Vec<BTreeSet<usize>>,
}

impl Graph {
    /// The graph of these definitions. A build needs the definitions of its guest's packages, and of all that these need where they are
    /// installed. A definition does not need itself: an earlier version of it is installed from a repository.
    ///
    /// # Errors
    /// Two definitions of one package (2), or builds that need each other (3).
    pub(crate) fn new(definitions: Vec<Definition>) -> Result<Self, Failure> {
        let owners = owners(&definitions)?;
        let needs: Vec<BTreeSet<usize>> =
            (0..definitions.len()).map(|index| needs_of(index, &definitions, &owners)).collect();
        let graph = Self { definitions, needs };
        match graph.cycle() {
            None => Ok(graph),
            Some(cycle) => Err(graph.cycle_failure(&cycle)),
        }
    }

    /// The definitions, in their given order.
    pub(crate) fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// For each definition the indexes of those that it needs.
    pub(crate) fn needs(&self) -> &[BTreeSet<usize>] {
        &self.needs
    }

    /// An order in which each definition comes after those that it needs; the given order where there is a choice.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut left: BTreeSet<usize> = (0..self.definitions.len()).collect();
        while let Some(next) = left.iter().copied().find(|index| self.needs[*index].is_disjoint(&left)) {
            left.remove(&next);
            order.push(next);
        }
        order
    }

    /// `{"builds": [{"file", "package", "packages", "needs": [package, …]}, …]}`, in the order of the builds.
    pub(crate) fn json(&self) -> Value {
        let id = |index: usize| self.definitions[index].id.clone();
        let build = |index: usize| {
            let Definition { file, id: package, packages, .. } = &self.definitions[index];
            let needs: Vec<String> = self.needs[index].iter().map(|need| id(*need)).collect();
            json!({"file": file.to_string_lossy(), "package": package, "packages": packages, "needs": needs})
        };
        json!({"builds": self.order().into_iter().map(build).collect::<Vec<_>>()})
    }

    /// The graph in the language of Graphviz: an arrow leads from a build to each that it needs.
    pub(crate) fn dot(&self) -> String {
        let mut text = String::from("digraph builds {\n");
        for index in self.order() {
            let name = quoted(&self.definitions[index].id);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name};");
            for need in &self.needs[index] {
                let _ = writeln!(text, "  {name} -> {};", quoted(&self.definitions[*need].id));
            }
        }
        text + "}\n"
    }

    /// Definitions that need each other, the first one again at the end.
    fn cycle(&self) -> Option<Vec<usize>> {
        let ordered: BTreeSet<usize> = self.order().into_iter().collect();
        let first = (0..self.definitions.len()).find(|index| !ordered.contains(index))?;
        // Each definition without a place in the order needs another one without a place, so this walk meets itself.
        let mut path = vec![first];
        loop {
            let last = path[path.len() - 1];
            let next = *self.needs[last].iter().find(|need| !ordered.contains(need))?;
            if let Some(start) = path.iter().position(|index| *index == next) {
                path.push(next);
                return Some(path.split_off(start));
            }
            path.push(next);
        }
    }

    fn cycle_failure(&self, cycle: &[usize]) -> Failure {
        let files: Vec<String> =
            cycle.iter().map(|index| self.definitions[*index].file.display().to_string()).collect();
        Failure::build_file(
            format!("these builds need each other: {}", files.join(" needs ")),
            "build one of them first, alone, with an earlier version of the others from a repository",
        )
    }
}

/// The definition of each name. The name of a package wins over a name that another package provides; of several that provide a name,
/// the first one is taken.
fn owners(definitions: &[Definition]) -> Result<HashMap<&str, usize>, Failure> {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (index, definition) in definitions.iter().enumerate() {
        for name in &definition.packages {
            let before = owners.insert(name, index).filter(|before| *before != index);
            if let Some(before) = before {
                let (one, other) = (definitions[before].file.display(), definition.file.display());
                return Err(Failure::usage(
                    format!("two build files make the package {name}: {one} and {other}"),
                    "name only one of them",
                ));
            }
        }
    }
    for (index, definition) in definitions.iter().enumerate() {
        for provided in &definition.provides {
            owners.entry(bare_name(provided)).or_insert(index);
        }
    }
    Ok(owners)
}

fn needs_of(index: usize, definitions: &[Definition], owners: &HashMap<&str, usize>) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = definitions[index].build_needs.iter().map(String::as_str).collect();
    while let Some(need) = open.pop() {
        let owner = owners.get(bare_name(need)).copied().filter(|owner| *owner != index);
        if let Some(owner) = owner
            && found.insert(owner)
        {
            open.extend(definitions[owner].runtime_needs.iter().map(String::as_str));
        }
    }
    found
}

/// A name without its constraint (`name>=1`, `name~2`) and without its repository's tag (`name@tag`).
fn bare_name(need: &str) -> &str {
    need.split(['=', '<', '>', '~', '@']).next().unwrap_or(need).trim()
}

/// A string of DOT.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;

    /// `name: needs of the build; needs where it is installed`
    fn definition(line: &str) -> Definition {
        let (name, needs) = line.split_once(':').expect("a name");
        let (build, runtime) = needs.split_once(';').unwrap_or((needs, ""));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Definition {
            file: format!("{name}.yaml").into(),
            id: format!("{name}-1-r0"),
            artifact: format!("x86_64/{name}-1-r0").into(),
            packages: vec![name.into(), format!("{name}-dev")],
            provides: vec![format!("cmd:{name}=1-r0")],
            build_needs: words(build),
            runtime_needs: words(runtime),
        }
    }

    fn graph(lines: &[&str]) -> Result<Graph, Failure> {
        Graph::new(lines.iter().map(|line| definition(line)).collect())
    }

    fn order(lines: &[&str]) -> Vec<String> {
        let graph = graph(lines).expect("no circle");
        graph.order().into_iter().map(|index| graph.definitions()[index].packages[0].clone()).collect()
    }

    #[test]
    fn a_build_comes_after_all_that_its_guest_installs() {
        assert_eq!(
            order(&["app: lib-dev>=1", "lib: cmd:tool", "tool:", "other:"]),
            ["tool", "lib", "app", "other"]
        );
        // The guest of app gets data, since lib needs it where it is installed; the build of lib does not.
        let lines = ["app: lib", "lib: ; data", "data: ; more", "more:"];
        assert_eq!(order(&lines), ["lib", "data", "more", "app"]);
        assert_eq!(graph(&lines).expect("no circle").needs()[0], BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn the_given_order_stays_where_nothing_is_needed() {
        assert_eq!(order(&["c:", "a:", "b: unknown"]), ["c", "a", "b"]);
    }

    #[test]
    fn a_package_that_builds_itself_takes_an_earlier_version() {
        assert_eq!(order(&["go: go", "app: go"]), ["go", "app"]);
    }

    #[test]
    fn a_circle_is_an_error_that_names_it() {
        let failure = graph(&["z:", "a: b", "b: c-dev", "c: a", "d: a"]).expect_err("a circle");
        assert_eq!(failure.code, Code::BuildFile);
        assert!(failure.what.ends_with("a.yaml needs b.yaml needs c.yaml needs a.yaml"), "{failure}");
        // Needs of installed packages alone are no circle: both can be built, and then installed together.
        assert_eq!(order(&["a: ; b", "b: ; a"]), ["a", "b"]);
    }

    #[test]
    fn two_files_with_one_package_are_an_error() {
        let failure = graph(&["a:", "a:"]).expect_err("twice");
        assert_eq!(failure.code, Code::Usage);
        assert!(failure.what.contains("the package a"), "{failure}");
    }

    #[test]
    fn a_package_wins_over_a_name_that_another_provides() {
        let mut one = definition("one:");
        one.provides = vec!["two".into()];
        let graph = Graph::new(vec![one, definition("two:"), definition("app: two")]).expect("no circle");
        assert_eq!(graph.needs()[2], BTreeSet::from([1]));
    }

    #[test]
    fn the_graph_is_printed_in_the_order_of_builds() {
        let graph = graph(&["app: lib", "lib:"]).expect("no circle");
        assert_eq!(
            graph.dot(),
            "digraph builds {\n  \"lib-1-r0\";\n  \"app-1-r0\";\n  \"app-1-r0\" -> \"lib-1-r0\";\n}\n"
        );
        assert_eq!(
            graph.json()["builds"][1],
            json!({"file": "app.yaml", "package": "app-1-r0", "packages": ["app", "app-dev"], "needs": ["lib-1-r0"]})
        );
        assert_eq!(quoted("a\"\\\n"), r#""a\"\\\n""#);
    }

    #[test]
    fn a_chain_of_a_thousand_builds_is_ordered() {
        let lines: Vec<String> = (0..1000).map(|at| format!("p{at}: p{}", at + 1)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(order(&lines)[0], "p999");
    }
}
