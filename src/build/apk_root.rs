//! Whether the root of a build comes from apk's repositories, and what is asked of them.

use anyhow::Result;

use crate::{
    compile::Recipe,
    event::{Event, Sink},
    exit::Failure,
    image::ApkRequest,
    plan::{ApkKey, BuildOptions, BuiltPackages, RepositoryOptions, apk_lines},
};

/// Refuses flags that are for such a root only.
///
/// # Errors
/// A usage failure that names the flag.
pub(super) fn check_unused(options: &RepositoryOptions) -> Result<(), Failure> {
    let flag = match (&options.lock, &options.locked) {
        (Some(_), _) => "--lock",
        (None, Some(_)) => "--locked",
        (None, None) => return Ok(()),
    };
    Err(Failure::usage(
        format!("{flag}: the root of this build does not come from apk's repositories"),
        "Leave it out, or name a repository with -r and leave --image out.",
    ))
}

/// What is asked of apk's repositories: if the command line names no image, and the build file or the command line a repository.
///
/// # Errors
/// A failure of the build file for addresses that it may not name.
pub(super) fn request(
    recipe: &Recipe,
    options: &BuildOptions,
    sink: &mut dyn Sink,
) -> Result<Option<ApkRequest>> {
    let contents = &recipe.environment.contents;
    let insecure = options.insecure_repositories;
    let mut repositories = apk_lines(&contents.repositories, insecure)?;
    repositories.extend(options.repositories.append.iter().cloned());
    let build_repositories = apk_lines(&contents.build_repositories, insecure)?;
    if repositories.is_empty() && build_repositories.is_empty() {
        return Ok(None);
    }
    if let Some(image) = &options.image {
        let text = format!("apk's repositories are not used: --image {image} is given");
        sink.emit(Event::Note { text });
        return Ok(None);
    }
    let (built, trusted) = built(&options.repositories.built, sink)?;
    let mut keyring = apk_lines(&contents.keyring, insecure)?;
    keyring.extend(options.repositories.keyring.iter().cloned());
    let requested = recipe.requests.iter().map(|request| request.name.to_string());
    let packages = contents.packages.iter().map(|name| name.to_string());
    let mut packages: Vec<String> =
        packages.chain(requested).chain(recipe.appended_packages.iter().cloned()).collect();
    packages.sort();
    packages.dedup();
    Ok(Some(ApkRequest {
        repositories,
        build_repositories,
        built,
        keyring,
        trusted,
        packages,
        arch: recipe.arch.apk().to_owned(),
        ignore_signatures: options.repositories.ignore_signatures,
        solver: options.repositories.solver,
    }))
}

/// The repository of packages that earlier builds of the same command have made, and its key.
///
/// # Errors
/// A host failure for a directory whose name cannot stand in a plan.
fn built(built: &BuiltPackages, sink: &mut dyn Sink) -> Result<(Option<String>, Vec<ApkKey>), Failure> {
    match built {
        BuiltPackages::Unneeded => Ok((None, Vec::new())),
        BuiltPackages::Untrusted => {
            let text = "packages that this command has built are not used for this root: --signing-key makes a signed index \
                        of them";
            sink.emit(Event::Note { text: text.into() });
            Ok((None, Vec::new()))
        }
        BuiltPackages::Repository { directory, key } => {
            let path = directory.to_str().ok_or_else(|| {
                let what =
                    format!("packages cannot be taken from {}: its name is not UTF-8", directory.display());
                Failure::host(what, "Name another directory with --out-dir.")
            })?;
            Ok((Some(path.to_owned()), key.iter().cloned().collect()))
        }
    }
}
