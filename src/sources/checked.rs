//! A source as the host fetches it: the form of each value is checked before a program is started.
//!
//! Before it: [`super::Source`], with the texts of a build file. After it: [`super::download`] and [`super::git`].

use std::collections::BTreeMap;

use super::{
    Algorithm, FileSource, GitSource, Source,
    url::{GitUrl, HttpUrl, Refused},
};

/// A source that the host can fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checked {
    File(RemoteFile),
    Git(Checkout),
}

/// A file and its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    pub(super) url: HttpUrl,
    /// The cache has the file under this one.
    pub(super) digest: Digest,
    /// Further hashes of the file.
    pub(super) more: Vec<Digest>,
}

/// A hash as lower-case hexadecimal digits, as many as its algorithm has: it names a file of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) algorithm: Algorithm,
    hex: String,
}

/// A repository, and the commit and files of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkout {
    pub(super) url: GitUrl,
    /// All inputs of the step, as the variables of its script.
    pub(super) inputs: BTreeMap<String, String>,
    pub(super) script: String,
}

impl Digest {
    fn parse(algorithm: Algorithm, text: &str) -> Result<Self, Refused> {
        let length = match algorithm {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        };
        if text.len() != length || !is_hex(text) {
            let name = algorithm.name();
            return Err(Refused::Malformed(format!(
                "expected-{name}: {text:?} is not {length} hexadecimal digits"
            )));
        }
        Ok(Self { algorithm, hex: text.to_owned() })
    }

    pub(super) fn hex(&self) -> &str {
        &self.hex
    }

    /// The name of the file in the cache.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.algorithm.name(), self.hex)
    }
}

impl Checked {
    pub(super) fn of(source: &Source) -> Result<Self, Refused> {
        match source {
            Source::File(file) => RemoteFile::of(file).map(Self::File),
            Source::Git(git) => Checkout::of(git).map(Self::Git),
        }
    }
}

impl RemoteFile {
    fn of(FileSource { uri, hashes }: &FileSource) -> Result<Self, Refused> {
        let url = HttpUrl::parse(uri)?;
        let digests: Result<Vec<_>, _> =
            hashes.iter().map(|(algorithm, hash)| Digest::parse(*algorithm, hash)).collect();
        let mut digests = digests?.into_iter();
        let digest = digests.next().ok_or_else(|| {
            Refused::NotFetched("it has no expected hash, so that no cache can have it".into())
        })?;
        Ok(Self { url, digest, more: digests.collect() })
    }

    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(&self.more)
    }
}

impl Checkout {
    fn of(GitSource { repository, inputs, script }: &GitSource) -> Result<Self, Refused> {
        let url = GitUrl::parse(repository)?;
        for (variable, value) in inputs {
            let name = variable.trim_start_matches("input_").replace('_', "-");
            let why = match name.as_str() {
                "branch" | "tag" => is_ref_name(value).then_some(()).ok_or("not the name of a branch or tag"),
                "expected-commit" => is_commit(value).then_some(()).ok_or("not a commit"),
                "sparse-paths" => {
                    let paths = !value.split_whitespace().any(|path| path.starts_with('-'));
                    (paths && !value.contains('\0')).then_some(()).ok_or("not a list of directories")
                }
                "cherry-picks" => (!value.contains('\0')).then_some(()).ok_or("not a list of commits"),
                _ => (!value.chars().any(char::is_control)).then_some(()).ok_or("not one line of text"),
            };
            why.map_err(|why| Refused::Malformed(format!("{name}: {value:?} is {why}")))?;
        }
        Ok(Self { url, inputs: inputs.clone(), script: script.clone() })
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Empty, or a commit as a person writes it.
fn is_commit(text: &str) -> bool {
    text.len() <= 64 && is_hex(text)
}

/// Empty, or a name that git-check-ref-format(1) allows and that no program takes for an option or a pattern.
fn is_ref_name(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let plain = |c: char| !c.is_control() && !" ~^:?*[\\".contains(c);
    text.is_empty()
        || (!text.starts_with('-')
            && text.chars().all(plain)
            && text.split('/').all(part)
            && !text.ends_with('.')
            && !text.contains("..")
            && !text.contains("@{")
            && text != "@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_as_many_digits_as_its_algorithm() {
        assert!(Digest::parse(Algorithm::Sha256, &"0a".repeat(32)).is_ok());
        assert!(Digest::parse(Algorithm::Sha512, &"0a".repeat(64)).is_ok());
        for text in [
            "",
            "0",
            "-x",
            "x/../../../etc/cron.d/x",
            &"0a".repeat(31),
            &"0a".repeat(64),
            &"0g".repeat(32),
            &format!("{}\n", "0a".repeat(31)),
            &format!("../{}", "a".repeat(61)),
        ] {
            assert!(Digest::parse(Algorithm::Sha256, text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_form_of_each_input_of_a_checkout_is_checked() {
        let with = |name: &str, value: &str| {
            let inputs = BTreeMap::from([(format!("input_{name}"), value.to_owned())]);
            Checkout::of(&GitSource { repository: "https://h/x".into(), inputs, script: String::new() })
        };
        for (name, good) in [
            ("branch", "feature/x-1.0+y"),
            ("tag", "v1.0"),
            ("branch", ""),
            ("expected_commit", "0123456789abcdefABCDEF"),
            ("sparse_paths", "a b/c\nd"),
            ("cherry_picks", "main/abc: why\n"),
            ("depth", "-1"),
        ] {
            assert!(with(name, good).is_ok(), "{name} {good:?}");
        }
        for (name, bad) in [
            ("branch", "-x"),
            ("branch", "--upload-pack=x"),
            ("tag", "a:b"),
            ("tag", "*"),
            ("tag", "a b"),
            ("tag", "a\nb"),
            ("branch", "a..b"),
            ("branch", "a/.b"),
            ("branch", "a.lock"),
            ("branch", "a//b"),
            ("branch", "@{1}"),
            ("expected_commit", "--all"),
            ("expected_commit", "HEAD"),
            ("expected_commit", "abc\n"),
            ("sparse_paths", "a --stdin"),
            ("sparse_paths", "-x"),
            ("sparse_paths", "a\0"),
            ("cherry_picks", "\0"),
            ("depth", "1\n2"),
            ("anything", "\u{1b}[2J"),
        ] {
            assert!(matches!(with(name, bad), Err(Refused::Malformed(_))), "{name} {bad:?}");
        }
    }
}
