//! The variables of a build file: those of the first pass (`package`, `vars`, transforms) and those of the second (targets,
//! architecture, options).

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{
    Options,
    arch::Libc,
    faults::{self, Faults},
    regex,
    steps::WORKSPACE,
    substitute::{self, Scope},
};
use crate::manifest::{Manifest, Map, Package, Source, Text};

/// The `vars` in effect. Those of `--vars-file` replace those of the file, and those of the enabled build options replace both.
pub(crate) fn merged(manifest: &Manifest, options: &Options) -> Map {
    let mut vars = manifest.vars.clone();
    let mut put = |more: &Map| {
        for (name, value) in more {
            // A key of the file keeps its position.
            vars.insert(name.clone(), value.clone());
        }
    };
    put(&options.vars);
    for name in &options.build_options {
        if let Some(option) = manifest.options.0.get(name.as_str()) {
            put(&option.vars);
        }
    }
    vars
}

/// The variables of the first pass: `package.*` and `vars.*`, with those of `var-transforms`.
pub(crate) fn first_pass(manifest: &Manifest, vars: &Map, faults: &mut Faults) -> Scope<'static> {
    let source = &manifest.source;
    let mut scope = Scope::default();
    resolve(vars, source, &mut scope, faults);
    let Package { name, version, description, epoch, .. } = &manifest.package;
    let plain = |text: &Text| substitute::literal(text, &scope).unwrap_or_else(|| text.to_string());
    let (name, version, description) = (plain(name), plain(version), plain(description));
    scope.set("package.full-version", format!("{version}-r{epoch}"));
    scope.set("package.epoch", epoch.to_string());
    scope.set("package.name", name);
    scope.set("package.version", version);
    scope.set("package.description", description);
    transform(manifest, &mut scope, faults);
    scope
}

/// `vars` may use only each other, in any order. Each is resolved once, after all variables that it uses.
fn resolve(vars: &Map, source: &Source, scope: &mut Scope<'static>, faults: &mut Faults) {
    let mut users: HashMap<&str, Vec<(&Text, &Text)>> = HashMap::new();
    let mut missing: HashMap<&str, usize> = HashMap::with_capacity(vars.len());
    let mut ready = Vec::new();
    for (name, value) in vars {
        let names = substitute::names(value).into_iter().filter_map(own);
        let used: HashSet<&str> = names.filter(|used| vars.contains_key(*used)).collect();
        if used.is_empty() {
            ready.push((name, value));
        }
        missing.insert(name, used.len());
        for used in used {
            users.entry(used).or_default().push((name, value));
        }
    }
    while let Some((name, value)) = ready.pop() {
        missing.remove(name.as_str());
        let look_up = |other: &str| own(other).and_then(|_| scope.look_up(other)).map(Cow::from);
        let resolved = substitute::strict(scope.spend(value), look_up);
        // Its fault is reported, so it counts as known: texts that use it have no further fault.
        let resolved = resolved.unwrap_or_else(|_| {
            unresolved(value, vars, source, faults);
            None
        });
        scope.set(format!("vars.{name}"), resolved.unwrap_or_else(|| value.to_string()));
        for (user, value) in users.remove(name.as_str()).unwrap_or_default() {
            let Some(left) = missing.get_mut(user.as_str()) else { continue };
            *left -= 1;
            if *left == 0 {
                ready.push((user, value));
            }
        }
    }
    for value in missing.keys().filter_map(|name| vars.get(*name)) {
        faults.push(source.diagnostic(value.position, "this variable is made of itself, or of one that is"));
    }
}

fn own(name: &str) -> Option<&str> {
    name.strip_prefix("vars.")
}

fn unresolved(value: &Text, vars: &Map, source: &Source, faults: &mut Faults) {
    if faults.is_full() {
        return;
    }
    let mut scope = Scope::default();
    for name in vars.keys() {
        scope.set(format!("vars.{name}"), "");
    }
    for fault in
        substitute::strict(value, |name| scope.look_up(name).map(Into::into)).err().unwrap_or_default()
    {
        let fault = faults::reference(source, value, &fault, &scope);
        let hint = fault.hint.clone().unwrap_or_else(|| {
            "`vars` can use other `vars` only; `var-transforms` can start from `package.*`".into()
        });
        faults.push(fault.hint(hint));
    }
}

fn transform(manifest: &Manifest, scope: &mut Scope<'static>, faults: &mut Faults) {
    let source = &manifest.source;
    let mut budget = regex::Budget::default();
    for transform in &manifest.var_transforms {
        let from = faults.strict(source, &transform.from, scope);
        let mut to = String::new();
        let replaced = regex::go(&transform.pattern, &mut budget).and_then(|pattern| {
            regex::replace_all(&pattern, &from, &transform.replace, &mut budget, |part| {
                to.push_str(scope.spend(part));
                !scope.is_spent()
            })
        });
        let at = transform.pattern.position;
        match replaced {
            Ok(()) => scope.set(format!("vars.{}", transform.to), to),
            Err(regex::Fault::Syntax(error)) => faults.push(
                source
                    .diagnostic(at, format!("not a regular expression: {error}"))
                    .hint("the syntax is RE2's: no look-around, no back-references"),
            ),
            Err(regex::Fault::TooMuch) => {
                let fault = source
                    .diagnostic(at, "with this one the regular expressions of the file are too much work");
                faults.push(
                    fault.hint("shorter patterns, smaller counts (`{1,200}`) and shorter texts are less"),
                );
                // The budget has no room for the transforms that follow.
                return;
            }
        }
    }
}

/// The variables of the second pass that are the same for all packages of a file.
pub(crate) fn second_pass<'o>(
    first: &'o Scope<'o>,
    package: &Package,
    subpackages: impl Iterator<Item = String>,
    manifest: &Manifest,
    options: &Options,
) -> Scope<'o> {
    let mut scope = Scope::over(first);
    let Options { arch, libc, build_options, .. } = options;
    scope.set("package.name", package.name.as_str());
    scope.set("package.version", package.version.as_str());
    scope.set("package.full-version", package.full_version());
    scope.set("package.srcdir", WORKSPACE);
    scope.set("targets.outdir", format!("{WORKSPACE}/melange-out"));
    scope.set("targets.destdir", target(&package.name));
    scope.set("targets.contextdir", target(&package.name));
    scope.set("context.name", package.name.as_str());
    scope.set("host.triplet.gnu", arch.gnu_triplet(*libc));
    scope.set("host.triplet.rust", arch.rust_triplet(*libc));
    scope.set("cross.triplet.gnu.glibc", arch.gnu_triplet(Libc::Gnu));
    scope.set("cross.triplet.gnu.musl", arch.gnu_triplet(Libc::Musl));
    scope.set("cross.triplet.rust.glibc", arch.rust_triplet(Libc::Gnu));
    scope.set("cross.triplet.rust.musl", arch.rust_triplet(Libc::Musl));
    scope.set("build.arch", arch.apk());
    scope.set("build.goarch", arch.go());
    for name in std::iter::once(package.name.to_string()).chain(subpackages) {
        scope.set(format!("targets.package.{name}"), target(&name));
    }
    for name in manifest.options.0.keys() {
        scope.set(format!("options.{name}.enabled"), "false");
    }
    for name in build_options {
        scope.set(format!("options.{name}.enabled"), "true");
    }
    scope
}

/// Those of a subpackage, over the common ones.
pub(crate) fn subpackage<'o>(common: &'o Scope<'o>, name: &str) -> Scope<'o> {
    let mut scope = Scope::over(common);
    scope.set("subpkg.name", name);
    scope.set("context.name", name);
    scope.set("targets.subpkgdir", target(name));
    scope.set("targets.contextdir", target(name));
    scope
}

/// Where a package is put together.
fn target(package: &str) -> String {
    format!("{WORKSPACE}/melange-out/{package}")
}
