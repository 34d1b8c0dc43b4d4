//! One test in its guest: the life of a build, without packages.

use anyhow::Result;

use super::select::{recipe_args, tested};
use crate::{
    build::{Prepared, Request},
    cli::{MachineArgs, TestArgs},
    commands::{
        build::{Extras, live},
        jobs, options, recipe,
    },
    env::Env,
    exit::{Code, Failure, code_of},
};

/// Runs the test of this package, and writes its result for the kiln that has started this one.
pub(super) async fn run(args: &TestArgs, name: &str, env: &Env) -> Result<Code> {
    let result = live(args.progress, &args.machine, None, env, async |parts| {
        let file = recipe::file(args.file.as_deref())?;
        let loaded = recipe::load_with_source(&file, &recipe_args(args), parts.sink)?;
        let Some((recipe, source)) = loaded else { return Ok(Code::Success) };
        let tests = recipe.tests(&source, tested(args).as_ref());
        let test = tests.into_iter().find(|test| *test.package.name == *name);
        let recipe = test.ok_or_else(|| {
            Failure::usage(format!("{} has no test of {name}", file.display()), "leave --job out")
        })?;
        let options = options::options(&machine(args), env, &file)?;
        let request = Request { recipe, options, cache_wait: args.machine.cache_wait };
        parts.build(request, &args.machine, Extras::default(), Prepared::without_packages).await?;
        Ok(Code::Success)
    })
    .await?;
    jobs::report_result(&result);
    Ok(result.unwrap_or_else(|error| code_of(&error)))
}

/// The guest of a test has nothing of the working directory, and no cache, unless they are named.
fn machine(args: &TestArgs) -> MachineArgs {
    let mut machine = args.machine.clone();
    machine.empty_workspace |= machine.source_dir.is_none();
    machine.cache_dir.get_or_insert_default();
    machine
}
