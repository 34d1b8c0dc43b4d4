//! The dependencies and provides that packages have by what is in them: shared libraries, commands, modules of languages.
//!
//! Before it stand the facts of all packages of a build, after it the `.PKGINFO` of each. It is a pure function of them. A text
//! that comes out of a file is only used if it can stand in a line of `.PKGINFO`.

mod analysis;
mod commands;
mod declared;
mod generated;
mod kernel;
mod languages;
mod libraries;
mod note;
mod pkg_config;
mod shared_objects;
#[cfg(test)]
mod tests;

use self::analysis::{Found, Package};
pub use self::{
    analysis::Analysis,
    declared::{Declared, LibraryVersions, Options},
    generated::{Generated, Merged},
    note::{Note, Notes},
};

impl Analysis<'_> {
    /// What the package at `index` of the packages needs and provides; nothing if there is no such package.
    pub fn generate(&self, index: usize, declared: &Declared) -> Generated {
        let Some(walk) = self.walks.get(index) else { return Generated::default() };
        let mut package =
            Package { analysis: self, walk, declared, found: Found::default(), notes: Notes::default() };
        shared_objects::generate(&mut package);
        commands::of_files(&mut package);
        languages::documentation(&mut package);
        pkg_config::generate(&mut package);
        languages::perl(&mut package);
        languages::python(&mut package);
        languages::ruby(&mut package);
        commands::of_scripts(&mut package);
        kernel::generate(&mut package);
        let Package { found, notes, .. } = package;
        found.apply(declared.options, notes)
    }
}
