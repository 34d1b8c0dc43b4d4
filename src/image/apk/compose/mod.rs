//! The tree of a root from verified packages: entries in memory, contents in the packages' data.
//!
//! Pure but for reads of the packages' own files. Scripts of packages do not run.

mod base;
mod busybox;
mod database;
mod elf;
mod install;
mod loader;
mod root;
#[cfg(test)]
mod tests;

use std::fs::File;

use crate::{exit::Failure, image::erofs::Tree, plan::ApkRoot};

use self::{
    install::Installer,
    root::{Fault, Found, Root},
};
use super::package::Package;

/// The shell that steps of a build need.
const SHELL: &str = "bin/sh";

/// A tree, and the files with its contents.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) tree: Tree,
    pub(crate) sources: Vec<File>,
    /// Whether it has `/bin/sh`.
    pub(crate) has_shell: bool,
}

/// Composes the root of a recipe. `packages` are those of the recipe, in its order.
///
/// # Errors
/// A host failure that names the package, its repository and the path: for files that two packages have, and for entries that
/// no package may have.
pub(crate) fn compose(recipe: &ApkRoot, arch: &str, packages: Vec<Package>) -> Result<Composed, Failure> {
    let whole = |what: Fault| failure(format!("the root cannot be composed: {what}"));
    let mut root = Root::new();
    base::before(&mut root).map_err(whole)?;
    let mut installer = Installer::new(root, &packages);
    for (at, chosen) in recipe.packages.iter().enumerate() {
        installer.install(at).map_err(|what| {
            failure(format!(
                "the package {}-{} of {}: {what}",
                chosen.name, chosen.version, chosen.repository
            ))
        })?;
    }
    let (mut root, lists) = installer.finish();
    base::after(&mut root, recipe, arch, &packages, &lists).map_err(whole)?;
    let sources = packages.iter().map(|package| package.data.try_clone());
    let sources = sources.collect::<Result<Vec<File>, _>>().map_err(|error| whole(error.to_string()))?;
    base::homes(&mut root, &sources).map_err(whole)?;
    busybox::link(&mut root, &packages, &sources).map_err(whole)?;
    loader::cache(&mut root, &sources).map_err(whole)?;
    let has_shell = matches!(root.find(SHELL.as_bytes(), true), Ok(Found::Node(_)));
    Ok(Composed { tree: root.tree, sources, has_shell })
}

fn failure(what: String) -> Failure {
    Failure::host(
        what,
        "Leave the package out, take another version of it, or build one that says what it replaces (replaces in its build \
         file).",
    )
}
