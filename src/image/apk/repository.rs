//! The repositories of a root: lines of a build file or of `-r`, and the addresses of the files in them.

use std::path::PathBuf;

use crate::exit::Failure;

use super::url;

/// The most repositories: the index of each is read by a thread of its own.
const MOST_REPOSITORIES: usize = 256;

/// A repository: the directory above those of the architectures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The line as it was written.
    pub(crate) line: String,
    /// The tag: its packages are only taken for requests with it.
    pub(crate) tag: Option<String>,
    /// Where it is.
    pub(crate) place: Place,
}

/// Where a file or repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// An address, without a slash at its end.
    Url(String),
    /// A path, absolute or relative to the working directory.
    Path(PathBuf),
}

/// Reads the lines of all sources of repositories: sorted as text and each once, as apko has them.
///
/// # Errors
/// Names the line that is not a repository, or says that there are too many.
pub(crate) fn parse(lines: impl IntoIterator<Item = String>) -> Result<Vec<Repository>, Failure> {
    let mut lines: Vec<String> = lines.into_iter().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines.dedup();
    if lines.len() > MOST_REPOSITORIES {
        return Err(Failure::build_file(
            format!("there are {} repositories, and at most {MOST_REPOSITORIES} are read", lines.len()),
            "Leave out those that no package is taken from.",
        ));
    }
    lines.into_iter().map(Repository::parse).collect()
}

impl Repository {
    /// A directory, which may have any name: nothing of it is read as a tag or as a second word.
    pub(crate) fn directory(path: &str) -> Self {
        Self { line: path.to_owned(), tag: None, place: Place::Path(path.into()) }
    }

    fn parse(line: String) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            Err(Failure::build_file(
                format!("the repository {:?} {why}", url::redact(&line)),
                "Write a URL, a directory, or @TAG and one of them.",
            ))
        };
        if line.chars().any(char::is_control) {
            return refuse("has a control character in it");
        }
        let (tag, address) = match line.strip_prefix('@') {
            None => (None, line.as_str()),
            Some(rest) => match rest.split_once(char::is_whitespace) {
                Some((tag, address)) if !tag.is_empty() => (Some(tag.to_owned()), address.trim()),
                _ => return refuse("has a tag and no address"),
            },
        };
        // The name of a directory may have blanks in it.
        if address.is_empty() || url::is_remote(address) && address.contains(char::is_whitespace) {
            return refuse("is not an address");
        }
        let place = Place::of(address);
        Ok(Self { tag, place, line })
    }

    /// The line without a name and password, for plans and the guest.
    pub(crate) fn plain(&self) -> String {
        match &self.tag {
            Some(tag) => format!("@{tag} {}", self.place.plain()),
            None => self.place.plain(),
        }
    }

    /// How messages name it: with stars in place of a name and password.
    pub(crate) fn shown(&self) -> String {
        match &self.tag {
            Some(tag) => format!("@{tag} {}", self.place.shown()),
            None => self.place.shown(),
        }
    }

    /// A file of it.
    pub(crate) fn file(&self, arch: &str, name: &str) -> Place {
        match &self.place {
            Place::Url(base) => Place::Url(format!("{base}/{arch}/{name}")),
            Place::Path(path) => Place::Path(path.join(arch).join(name)),
        }
    }
}

impl Place {
    /// Reads an address: a URL with a scheme that is downloaded, or a path.
    pub(crate) fn of(address: &str) -> Self {
        if url::is_remote(address) {
            return Self::Url(address.trim_end_matches('/').to_owned());
        }
        Self::Path(address.strip_prefix("file://").unwrap_or(address).into())
    }

    /// The address without a name and password.
    pub(crate) fn plain(&self) -> String {
        match self {
            Self::Url(address) => url::split_userinfo(address).0,
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// How messages name it: with stars in place of a name and password.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Url(address) => url::redact(address),
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// The last part of it.
    pub(crate) fn file_name(&self) -> Option<String> {
        match self {
            Self::Url(address) => {
                let path = address.split(['?', '#']).next().unwrap_or_default();
                path.rsplit_once('/').map(|(_, name)| name.to_owned())
            }
            Self::Path(path) => path.file_name().and_then(|name| name.to_str()).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Result<Vec<Repository>, Failure> {
        parse(texts.iter().map(|text| text.to_string()))
    }

    #[test]
    fn repositories_are_sorted_and_each_is_there_once() {
        let found =
            lines(&["https://b.example.org/x/", "./packages", "@edge https://a.example.org", "./packages"]);
        let found: Vec<_> = found.expect("valid").into_iter().map(|one| (one.tag, one.place)).collect();
        assert_eq!(
            found,
            [
                (None, Place::Path("./packages".into())),
                (Some("edge".into()), Place::Url("https://a.example.org".into())),
                (None, Place::Url("https://b.example.org/x".into())),
            ]
        );
    }

    #[test]
    fn a_directory_may_have_any_name() {
        for path in ["/a b", "/a,b", "/a\"b'c", "/@edge x", "/a\nb", "/https://r.example.org"] {
            let one = Repository::directory(path);
            assert_eq!((one.tag.as_ref(), &one.place), (None, &Place::Path(path.into())));
            assert_eq!(Place::of(&one.place.plain()), one.place, "a plan names it by its address");
        }
    }

    #[test]
    fn a_file_lies_below_its_architecture() {
        let found = lines(&["./my packages", "https://a.example.org/os/"]).expect("valid");
        let files: Vec<_> = found.iter().map(|one| one.file("x86_64", "a-1-r0.apk").shown()).collect();
        assert_eq!(files, ["./my packages/x86_64/a-1-r0.apk", "https://a.example.org/os/x86_64/a-1-r0.apk"]);
    }

    #[test]
    fn a_password_is_not_shown() {
        let found = lines(&["@x https://me:secret@a.example.org/os"]).expect("valid");
        assert_eq!(found[0].shown(), "@x https://***@a.example.org/os");
        assert_eq!(found[0].file("x86_64", "f").shown(), "https://***@a.example.org/os/x86_64/f");
    }

    #[test]
    fn what_is_no_repository_is_named() {
        for text in ["", "@x", "@ https://a.example.org", "https://a b", "a\u{1b}b"] {
            let failure = lines(&[text]).expect_err("refused");
            assert!(failure.what.starts_with("the repository \""), "{failure}");
        }
        let failure = lines(&["https://me:secret@a.example.org/a b"]).expect_err("refused");
        assert!(!failure.what.contains("secret"), "{failure}");
    }

    #[test]
    fn there_are_not_too_many() {
        let many = |count: usize| parse((0..count).map(|at| format!("./packages-{at}")));
        assert!(many(MOST_REPOSITORIES).is_ok());
        assert!(many(MOST_REPOSITORIES + 1).expect_err("refused").what.contains("257 repositories"));
    }

    #[test]
    fn the_name_of_a_file_is_the_last_part_of_its_address() {
        for (address, name) in [
            ("https://a.example.org/keys/k.rsa.pub?x=/y", Some("k.rsa.pub")),
            ("keys/k.rsa.pub", Some("k.rsa.pub")),
            ("..", None),
        ] {
            assert_eq!(Place::of(address).file_name().as_deref(), name);
        }
    }
}
