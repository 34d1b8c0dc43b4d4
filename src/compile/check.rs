//! melange's rules for a build file beyond its types: names, priorities, capabilities, CPE, and the keys of a step.

mod metadata;

use std::collections::HashMap;

use super::{faults::Faults, steps::WORKSPACE, substitute};
use crate::manifest::{
    Accounts, Dependencies, Environment, Group, Manifest, Map, Package, PathMutation, Position, Source, Step,
    Subpackage, Test, Text, User, nearest,
};

/// Checks a file after its first pass.
pub(crate) fn all(
    package: &Package,
    pipeline: &[Step],
    subpackages: &[Subpackage],
    source: &Source,
    faults: &mut Faults,
) {
    let mut check = Check { source, faults };
    check.package(package);
    check.steps(pipeline);
    let mut seen: HashMap<&str, Position> = HashMap::new();
    for subpackage in subpackages {
        let name = &subpackage.name;
        let at = if name.is_empty() { subpackage.at } else { name.position };
        if *name == package.name {
            check.fault(at, format!("the subpackage `{name}` has the name of the main package"));
        } else if let Some(first) = seen.insert(name, at) {
            let message = format!("two subpackages are called `{name}`, the first in line {}", first.line);
            check.fault(at, message);
        }
        check.name("subpackage", name, at);
        check.file_name(package, name, at);
        check.priorities(&subpackage.dependencies);
        check.lines([&subpackage.description, &subpackage.url, &subpackage.commit]);
        check.dependencies(&subpackage.dependencies);
        check.trigger(subpackage.scriptlets.as_ref());
        check.steps(&subpackage.pipeline);
    }
}

/// Steps of tests, for which melange has fewer rules: a key without effect is a warning.
pub(crate) fn tests<'t>(tests: impl Iterator<Item = &'t Test>, source: &Source, faults: &mut Faults) {
    tests.for_each(|test| test_steps(&test.pipeline, source, faults));
}

fn test_steps(steps: &[Step], source: &Source, faults: &mut Faults) {
    for step in steps {
        if step.uses.is_empty() && step.with.is_some() {
            faults.warn(source.diagnostic(step.at, "`with` has no effect: the step has no `uses`"));
        }
        if !step.uses.is_empty() && !step.runs.is_empty() {
            let message = format!("`runs` is written beside `uses: {}`: both run", step.uses);
            faults.warn(source.diagnostic(step.runs.position, message));
        }
        left_in(&step.environment, source, faults);
        test_steps(&step.pipeline, source, faults);
    }
}

/// References that the first pass has left in variables of a step: no other looks there, and the step gets their text.
fn left_in(environment: &Map, source: &Source, faults: &mut Faults) {
    for (name, value) in environment {
        if let Some(variable) = substitute::names(value).first() {
            let message = format!("`{name}` keeps `{variable}` as text, it does not get its value");
            let hint = "in `environment`, as in melange, package.*, vars.* and range.* have values, written without blanks";
            faults.warn(source.diagnostic(value.position, message).hint(hint));
        }
    }
}

/// `--build-option`s that the file does not have: melange passes over them in silence.
pub(crate) fn build_options(asked: &[String], manifest: &Manifest, faults: &mut Faults) {
    let known: Vec<&str> = manifest.options.0.keys().map(Text::as_str).collect();
    for name in asked.iter().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("--build-option {name} changes nothing: the file has no such option");
        let warning = manifest.source.diagnostic(Position::default(), message);
        faults.warn(match nearest(name, &known) {
            Some(near) => warning.hint(format!("did you mean `{near}`?")),
            None => warning,
        });
    }
}

/// The changes that `paths` may make.
const PATH_TYPES: [&str; 5] = ["directory", "empty-file", "hardlink", "symlink", "permissions"];

/// Directories that are not the image's: they are mounted over it.
const MOUNTED: [&str; 5] = [WORKSPACE, "/var/cache/melange", "/dev", "/proc", "/sys"];

/// Permission bits, with set-id and sticky.
const MODES: u32 = 0o7777;

/// The guest's users, groups and files.
pub(crate) fn environment(environment: &Environment, source: &Source, faults: &mut Faults) {
    let mut check = Check { source, faults };
    let Accounts { run_as: _, users, groups } = &environment.accounts;
    for User { username, uid, gid, shell, homedir } in users {
        check.login("user", username);
        check.ids(username, &[Some(*uid), *gid]);
        for path in [shell, homedir].into_iter().filter(|path| !path.is_empty()) {
            check.absolute("path", path);
            if path.contains([':', '\n']) {
                check.fault(path.position, "a line of /etc/passwd has no `:` in a path");
            }
        }
    }
    for Group { groupname, gid, members } in groups {
        check.login("group", groupname);
        check.ids(groupname, &[Some(*gid)]);
        members.iter().for_each(|member| check.login("member", member));
    }
    environment.paths.iter().for_each(|path| check.path(path));
}

struct Check<'c> {
    source: &'c Source,
    faults: &'c mut Faults,
}

impl Check<'_> {
    fn fault(&mut self, at: Position, message: impl Into<String>) {
        self.faults.push(self.source.diagnostic(at, message));
    }

    fn package(&mut self, package: &Package) {
        let at = if package.name.is_empty() { package.at } else { package.name.position };
        self.name("package", &package.name, at);
        self.file_name(package, &package.name, at);
        if package.version.is_empty() {
            self.fault(package.at, "the package has no version");
        }
        self.priorities(&package.dependencies);
        self.lines([&package.description, &package.url, &package.commit]);
        self.lines(package.copyright.iter().map(|copyright| &copyright.license));
        self.dependencies(&package.dependencies);
        self.trigger(package.scriptlets.as_ref());
        for capability in &package.setcap {
            self.capability(capability);
        }
        self.cpe(&package.cpe, package.at);
        for path in package.copyright.iter().map(|copyright| &copyright.license_path) {
            self.license_path(path);
        }
    }

    /// A name in /etc/passwd or /etc/group.
    fn login(&mut self, what: &str, name: &Text) {
        let first = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let rest = |c: char| first(c) || matches!(c, '-' | '$');
        if !name.starts_with(first) || !name.chars().all(rest) {
            let fault = self.source.diagnostic(name.position, format!("invalid {what} name `{name}`"));
            self.faults.push(fault.hint("letters, digits and `_`, `.`, `-`; no `-` first"));
        }
    }

    /// chown(2) leaves the owner for the last number of 32 bits: it is not a uid.
    fn ids(&mut self, of: &Text, ids: &[Option<u32>]) {
        if ids.contains(&Some(u32::MAX)) {
            self.fault(of.position, format!("`{of}`: {} is not a uid or gid", u32::MAX));
        }
    }

    fn absolute(&mut self, what: &str, path: &Text) {
        let plain =
            path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..");
        if !plain {
            self.fault(path.position, format!("an absolute {what} without `..` is expected, found `{path}`"));
        }
    }

    fn path(&mut self, change: &PathMutation) {
        let PathMutation { path, kind, uid, gid, permissions, source, recursive } = change;
        self.absolute("path", path);
        self.ids(path, &[*uid, *gid]);
        if !PATH_TYPES.contains(&kind.as_str()) {
            let at = if kind.is_empty() { path.position } else { kind.position };
            let fault = self.source.diagnostic(at, format!("unknown type `{kind}` of the path `{path}`"));
            self.faults.push(match nearest(kind, &PATH_TYPES).filter(|_| !kind.is_empty()) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault.hint(format!("known: {}", PATH_TYPES.join(", "))),
            });
        }
        let below =
            |top: &&str| path.strip_prefix(*top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if let Some(top) = MOUNTED.iter().find(|top| below(top)) {
            let message = format!("`{path}` cannot be changed: {top} is not part of the image");
            let fault = self.source.diagnostic(path.position, message);
            self.faults.push(fault.hint("a step can change it"));
        }
        if *permissions > MODES {
            self.fault(path.position, format!("the permissions of `{path}` are more than {MODES:#o}"));
        }
        match kind.as_str() {
            "hardlink" | "symlink" if source.is_empty() => {
                self.fault(path.position, format!("the {kind} `{path}` needs a `source`"));
            }
            "hardlink" => self.absolute("source", source),
            _ => {}
        }
        if *recursive && *kind != "directory" {
            let message = format!("`recursive` has no effect: `{path}` is not a `directory`");
            self.faults.warn(self.source.diagnostic(path.position, message));
        }
    }

    /// It is read from the workspace, and from nowhere else.
    fn license_path(&mut self, path: &Text) {
        let depth = path.split('/').try_fold(0_usize, |depth, part| match part {
            "" | "." => Some(depth),
            ".." => depth.checked_sub(1),
            _ => Some(depth + 1),
        });
        if depth.is_none() {
            self.fault(path.position, format!("the license-path `{path}` leads out of the workspace"));
        }
    }

    fn name(&mut self, what: &str, name: &Text, at: Position) {
        if name.is_empty() {
            return self.fault(at, format!("a {what} without a name"));
        }
        let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '_' | '.' | '-');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(rest) {
            let fault = self.source.diagnostic(at, format!("invalid {what} name `{name}`"));
            self.faults.push(fault.hint("letters, digits and `+`, `_`, `.`, `-`; a letter or a digit first"));
        }
    }

    fn priorities(&mut self, dependencies: &Dependencies) {
        for priority in [&dependencies.provider_priority, &dependencies.replaces_priority] {
            if !priority.is_empty() && priority.parse::<u64>().is_err() {
                let message = format!("a priority is a whole number, not below 0, this is `{priority}`");
                self.fault(priority.position, message);
            }
        }
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            let with = step.with.as_ref().is_some_and(|with| !with.is_empty());
            if with && step.uses.is_empty() {
                self.fault(step.at, "a step with `with` needs `uses`");
            }
            if !step.uses.is_empty() && !step.runs.is_empty() {
                let message = format!("a step has `uses: {}` or `runs`, not both", step.uses);
                self.fault(step.runs.position, message);
            }
            left_in(&step.environment, self.source, self.faults);
            self.steps(&step.pipeline);
        }
    }
}
