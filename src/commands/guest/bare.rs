//! A guest without a build file: its recipe has no steps, and its workspace is empty.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    cli::{MachineArgs, RecipeArgs},
    commands::{compile, options, recipe},
    compile::Recipe,
    env::Env,
    exit::Failure,
    manifest,
    plan::BuildOptions,
};

/// The build file of such a guest.
const BUILD_FILE: &str = "package:\n  name: guest\n  version: \"0\"\n  epoch: 0\npipeline: []\n";

/// Its recipe.
pub(in crate::commands) fn recipe_of_bare() -> Result<Recipe> {
    let path = PathBuf::from("guest.yaml");
    let manifest = manifest::parse(BUILD_FILE, &path).map_err(Failure::from)?;
    let args = RecipeArgs::default();
    let arch = recipe::buildable(&recipe::architectures(&args)?)?;
    compile::recipe_of(&manifest, &recipe::options(&args, vec![path], arch)?)
}

/// Its options: the guest has nothing of the working directory by default. The default cache is used where it exists, and not made.
pub(in crate::commands) fn options_of_bare(args: &MachineArgs, env: &Env) -> Result<BuildOptions> {
    let mut args = args.clone();
    args.empty_workspace |= args.source_dir.is_none();
    if args.cache_dir.is_none() && !Path::new(options::DEFAULT_CACHE).is_dir() {
        args.cache_dir = Some(String::new());
    }
    options::options(&args, env, Path::new("guest.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_without_a_build_file_has_no_steps() {
        assert_eq!(recipe_of_bare().expect("it compiles").package_steps()[0].runs, []);
    }
}
