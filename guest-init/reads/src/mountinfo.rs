//! A list of mounts as proc_pid_mountinfo(5) has it.

use std::path::PathBuf;

/// Where they are, in their order, as seen from the root of the process whose list it is.
pub(crate) fn targets(mountinfo: &str) -> impl Iterator<Item = PathBuf> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(|target| unescape(target).into())
}

/// The kernel writes space, tab, newline and backslash as `\ooo`.
pub fn unescape(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (escaped, plain)| path.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_they_were_given() {
        let list = "22 1 0:20 / / rw - overlay overlay rw\n\
                    23 22 0:21 / /mnt/a\\040b\\134 rw,nosuid shared:1 - virtiofs cache rw\n\
                    short\n";
        assert_eq!(targets(list).collect::<Vec<_>>(), [PathBuf::from("/"), PathBuf::from("/mnt/a b\\")]);
    }
}
