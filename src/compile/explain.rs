//! The origin of a recipe: for each step its place, the value of its condition, and the value and origin of each variable
//! that it names.
//!
//! Pure, and apart from compiling, which stays as fast as it is: the file as written, the same after its first pass, and the
//! recipe are walked side by side. Inputs are bound once more, by the same code.

mod explanation;
mod origins;
mod walk;

pub use self::explanation::{Decision, ExplainedPackage, ExplainedStep, Explanation, GivenBy, Variable};
use self::{
    origins::{Item, Origins},
    walk::Walker,
};
use super::{Options, faults::Faults, recipe::Recipe, source::PipelineSource, variables};
use crate::manifest::{self, Manifest};

/// Explains a recipe that was compiled from this file, with these options and definitions.
pub fn explain(
    manifest: &Manifest,
    options: &Options<'_>,
    definitions: &dyn PipelineSource,
    recipe: &Recipe,
) -> Explanation {
    // The faults of the file were reported when the recipe was made.
    let first = variables::first_pass(manifest, &recipe.vars, &mut Faults::default());
    let names = recipe.subpackages.iter().map(|sub| sub.name.to_string());
    let common = variables::second_pass(&first, &recipe.package, names, manifest, options);
    let origins = Origins { manifest, options };
    let mut walker = Walker::new(origins, definitions);
    let mut packages = vec![walker.main(recipe, &first, &common)];
    let mut compiled = recipe.subpackages.iter();
    for written in &manifest.subpackages {
        for item in items(manifest, written) {
            if let Some(subpackage) = compiled.next() {
                packages.push(walker.subpackage(written, item, subpackage, (&first, &common)));
            }
        }
    }
    Explanation {
        package: format!("{}-{}", recipe.package.name, recipe.package.full_version()),
        arch: recipe.arch.to_string(),
        variables: origins.variables(common.all(), None),
        packages,
    }
}

/// The items of a subpackage's range; a single `None` without a range.
fn items<'m>(manifest: &'m Manifest, written: &'m manifest::Subpackage) -> Vec<Option<Item<'m>>> {
    if written.range.is_empty() {
        return vec![None];
    }
    // Of two tables of one name, the later counts.
    let table = manifest.data.iter().rfind(|table| table.name == written.range);
    let item = |table: &'m manifest::Table, key, value| Some(Item { table: &table.name, key, value });
    table.map_or_else(Vec::new, |table| {
        table.items.iter().map(|(key, value)| item(table, key, value)).collect()
    })
}
