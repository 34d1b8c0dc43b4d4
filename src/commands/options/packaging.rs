//! The options of packages: flags -> [`PackagingOptions`]. A key is read here once, so that a fault of it is found before a build.

use std::path::absolute;

use anyhow::{Context, Result};

use crate::{
    apk::SigningKey,
    cli::{Linter, PackageArgs},
    env::Env,
    plan::{Make, OriginName, PackagingOptions},
};

/// The file to which `--create-build-log` appends, in the working directory.
const BUILD_LOG: &str = "packages.log";
/// melange's variable for dependencies on versions of shared libraries; any value is yes.
const VERSIONED_LIBRARIES: &str = "MELANGE_VERSIONED_SHLIB_DEPENDS";

/// The options, and the key that signs packages. `commit` is that of the build file.
pub(in crate::commands) fn packaging(
    args: &PackageArgs,
    commit: &str,
    env: &Env,
) -> Result<(PackagingOptions, Option<SigningKey>)> {
    let default = PackagingOptions::default();
    let PackageArgs {
        format,
        signing_key,
        generate_index,
        generate_provenance,
        lint_require,
        lint_warn,
        persist_lint_results,
        namespace,
        license,
        git_repo_url,
        strip_origin_name,
        dependency_log,
        create_build_log,
    } = args;
    let key = signing_key.as_deref().map(SigningKey::load).transpose()?;
    let resolved = |path: &Option<_>, option: &'static str| {
        path.as_ref().map(absolute).transpose().with_context(|| format!("resolve {option}"))
    };
    let log = create_build_log.unwrap_or_default().then(|| absolute(BUILD_LOG)).transpose();
    let options = PackagingOptions {
        format: *format,
        signing_key: resolved(signing_key, "--signing-key")?,
        index: generate_index.unwrap_or(true).into(),
        provenance: generate_provenance.map_or(Make::No, Make::from),
        lint_require: linters(lint_require.as_deref(), default.lint_require),
        lint_warn: linters(lint_warn.as_deref(), default.lint_warn),
        lint_results: persist_lint_results.map_or(Make::No, Make::from),
        namespace: namespace.clone(),
        license: license.clone(),
        git_commit: Some(commit.to_owned()),
        git_repo_url: git_repo_url.clone(),
        origin: if strip_origin_name.unwrap_or_default() { OriginName::Own } else { OriginName::Main },
        dependency_log: resolved(dependency_log, "--dependency-log")?,
        build_log: log.context("resolve the working directory")?,
        library_versions: env.get(VERSIONED_LIBRARIES).is_some().into(),
    };
    Ok((options, key))
}

/// The warning of a key that users besides its owner may read.
pub(in crate::commands) fn exposed_key(
    key: Option<&SigningKey>,
    options: &PackagingOptions,
) -> Option<String> {
    let path = options.signing_key.as_ref().filter(|_| key.is_some_and(SigningKey::is_exposed))?;
    let path = path.display();
    Some(format!("--signing-key: other users may read {path}; chmod 600 keeps the key to its owner"))
}

/// The named linters, each once; an empty name is none.
fn linters(named: Option<&[Linter]>, otherwise: Vec<String>) -> Vec<String> {
    let Some(named) = named else { return otherwise };
    let mut all: Vec<String> = Vec::new();
    for Linter(name) in named {
        if !name.is_empty() && !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(flags: &[&str]) -> PackagingOptions {
        let words = ["kiln", "build", "p.yaml"].iter().chain(flags);
        let Command::Build(args) = Cli::try_parse_from(words).expect("it is valid").command else {
            panic!("it is a build")
        };
        packaging(&args.package, "0123", &Env::default()).expect("it is possible").0
    }

    #[test]
    fn flags_have_melanges_defaults() {
        let plain = options(&[]);
        let expected = PackagingOptions { git_commit: Some("0123".into()), ..PackagingOptions::default() };
        assert_eq!(plain, expected);
        assert!(plain.index.is_yes() && plain.lint_require.contains(&"dev".to_owned()));
    }

    #[test]
    fn a_flag_without_a_value_is_yes_and_a_list_replaces_the_default() {
        let all = options(&[
            "--generate-index=false",
            "--generate-provenance",
            "--strip-origin-name",
            "--persist-lint-results=true",
            "--lint-require",
            "dev,opt,dev",
            "--lint-warn=",
            "--create-build-log",
            "--dependency-log",
            "deps",
        ]);
        assert_eq!((all.index, all.provenance, all.lint_results), (Make::No, Make::Yes, Make::Yes));
        assert_eq!((all.lint_require, all.lint_warn), (vec!["dev".into(), "opt".into()], Vec::new()));
        assert_eq!(all.origin, OriginName::Own);
        let here = std::env::current_dir().expect("there is one");
        assert_eq!(
            (all.build_log, all.dependency_log),
            (Some(here.join("packages.log")), Some(here.join("deps")))
        );
    }
}
