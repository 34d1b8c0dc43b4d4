//! A root of the store as one tar stream, for `docker import` and `kiln image export`.
//!
//! Before it: [`super::erofs`], which reads the image without mounting it, so that every user can and nothing gets lost. It
//! must not keep a file in memory.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use nix::sys::stat::SFlag;
use tar::{Builder, EntryType, Header};

use super::erofs::{Erofs, Inode};

/// Writes all of `image` to `sink`, as a POSIX archive: owners by number, extended attributes as `SCHILY.xattr.*`.
///
/// # Errors
/// When the image is damaged, or the sink takes no more.
pub fn write(image: &Path, sink: impl Write) -> Result<()> {
    let erofs = Erofs::open(image)?;
    let root = erofs.root()?;
    let mut archive = Archive { erofs: &erofs, tar: Builder::new(sink), linked: HashMap::new() };
    // Depth first, in the order of names: each directory comes before its entries.
    let mut open = vec![(PathBuf::from("."), root)];
    let mut seen = HashSet::new();
    while let Some((path, inode)) = open.pop() {
        archive.entry(&path, &inode).with_context(|| format!("write {} down", path.display()))?;
        if inode.kind() == SFlag::S_IFDIR {
            // In a damaged image a directory may be its own grandchild.
            ensure!(seen.insert(inode.number), "{} is a second name of a directory", path.display());
            for (name, number) in erofs.entries(&inode)?.into_iter().rev() {
                open.push((path.join(OsStr::from_bytes(&name)), erofs.inode(number)?));
            }
        }
    }
    archive.tar.into_inner().and_then(|mut sink| sink.flush()).context("end the archive")
}

struct Archive<'a, W: Write> {
    erofs: &'a Erofs,
    tar: Builder<W>,
    /// Files with more than one name: the first of them.
    linked: HashMap<u64, PathBuf>,
}

impl<W: Write> Archive<'_, W> {
    fn entry(&mut self, path: &Path, inode: &Inode) -> Result<()> {
        let mut header = header(inode);
        if inode.links > 1 && inode.kind() != SFlag::S_IFDIR {
            if let Some(first) = self.linked.get(&inode.number) {
                header.set_entry_type(EntryType::Link);
                return Ok(self.tar.append_link(&mut header, path, first)?);
            }
            self.linked.insert(inode.number, path.to_owned());
        }
        self.attributes(inode)?;
        match inode.kind() {
            SFlag::S_IFREG => {
                header.set_size(inode.size);
                let content = Content { erofs: self.erofs, inode, at: 0 };
                self.tar.append_data(&mut header, path, content)?;
            }
            SFlag::S_IFLNK => {
                header.set_entry_type(EntryType::Symlink);
                let target = self.erofs.content(inode)?;
                self.tar.append_link(&mut header, path, OsStr::from_bytes(&target))?;
            }
            kind => {
                header.set_entry_type(match kind {
                    SFlag::S_IFDIR => EntryType::Directory,
                    SFlag::S_IFCHR => EntryType::Char,
                    SFlag::S_IFBLK => EntryType::Block,
                    SFlag::S_IFIFO => EntryType::Fifo,
                    // A socket of an image has no listener, and tar has no type for it.
                    _ => return Ok(()),
                });
                // The kernel's encoding: 12 bits of the major number between 8 and 12 of the minor.
                header.set_device_major(inode.device >> 8 & 0xfff)?;
                header.set_device_minor(inode.device & 0xff | inode.device >> 12 & 0xf_ff00)?;
                self.tar.append_data(&mut header, path, std::io::empty())?;
            }
        }
        Ok(())
    }

    /// The attributes precede the entry that has them.
    fn attributes(&mut self, inode: &Inode) -> Result<()> {
        let attributes = self.erofs.xattrs(inode)?;
        let named: Vec<(String, &[u8])> = attributes
            .iter()
            .map(|(name, value)| {
                (format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)), value.as_slice())
            })
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        Ok(self.tar.append_pax_extensions(named.iter().map(|(name, value)| (name.as_str(), *value)))?)
    }
}

fn header(inode: &Inode) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(inode.mode & 0o7777);
    header.set_uid(inode.uid.into());
    header.set_gid(inode.gid.into());
    header.set_mtime(inode.mtime.0);
    header.set_size(0);
    header
}

impl Inode {
    fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.mode) & SFlag::S_IFMT
    }
}

/// A file's bytes, read on demand.
struct Content<'a> {
    erofs: &'a Erofs,
    inode: &'a Inode,
    at: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.erofs.read(self.inode, self.at, buffer).map_err(std::io::Error::other)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
        process::Command,
    };

    use super::*;

    /// Every kind of file that a root has, in sizes around a block.
    fn tree(root: &Path) {
        fs::create_dir_all(root.join("many")).expect("made");
        for size in [0, 1, 4095, 4096, 4097, 3 * 4096, 100_000] {
            let content: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
            fs::write(root.join(format!("size-{size}")), content).expect("written");
        }
        for at in 0..1000 {
            fs::write(root.join(format!("many/a name long enough for several blocks {at}")), at.to_string())
                .expect("written");
        }
        fs::hard_link(root.join("size-4097"), root.join("zweiter Name ü")).expect("linked");
        symlink("../a/where ever", root.join("link")).expect("linked");
        let long = "d".repeat(120);
        fs::create_dir_all(root.join(&long).join(&long)).expect("made");
        fs::write(root.join(&long).join(&long).join("deep"), "x").expect("written");
        fs::set_permissions(root.join("size-1"), fs::Permissions::from_mode(0o4711)).expect("set");
        xattr::set(root.join("size-1"), "user.one", b"value").expect("set");
        xattr::set(root.join("many/a name long enough for several blocks 7"), "user.two", b"2").expect("set");
        File::options()
            .write(true)
            .open(root.join("size-0"))
            .expect("opened")
            .set_len(1 << 20)
            .expect("sparse");
    }

    #[test]
    fn a_packed_tree_comes_out_again() {
        let work = tempfile::tempdir().expect("a directory");
        let (from, to, image) = (work.path().join("from"), work.path().join("to"), work.path().join("image"));
        tree(&from);
        let made = Command::new("mkfs.erofs").arg("--quiet").arg(&image).arg(&from).status();
        assert!(made.expect("mkfs.erofs is there").success());
        let mut bytes = Vec::new();
        write(&image, &mut bytes).expect("the image is read");
        let mut archive = tar::Archive::new(bytes.as_slice());
        archive.set_preserve_permissions(true);
        archive.set_preserve_mtime(true);
        archive.set_unpack_xattrs(true);
        archive.unpack(&to).expect("the archive is one");
        let compared =
            Command::new("diff").args(["--recursive", "--no-dereference"]).arg(&from).arg(&to).output();
        let compared = compared.expect("diff is there");
        assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
        let metadata = fs::metadata(to.join("size-1")).expect("there");
        assert_eq!(metadata.mode() & 0o7777, 0o4711);
        assert_eq!(metadata.mtime(), fs::metadata(from.join("size-1")).expect("there").mtime());
        assert_eq!(fs::metadata(to.join("zweiter Name ü")).expect("there").nlink(), 2);
        assert_eq!(xattr::get(to.join("size-1"), "user.one").expect("read").as_deref(), Some(&b"value"[..]));
    }

    #[test]
    fn a_damaged_image_is_an_error() {
        let work = tempfile::tempdir().expect("a directory");
        let (from, image) = (work.path().join("from"), work.path().join("image"));
        tree(&from);
        let made = Command::new("mkfs.erofs").arg("--quiet").arg(&image).arg(&from).status();
        assert!(made.expect("mkfs.erofs is there").success());
        let whole = fs::read(&image).expect("read");
        for at in (1024..whole.len().min(40_000)).step_by(997) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            fs::write(&image, &damaged).expect("written");
            // Any result but a panic or an endless loop.
            drop(write(&image, std::io::sink()));
        }
        fs::write(&image, &whole[..2000]).expect("written");
        assert!(write(&image, std::io::sink()).is_err());
    }
}
