//! Which tests run, and how their recipes are made.

use std::path::Path;

use anyhow::Result;

use crate::{
    cli::{RecipeArgs, TestArgs},
    commands::recipe,
    compile::{Recipe, TestedPackage},
    event::Sink,
    exit::Failure,
    manifest::nearest,
};

/// The tests that are to run: those of `--only`, else all.
pub(super) fn tests(args: &TestArgs, file: &Path, sink: &mut dyn Sink) -> Result<Vec<Recipe>> {
    let Some((recipe, source)) = recipe::load_with_source(file, &recipe_args(args), sink)? else {
        return Ok(Vec::new());
    };
    let mut tests = recipe.tests(&source, tested(args).as_ref());
    let names: Vec<String> = tests.iter().map(|test| test.package.name.to_string()).collect();
    if let Some(unknown) = args.only.iter().find(|name| !names.contains(name)) {
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let near = nearest(unknown, &known).map_or(String::new(), |near| format!("did you mean {near}? "));
        return Err(Failure::usage(
            format!("--only: {} has no test of a package {unknown}", file.display()),
            format!("{near}Packages with tests: {}.", known.join(", ")),
        )
        .into());
    }
    if !args.only.is_empty() {
        tests.retain(|test| args.only.iter().any(|name| *name == *test.package.name));
    }
    for test in &tests {
        test.check_assertions()?;
    }
    Ok(tests)
}

/// The package that the command line names.
pub(super) fn tested(args: &TestArgs) -> Option<TestedPackage> {
    args.package.as_ref().map(|constraint| TestedPackage { constraint: constraint.clone() })
}

/// How the recipe is made: with the build options of the tests, and their packages.
pub(super) fn recipe_args(args: &TestArgs) -> RecipeArgs {
    let mut recipe = args.recipe.clone();
    recipe.build_option.extend(args.test_option.iter().cloned());
    recipe.package_append.extend(args.test_package_append.iter().cloned());
    recipe
}
