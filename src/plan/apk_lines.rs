//! Lines of a build file that name apk's repositories and keys, and which of them the host connects to.

use super::{InsecureRepositories, loopback::Loopback};
use crate::{exit::Failure, manifest::Text};

/// Whether a line is one of sources.list(5), for a Debian root.
pub fn is_debian_line(line: &str) -> bool {
    line.starts_with("deb ")
}

/// The lines that are apk's.
///
/// # Errors
/// A failure of the build file for addresses on this host's loopback: a build file must not choose which services of the host
/// are connected to.
pub fn apk_lines<'l>(
    lines: impl IntoIterator<Item = &'l Text>,
    insecure: InsecureRepositories,
) -> Result<Vec<String>, Failure> {
    let mut allowed = Vec::new();
    for line in lines {
        let text = line.to_string();
        if is_debian_line(&text) {
            continue;
        }
        let address = text.rsplit(char::is_whitespace).next().unwrap_or_default();
        let is_loopback = address.contains("://") && Loopback::of(address).is_some();
        if is_loopback && insecure == InsecureRepositories::Refused {
            let at = line.position;
            return Err(Failure::build_file(
                format!("line {}, column {}: the address is on this host's loopback", at.line, at.column),
                "Give it with -r or -k instead, or give --allow-insecure-repositories.",
            ));
        }
        allowed.push(text);
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Layout, Position};

    fn lines(texts: &[&str], insecure: InsecureRepositories) -> Result<Vec<String>, Failure> {
        let lines: Vec<Text> = texts
            .iter()
            .map(|text| Text::new(*text, Position { line: 8, column: 9 }, Layout::default()))
            .collect();
        apk_lines(&lines, insecure)
    }

    #[test]
    fn lines_of_debian_are_left_out() {
        let found =
            lines(&["deb http://r.example.org sid main", "./packages"], InsecureRepositories::Refused);
        assert_eq!(found, Ok(vec!["./packages".to_owned()]));
    }

    #[test]
    fn the_loopback_of_the_host_is_refused_with_the_place() {
        for text in ["http://127.0.0.1:80/x", "@t https://me:secret@localhost/x"] {
            let failure = lines(&[text], InsecureRepositories::Refused).expect_err("refused");
            assert!(
                failure.what.starts_with("line 8, column 9") && !failure.what.contains("secret"),
                "{failure}"
            );
            assert!(lines(&[text], InsecureRepositories::Allowed).is_ok(), "{text}");
        }
        assert!(lines(&["https://r.example.org/127.0.0.1"], InsecureRepositories::Refused).is_ok());
    }
}
