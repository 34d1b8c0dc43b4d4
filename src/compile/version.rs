//! Versions that apk can read, and so compare.

/// Words that may follow the numbers, each with a number of its own.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];

/// Whether apk can read a version: `1.2.3`, one letter, suffixes such as `_rc1`, and the hash of a commit.
///
/// melange refuses others when it makes the package; they also become a part of its file's name.
pub fn is_valid_version(version: &str) -> bool {
    let (version, hash) = version.split_once('~').unwrap_or((version, "0"));
    let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut parts = version.split('_');
    let numbers = parts.next().unwrap_or_default();
    let numbers = numbers.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(numbers);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let suffix = |text: &str| SUFFIXES.contains(&text.trim_end_matches(|c: char| c.is_ascii_digit()));
    numbers.split('.').all(digits) && parts.all(suffix) && !hash.is_empty() && hash.chars().all(hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_apk() {
        for version in [
            "1",
            "0",
            "1.10",
            "1.2.3",
            "9e",
            "1.1.1w",
            "2024.01.02",
            "0_git20240101",
            "1.2_rc1",
            "1.2_rc",
            "2.0_beta3_p1",
            "1.2.3_p20240101",
            "1.0_alpha",
            "1~abc123",
        ] {
            assert!(is_valid_version(version), "{version}");
        }
        for version in [
            "", ".", "1.", ".1", "1..2", "v1", "1.2.3-r0", "1-2", "1.2rc1", "1.2_foo", "1_", "1_rc1x", "1 2",
            "1/../2", "../1", "1\n", "1.2.ab", "1.0a.1", "1~", "1~xyz", "é",
        ] {
            assert!(!is_valid_version(version), "{version}");
        }
    }
}
