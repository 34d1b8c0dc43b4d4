//! What packages say besides their files, how they are checked, and what is written beside them.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, ValueHint};

use super::values::Checked;
use crate::{
    exit::Failure,
    manifest::nearest,
    plan::{
        NO_ASSERTION, OPTIONAL_LINTERS, PackageFormat, REQUIRED_LINTERS, UNKNOWN_NAMESPACE, WARNING_LINTERS,
    },
};

/// The options of packages.
#[derive(Debug, Args)]
pub struct PackageArgs {
    /// The form of packages.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "apk")]
    pub format: PackageFormat,
    /// The private key (RSA, PEM) that signs packages and their index.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub signing_key: Option<PathBuf>,
    /// Whether packages are added to the index beside them, APKINDEX.tar.gz [default: true].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub generate_index: Option<bool>,
    /// Write the provenance of each package beside it, as a SLSA attestation.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub generate_provenance: Option<bool>,
    /// The linters whose findings fail the build, in the place of the default ones.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = Checked(linter))]
    pub lint_require: Option<Vec<Linter>>,
    /// The linters whose findings are warnings, in the place of the default ones.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = Checked(linter))]
    pub lint_warn: Option<Vec<Linter>>,
    /// Write the findings of linters beside the packages, as JSON.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub persist_lint_results: Option<bool>,
    /// The distribution that the packages belong to: their maintainer, and the namespace of their package URLs.
    #[arg(long, value_name = "NAME", default_value = UNKNOWN_NAMESPACE, value_parser = Checked(namespace))]
    pub namespace: String,
    /// The licence of the build file itself, for the SBOM.
    #[arg(long, value_name = "LICENSE", default_value = NO_ASSERTION, value_parser = Checked(line))]
    pub license: String,
    /// The URL of the repository with the build file, for the SBOM.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, value_parser = Checked(repository))]
    pub git_repo_url: Option<String>,
    /// Give each package its own name as its origin, instead of that of the main package.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub strip_origin_name: Option<bool>,
    /// Write the dependencies that kiln has found to FILE.ARCH, as JSON.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub dependency_log: Option<PathBuf>,
    /// Append a line for each package to ./packages.log.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub create_build_log: Option<bool>,
}

/// The options of [`PackageArgs`] whose value may be left out.
const BOOLEANS: [&str; 5] = [
    "--generate-index",
    "--generate-provenance",
    "--persist-lint-results",
    "--strip-origin-name",
    "--create-build-log",
];

/// The words of a command line, with `--generate-index false` as one word.
///
/// clap takes the value of such an option only after `=`, since the next word may be the build file; melange takes the word for a second
/// build file. Makefiles of distributions write the blank, and mean the value.
pub fn with_joined_booleans(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for word in words {
        let is_value = word == "true" || word == "false";
        match joined.last_mut() {
            Some(option) if is_value && BOOLEANS.iter().any(|boolean| *option == **boolean) => {
                option.push("=");
                option.push(word);
            }
            Some(_) | None => joined.push(word),
        }
    }
    joined
}

/// The name of a linter; empty for none, which makes a list without a linter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linter(pub String);

/// Refuses the names of linters that do not exist: such a name checks nothing.
fn linter(name: &str, option: &str) -> Result<Linter, Failure> {
    let known: Vec<&str> =
        REQUIRED_LINTERS.iter().chain(&WARNING_LINTERS).chain(&OPTIONAL_LINTERS).copied().collect();
    if name.is_empty() || known.contains(&name) {
        return Ok(Linter(name.to_owned()));
    }
    let way_out = match nearest(name, &known) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known: {}", known.join(", ")),
    };
    Err(Failure::usage(format!("{option}: unknown linter: {name:?}"), way_out))
}

/// A text that becomes a line of a package's metadata.
pub(super) fn line(text: &str, option: &str) -> Result<String, Failure> {
    if text.chars().any(char::is_control) {
        let what = format!("{option}: {text:?} has a line break or another control character");
        return Err(Failure::usage(what, "write it in one line"));
    }
    Ok(text.to_owned())
}

fn namespace(text: &str, option: &str) -> Result<String, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::usage(
            format!("{option}: the name is empty"),
            "name it, or leave the option out",
        ));
    }
    line(text, option)
}

/// `--git-repo-url`: its owner and repository become a package URL.
fn repository(text: &str, option: &str) -> Result<String, Failure> {
    let path = text.split_once("://").map_or(text, |(_, path)| path);
    if !path.contains('/') {
        let what = format!("{option}: {text:?} names no owner and repository");
        return Err(Failure::usage(what, "write a URL such as https://example.org/owner/repository"));
    }
    line(text, option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boolean_may_have_its_value_after_a_blank() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, joined) in [
            ("kiln build --generate-index false x.yaml", "kiln build --generate-index=false x.yaml"),
            ("kiln build --generate-index x.yaml", "kiln build --generate-index x.yaml"),
            ("kiln run -- echo true false", "kiln run -- echo true false"),
            ("kiln build --strip-origin-name true", "kiln build --strip-origin-name=true"),
        ] {
            assert_eq!(with_joined_booleans(words(line)), words(joined), "{line}");
        }
    }

    #[test]
    fn the_booleans_are_those_of_the_command_line() {
        let command = PackageArgs::augment_args(clap::Command::new("x"));
        let booleans = command.get_arguments().filter(|argument| argument.is_require_equals_set());
        let booleans: Vec<String> =
            booleans.map(|argument| format!("--{}", argument.get_long().expect("a name"))).collect();
        assert_eq!(booleans, BOOLEANS);
    }

    #[test]
    fn an_unknown_linter_is_refused_with_the_nearest_name() {
        let failure = linter("wordwrite", "--lint-warn").expect_err("no such linter");
        assert_eq!(failure.what, "--lint-warn: unknown linter: \"wordwrite\"");
        assert_eq!(failure.way_out, "did you mean worldwrite?");
        for name in ["", "dev", "python/test", "documentation"] {
            assert_eq!(linter(name, "--lint-warn"), Ok(Linter(name.into())));
        }
    }

    #[test]
    fn a_value_that_would_be_two_lines_is_refused() {
        assert!(line("a\nmaintainer = b", "--license").is_err());
        assert!(namespace(" ", "--namespace").is_err());
        for (text, fits) in
            [("https://example.org/a/b", true), ("own/r", true), ("https://example.org", false)]
        {
            assert_eq!(repository(text, "--git-repo-url").is_ok(), fits, "{text}");
        }
    }
}
