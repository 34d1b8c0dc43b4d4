//! Reads one small file below a directory, for the host: the text of a licence in the workspace.
//!
//! Steps choose what lies in the workspace. No name and no link leads out of the directory, and a file that is not a regular one
//! is refused, so that reading neither waits nor reaches something else of the guest.

use std::{fs::File, io::Read, os::fd::AsFd, path::Path};

use anyhow::{Context, Result, bail};
use kiln_protocol::MAX_FILE;
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::Mode,
};

/// The content of the file, at most [`MAX_FILE`] bytes.
pub(crate) fn read(root: &str, path: &str) -> Result<Vec<u8>> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(Path::new(root), flags, Mode::empty()).with_context(|| format!("open {root}"))?;
    // A named pipe without a writer does not hold it up.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file =
        File::from(openat2(root.as_fd(), Path::new(path), how).with_context(|| format!("open {path}"))?);
    if !file.metadata().with_context(|| format!("examine {path}"))?.is_file() {
        bail!("{path} is not a regular file");
    }
    let mut content = Vec::new();
    let most = u64::try_from(MAX_FILE)? + 1;
    file.take(most).read_to_end(&mut content).with_context(|| format!("read {path}"))?;
    if content.len() > MAX_FILE {
        bail!("{path} has more than {MAX_FILE} bytes");
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_regular_files_below_the_directory_are_read() {
        let all = tempfile::tempdir().expect("a directory");
        let root = all.path().join("root");
        fs::create_dir_all(root.join("below")).expect("made");
        fs::write(all.path().join("outside"), "no").expect("written");
        fs::write(root.join("below/COPYING"), "yes").expect("written");
        symlink("below/COPYING", root.join("inner")).expect("linked");
        symlink("../outside", root.join("outer")).expect("linked");
        symlink("/proc/self/environ", root.join("absolute")).expect("linked");
        mkfifo(&root.join("fifo"), Mode::S_IRUSR).expect("made");
        fs::write(root.join("most"), vec![0; MAX_FILE]).expect("written");
        fs::write(root.join("large"), vec![0; MAX_FILE + 1]).expect("written");
        let root = root.to_str().expect("it is UTF-8");
        for path in ["below/COPYING", "below/../below/COPYING", "inner"] {
            assert_eq!(read(root, path).expect(path), b"yes");
        }
        assert_eq!(read(root, "most").expect("it fits").len(), MAX_FILE);
        for (path, why) in [
            ("../outside", "open"),
            ("outer", "open"),
            ("absolute", "open"),
            ("/etc/passwd", "open"),
            ("absent", "open"),
            ("", "open"),
            ("below", "not a regular file"),
            ("fifo", "not a regular file"),
            ("large", "more than"),
        ] {
            let error = format!("{:#}", read(root, path).expect_err(path));
            assert!(error.contains(why), "{path}: {error}");
        }
    }
}
