//! A list of mounts as proc_pid_mountinfo(5) has it.

use std::path::PathBuf;

/// A mount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its mount point, as seen from the root of the process whose list it is.
    pub(crate) target: PathBuf,
    /// Whether it shows the whole file system.
    pub(crate) is_whole: bool,
}

/// All of them, in their order.
pub(crate) fn mounts(mountinfo: &str) -> impl Iterator<Item = Listed> {
    mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, target) = (fields.next()?, fields.next()?);
        Some(Listed { target: unescape(target).into(), is_whole: root == "/" })
    })
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
    fn escaped_names_are_decoded() {
        let list = "22 1 0:20 / / rw - overlay overlay rw\n\
                    23 22 0:21 /part /mnt/a\\040b\\134 rw,nosuid shared:1 - virtiofs cache rw\n\
                    short\n";
        let listed = |target: &str, is_whole| Listed { target: target.into(), is_whole };
        assert_eq!(mounts(list).collect::<Vec<_>>(), [listed("/", true), listed("/mnt/a b\\", false)]);
    }
}
