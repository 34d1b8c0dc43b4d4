//! Which files have the text of a licence, by their names: the rules of melange, which are those of the program licensee.

use std::sync::LazyLock;

use regex::Regex;

/// A part of each name of such a file, in small letters.
pub const WORDS: &[&str] = &["licen", "copying", "copyright", "ofl", "patents"];

/// Directories whose files belong to another project.
const OTHERS: &[&str] = &[".virtualenv", "env", "node_modules", "rust-src", "rustc-src", "venv"];
/// The directory of dependencies, which only a deep search enters.
const VENDOR: &str = "vendor";
/// The directory of the packages that are made.
const OUTPUT: &str = "melange-out";
/// Endings of files that are no texts of licences.
const NOT_TEXT: &[&str] = &[".xml", ".go", ".gemspec", ".spdx", ".header"];

/// `LICENSE`, `COPYING.txt`, `LICENSE-MIT`, `MIT-LICENSE`, `OFL.txt`, …
const NAME: &str = r"(?ix) ^ (?:
    (?: (?:un)?licen[sc]e | copy(?:ing|right) ) (?: \.[^./]+ | [-_][^.]*(?:\.[^./]+)? )?
  | \w+ [-_] (?: (?:un)?licen[sc]e | copy(?:ing|right) ) [^.]* (?:\.[^./]+)?
  | (?: ofl | patents ) (?:\.[^./]+)?
) $";
/// A version in the name of a directory: `rust-1.86.0-src` is `rust-src`.
const VERSION: &str = r"-\d+\.\d+\.\d+-";

/// How deep a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// A directory and the directories in it.
    Shallow,
    /// The whole tree.
    Deep,
}

/// Whether a file, named relative to the sources, has the text of a licence by its name.
pub fn is_license_file(path: &str, depth: Depth) -> bool {
    static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(NAME).ok());
    static VERSIONS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(VERSION).ok());
    let (Some(names), Some(versions)) = (&*NAMES, &*VERSIONS) else { return false };
    if path.chars().any(char::is_control) || path.contains(OUTPUT) {
        return false;
    }
    let path = versions.replace_all(path, "-");
    let parts: Vec<&str> = path.split('/').collect();
    if depth == Depth::Shallow && (parts.len() > 2 || parts.contains(&VENDOR)) {
        return false;
    }
    if parts.iter().any(|part| part.is_empty() || OTHERS.contains(part)) {
        return false;
    }
    let name = parts.last().copied().unwrap_or_default();
    names.is_match(name) && !NOT_TEXT.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_melange_are_found() {
        for name in [
            "LICENSE",
            "LICENSE.md",
            "LICENSE.txt",
            "LICENCE",
            "UNLICENSE",
            "COPYING",
            "COPYRIGHT",
            "copying.txt",
            "COPYING.LESSER",
            "COPYING3",
            "LICENSE-APACHE",
            "LICENSE-MIT.md",
            "LICENSE_1_0.txt",
            "MIT-COPYING",
            "MIT_LICENSE.txt",
            "OFL.txt",
            "sub/LICENSE",
        ] {
            // GNU's COPYING3 is none for melange either.
            assert_eq!(is_license_file(name, Depth::Shallow), name != "COPYING3", "{name}");
            let word = |word: &&str| name.to_ascii_lowercase().contains(*word);
            assert!(WORDS.iter().any(word), "{name}");
        }
    }

    #[test]
    fn other_names_and_directories_of_others_are_not() {
        for name in [
            "random.txt",
            "README.md",
            "LICENSE.gemspec",
            "license.go",
            "copyme",
            "COPY",
            "node_modules/LICENSE",
            "venv/COPYING",
            "env/LICENSE",
            ".virtualenv/COPYRIGHT",
            "melange-out/LICENSE",
            "a/b/LICENSE",
            "vendor/LICENSE",
            "rust-1.86.0-src/LICENSE",
            "LICENSE\n",
            "",
            "/LICENSE",
        ] {
            assert!(!is_license_file(name, Depth::Shallow), "{name}");
        }
        assert!(is_license_file("a/vendor/b/LICENSE", Depth::Deep));
        assert!(!is_license_file("a/node_modules/b/LICENSE", Depth::Deep));
    }
}
