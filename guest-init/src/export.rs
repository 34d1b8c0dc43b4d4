//! The tree below a directory as one tar stream, piece by piece: never more of it in memory than a piece and the names
//! of the directories on the way down.
//!
//! Names are opened below directories that are open already, so that paths of any length can be read and a name that is
//! changed meanwhile leads nowhere else. The host judges the entries.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use anyhow::{Context, Error, Result, ensure};
use kiln_protocol::{LINKED, LinkScope};
use nix::{
    dir::Dir,
    fcntl::{AtFlags, OFlag, openat, readlinkat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, major, minor},
};

use crate::{
    attributes::{self, Form},
    content::Content,
    header::{BLOCK, Entry, Kind, blocks},
    listing::Listing,
    owner_names::OwnerNames,
};

/// Two empty blocks end an archive.
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// How directories and files are opened: never through a symbolic link.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);

/// An export under way.
pub(crate) struct Export {
    /// The directories from the root to the current one.
    stack: Vec<Level>,
    /// The overlay whose upper directory is exported.
    merged: Option<OwnedFd>,
    /// The file whose content is being sent.
    content: Option<Content>,
    link_scope: LinkScope,
    owner_names: OwnerNames,
    /// Set where only names and sizes are sent.
    listing: Option<Listing>,
    /// Files with more than one name: the first of them in the scope, by device and inode.
    linked: HashMap<(u64, u64), Vec<u8>>,
    /// Bytes of the stream before the content: headers that had no room yet.
    pending: Vec<u8>,
    state: State,
    entries: u64,
    bytes: u64,
}

#[derive(PartialEq, Eq)]
enum State {
    Walking,
    Complete,
}

/// A directory.
struct Level {
    directory: Dir,
    form: Form,
    path: Vec<u8>,
    /// The names that are still to come; the last is next.
    names: Vec<Vec<u8>>,
}

impl Export {
    /// Begins at the children of `root`.
    pub(crate) fn of(root: &str, link_scope: LinkScope) -> Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY;
        let directory =
            Dir::open(Path::new(root), flags, Mode::empty()).with_context(|| format!("export {root}"))?;
        let export = Self::below(directory, Form::Tree, None).with_context(|| format!("export {root}"))?;
        Ok(Self { link_scope, owner_names: OwnerNames::read(), ..export })
    }

    /// Begins at the children of an overlay's upper directory; `merged` is the overlay.
    pub(crate) fn of_upper(directory: Dir, merged: OwnedFd) -> Result<Self> {
        Self::below(directory, Form::Upper, Some(merged))
    }

    /// The same, without content.
    pub(crate) fn names(self, listing: Listing) -> Self {
        Self { listing: Some(listing), ..self }
    }

    fn below(directory: Dir, form: Form, merged: Option<OwnedFd>) -> Result<Self> {
        Ok(Self {
            stack: vec![Level::new(directory, form, Vec::new())?],
            merged,
            content: None,
            link_scope: LinkScope::Stream,
            owner_names: OwnerNames::default(),
            listing: None,
            linked: HashMap::new(),
            pending: Vec::new(),
            state: State::Walking,
            entries: 0,
            bytes: 0,
        })
    }

    /// How many entries have been sent.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// How many bytes have been sent.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the next bytes of the stream and returns their number: fewer than there is room for at its end only.
    pub(crate) fn fill(&mut self, room: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < room.len() {
            let rest = &mut room[filled..];
            if !self.pending.is_empty() {
                filled += take(&mut self.pending, rest);
            } else if let Some(content) = &mut self.content {
                match content.read(rest)? {
                    0 => self.content = None,
                    count => filled += count,
                }
            } else if self.state == State::Walking {
                self.advance()?;
            } else {
                break;
            }
        }
        self.bytes += filled as u64;
        Ok(filled)
    }

    /// Goes on to the next entry, or appends the end of the stream to `pending`.
    fn advance(&mut self) -> Result<()> {
        let Some(level) = self.stack.last_mut() else {
            self.pending.extend_from_slice(&END);
            self.state = State::Complete;
            return Ok(());
        };
        match level.names.pop() {
            Some(name) => {
                let path = level.path_of(&name);
                if self.link_scope == LinkScope::Child && self.stack.len() == 1 {
                    self.linked.clear();
                }
                self.entry(&name, &path).with_context(|| format!("export {}", String::from_utf8_lossy(&path)))
            }
            None => {
                self.stack.pop();
                Ok(())
            }
        }
    }

    /// One entry of the innermost directory: its header, and what comes after it.
    fn entry(&mut self, name: &[u8], path: &[u8]) -> Result<()> {
        let Level { directory, form, .. } = innermost(&self.stack);
        let (form, name) = (*form, OsStr::from_bytes(name));
        let stat = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let file_type = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if file_type == SFlag::S_IFDIR {
            let below = Dir::openat(directory, name, READ | OFlag::O_DIRECTORY, Mode::empty())?;
            return self.directory(below, form, path, &stat);
        }
        // Only regular files: other kinds have no content. A listing has no content either, and an entry for each name.
        let keeps_links = self.link_scope != LinkScope::None && self.listing.is_none();
        if stat.st_nlink > 1 && file_type == SFlag::S_IFREG && keeps_links {
            let first = self.linked.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_vec());
            if first != path {
                let kind = Kind::HardLink { target: first.clone() };
                self.header(path, kind, &stat, Vec::new());
                return Ok(());
            }
        }
        let (major, minor) = (number(major(stat.st_rdev)), number(minor(stat.st_rdev)));
        let kind = match file_type {
            SFlag::S_IFREG => return self.file(name, path),
            // The process that listened on it has ended, and tar has no such entry.
            SFlag::S_IFSOCK => return Ok(()),
            SFlag::S_IFLNK => Kind::Symlink { target: readlinkat(directory, name)?.into_encoded_bytes() },
            SFlag::S_IFIFO => Kind::Fifo,
            SFlag::S_IFCHR => Kind::CharDevice { major, minor },
            SFlag::S_IFBLK => Kind::BlockDevice { major, minor },
            _ => return Err(Error::msg("a file of an unknown type")),
        };
        self.header(path, kind, &stat, Vec::new());
        Ok(())
    }

    /// A directory, and then its content. A renamed directory is complete in the merged overlay only. It is exported whole and
    /// opaque, since the lower directory of its new name must stay hidden.
    fn directory(&mut self, below: Dir, form: Form, path: &[u8], stat: &FileStat) -> Result<()> {
        let opened = |directory: &Dir| Ok::<_, Error>(File::from(directory.as_fd().try_clone_to_owned()?));
        if self.listing.is_some() {
            self.stack.push(Level::new(below, form, path.to_vec())?);
        } else if form == Form::Upper && attributes::is_renamed(&opened(&below)?)? {
            let whole = self.whole(path)?;
            let mut attributes = attributes::of(&opened(&whole)?, Form::Merged)?;
            attributes.push(attributes::opaque());
            self.header(path, Kind::Directory, stat, attributes);
            self.stack.push(Level::new(whole, Form::Merged, path.to_vec())?);
        } else {
            self.header(path, Kind::Directory, stat, attributes::of(&opened(&below)?, form)?);
            self.stack.push(Level::new(below, form, path.to_vec())?);
        }
        Ok(())
    }

    /// A directory of the overlay, whatever the length of its path.
    fn whole(&self, path: &[u8]) -> Result<Dir> {
        let merged = self.merged.as_ref().context("the tree is not an overlay")?;
        let mut directory = openat(merged, ".", READ | OFlag::O_DIRECTORY, Mode::empty())?;
        for name in path.split(|&byte| byte == b'/') {
            directory =
                openat(&directory, OsStr::from_bytes(name), READ | OFlag::O_DIRECTORY, Mode::empty())?;
        }
        Ok(Dir::from_fd(directory)?)
    }

    fn file(&mut self, name: &OsStr, path: &[u8]) -> Result<()> {
        let Level { directory, form, .. } = innermost(&self.stack);
        let form = *form;
        // Non-blocking, since it may have become a fifo.
        let file = File::from(openat(directory, name, READ | OFlag::O_NONBLOCK, Mode::empty())?);
        let stat = fstat(&file)?;
        ensure!(
            SFlag::from_bits_truncate(stat.st_mode).contains(SFlag::S_IFREG),
            "it changed while it was exported"
        );
        if self.listing.is_some() {
            return self.listed(file, path, &stat);
        }
        let mut attributes = attributes::of(&file, form)?;
        if form != Form::Tree && stat.st_nlink > 1 {
            attributes.push((LINKED.as_bytes().to_vec(), b"y".to_vec()));
        }
        let content = Content::new(file, path.to_vec(), stat);
        let kind = Kind::File { size: content.size() };
        self.header(path, kind, &stat, attributes);
        self.content = Some(content);
        Ok(())
    }

    /// A file that differs from the lower one: its name and size.
    fn listed(&mut self, mut file: File, path: &[u8], stat: &FileStat) -> Result<()> {
        let listed = self.listing.as_mut().map(|listing| listing.attributes(&mut file, stat, path));
        if let Some(Some(attributes)) = listed.transpose()? {
            self.header(path, Kind::File { size: 0 }, stat, attributes);
        }
        Ok(())
    }

    fn header(&mut self, path: &[u8], kind: Kind, stat: &FileStat, xattrs: Vec<(Vec<u8>, Vec<u8>)>) {
        self.entries += 1;
        self.pending.extend(blocks(&Entry {
            path: path.to_vec(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            uname: self.owner_names.user(stat.st_uid).to_vec(),
            gname: self.owner_names.group(stat.st_gid).to_vec(),
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            xattrs,
        }));
    }
}

/// Moves as many bytes as there is room for, and returns their number.
fn take(pending: &mut Vec<u8>, room: &mut [u8]) -> usize {
    let count = pending.len().min(room.len());
    room[..count].copy_from_slice(&pending[..count]);
    pending.drain(..count);
    count
}

/// The directory whose names are being exported.
fn innermost(stack: &[Level]) -> &Level {
    stack.last().expect("a name comes from the innermost directory")
}

impl Level {
    fn new(mut directory: Dir, form: Form, path: Vec<u8>) -> Result<Self> {
        let mut names = Vec::new();
        for entry in directory.iter() {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self { directory, form, path, names })
    }

    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() { name.to_vec() } else { [self.path.as_slice(), name].join(&b'/') }
    }
}

/// Device numbers of Linux have 32 bits.
fn number(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
