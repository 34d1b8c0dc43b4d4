//! The scratch disk: where a build writes, thrown away with it.
//!
//! A file system is made once for each size (sparse: 50 GiB take some 140 KiB); each guest gets a copy of its few data
//! extents in a file without a name.

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    errno::Errno,
    unistd::{Whence, lseek},
};

use crate::{
    exit::Failure,
    home::Home,
    process::{Command, Spawner},
    rundir::{no_scratch_file, scratch_file},
};

/// No journal and no checksums, for the disk does not outlive the guest; inode tables are left as the holes that they are.
const FEATURES: &str = "^has_journal,^resize_inode,^metadata_csum,sparse_super2,flex_bg,uninit_bg";
const EXTENDED: &str = "lazy_itable_init=1,nodiscard,num_backup_sb=0,root_owner=0:0";
/// mke2fs needs milliseconds; a file system on a network may be slow.
const MAKING: Duration = Duration::from_secs(60);

/// A formatted disk of `bytes` in a file without a name, below `directory`.
///
/// # Errors
/// A host failure when mke2fs is missing or the directory has no room.
pub async fn scratch_disk(home: &Home, spawner: &Spawner, directory: &Path, bytes: u64) -> Result<OwnedFd> {
    let template = template(home, spawner, bytes).await?;
    let from = File::open(&template).with_context(|| format!("open {}", template.display()))?;
    let to = File::from(scratch_file(directory, bytes)?);
    copy_data(&from, &to, bytes).map_err(|error| no_scratch_file(directory, bytes, &error))?;
    Ok(to.into())
}

async fn template(home: &Home, spawner: &Spawner, bytes: u64) -> Result<PathBuf> {
    let directory = home.dir("scratch")?;
    let path = directory.join(format!("{bytes}.ext4"));
    if path.exists() {
        return Ok(path);
    }
    let making = tempfile::Builder::new()
        .prefix(".making-")
        .tempfile_in(&directory)
        .with_context(|| format!("make a file in {}", directory.display()))?;
    making.as_file().set_len(bytes).with_context(|| format!("make a sparse file of {bytes} bytes"))?;
    let command = Command::new("mke2fs")
        // Where Debian has it, for an ordinary user's PATH.
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-F", "-t", "ext4", "-m", "0", "-i", "65536", "-O", FEATURES, "-E", EXTENDED])
        .arg(making.path());
    let output = spawner.output(command, MAKING).await?;
    ensure!(
        output.status.success(),
        Failure::host(
            format!(
                "mke2fs of the scratch disk {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            "apt-get install e2fsprogs"
        )
    );
    // Two that make it at once make the same: the last rename wins.
    making.persist(&path).with_context(|| format!("keep {}", path.display()))?;
    Ok(path)
}

/// Copies the data between holes. `to` is as long as `from` already, and may lie on another file system.
fn copy_data(from: &File, to: &File, bytes: u64) -> io::Result<()> {
    let end = i64::try_from(bytes).map_err(io::Error::other)?;
    let mut at = 0;
    while at < end {
        let start = match lseek(from, at, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = lseek(from, start, Whence::SeekHole)?;
        copy_range(from, to, start.unsigned_abs(), at.unsigned_abs())?;
    }
    Ok(())
}

fn copy_range(from: &File, to: &File, start: u64, stop: u64) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut at = start;
    while at < stop {
        let rest = usize::try_from(stop - at).unwrap_or(usize::MAX).min(buffer.len());
        from.read_exact_at(&mut buffer[..rest], at)?;
        to.write_all_at(&buffer[..rest], at)?;
        at += rest as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn only_data_is_copied_and_holes_stay_holes() {
        let size = 64 << 20;
        let from = tempfile::tempfile().expect("a file can be made");
        from.set_len(size).expect("sparse");
        from.write_all_at(b"start", 0).expect("written");
        from.write_all_at(b"middle", 33 << 20).expect("written");
        let to = tempfile::tempfile().expect("a file can be made");
        to.set_len(size).expect("sparse");
        copy_data(&from, &to, size).expect("copied");
        let mut bytes = [0; 6];
        to.read_exact_at(&mut bytes, 33 << 20).expect("read");
        assert_eq!(&bytes, b"middle");
        assert!(to.metadata().expect("metadata").blocks() * 512 < 1 << 20);
    }
}
