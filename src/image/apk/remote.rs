//! Files that may change under their address: indexes and keys. The last one that was accepted is kept, with the version that
//! the server gave it, so that an unchanged one is not sent again and a build without a network can use it.

use std::{
    fs,
    io::{ErrorKind, Result as IoResult, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    apk::tar::invalid,
    event::WarningKind,
    exit::Failure,
    files::{Durability, write_atomically},
    image::kept::{self, Kept},
};

use super::{
    http::{Answer, Client, Request},
    network::Network,
    package::read_all,
    progress::Progress,
    repository::Place,
    url,
};

/// The most bytes of a note: a URL and a version of a server.
const MOST_NOTE: u64 = 64 << 10;

/// Reads files of a host or of a server.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    client: Client,
    network: Network,
    directory: PathBuf,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Its content.
    pub(super) bytes: Vec<u8>,
    keep: Option<Keep>,
}

/// Where a file of a server is kept.
#[derive(Debug)]
struct Keep {
    path: PathBuf,
    note: Note,
}

/// What is known of a kept file: the first line of it, before the content.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    /// For people who look into the directory.
    url: String,
    version: Option<String>,
    sha256: String,
}

impl Remote {
    /// Keeps files below `cache`.
    pub(super) fn new(network: &Network, client: &Client, cache: &Path) -> Self {
        Self { client: client.clone(), network: network.clone(), directory: cache.join("remote") }
    }

    /// Reads a file of `limit` bytes at most; `None` for a path that does not exist. `name` is what it is, for messages.
    ///
    /// # Errors
    /// A host failure with the address and the cause.
    pub(super) fn read(
        &self,
        place: &Place,
        limit: u64,
        name: &str,
        progress: &Progress,
    ) -> Result<Option<Fetched>, Failure> {
        match place {
            Place::Path(path) => read_path(path, limit, name),
            Place::Url(address) => {
                self.read_url(&self.network.take_login(address), limit, name, progress).map(Some)
            }
        }
    }

    fn read_url(
        &self,
        address: &str,
        limit: u64,
        name: &str,
        progress: &Progress,
    ) -> Result<Fetched, Failure> {
        let path = self.directory.join(format!("{}.kept", HEXLOWER.encode(&Sha256::digest(address))));
        let kept = Kept::of(read_kept(&path, limit)).map_err(|error| unreadable(name, &error))?;
        if self.network.offline {
            return offline(kept, &format!("{name} {}", url::redact(address)));
        }
        let kept = match kept {
            Kept::Whole(kept) => Some(kept),
            Kept::Missing => None,
            Kept::Damaged(why) => {
                let text = format!("{name} is damaged in the cache ({why}), and is fetched again");
                progress.warn(WarningKind::CacheDamaged, text);
                None
            }
        };
        let mut file = tempfile::tempfile().map_err(|error| unreadable(name, &error))?;
        let known = kept.as_ref().and_then(|(_, note)| note.version.as_deref());
        let request = Request { url: address, known, limit };
        let answer = self.client.get(request, &mut file, &mut |bytes| progress.bytes(name, bytes, None));
        let answer = answer.map_err(|failure| Failure {
            what: format!("{name} cannot be fetched: {}", failure.what),
            ..failure
        })?;
        match (answer, kept) {
            (Answer::Unchanged, Some((bytes, _))) => Ok(Fetched { bytes, keep: None }),
            (Answer::Unchanged, None) => Err(unreadable(name, &"the server sent nothing")),
            (Answer::New { version }, _) => {
                let read = file.seek(SeekFrom::Start(0)).and_then(|_| read_all(&mut file, limit));
                let bytes = read.map_err(|error| unreadable(name, &error))?;
                let sha256 = HEXLOWER.encode(&Sha256::digest(&bytes));
                let note = Note { url: url::redact(address), version, sha256 };
                Ok(Fetched { bytes, keep: Some(Keep { path, note }) })
            }
        }
    }
}

impl Fetched {
    /// Keeps the file, which was accepted.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        let Some(Keep { path, note }) = &self.keep else { return Ok(()) };
        let mut content =
            serde_json::to_vec(note).map_err(|error| unreadable("the note of a file", &error))?;
        content.push(b'\n');
        content.extend(&self.bytes);
        let kept = kept::make_room(path).map_err(anyhow::Error::from);
        kept.and_then(|()| write_atomically(path, &content, Durability::Cache)).map_err(|error| {
            Failure::host(
                format!("{} cannot be kept: {error:#}", note.url),
                "Give a directory that this user can write with --apk-cache-dir or KILN_HOME.",
            )
        })
    }
}

/// A kept file, if it is the one of its note.
fn read_kept(path: &Path, limit: u64) -> IoResult<(Vec<u8>, Note)> {
    let mut bytes = read_all(&mut kept::open(path)?, limit.saturating_add(MOST_NOTE))?;
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| invalid("it has no note"))?;
    let note: Note = serde_json::from_slice(bytes.get(..end).unwrap_or_default())?;
    bytes.drain(..=end);
    match HEXLOWER.encode(&Sha256::digest(&bytes)) == note.sha256 {
        true => Ok((bytes, note)),
        false => Err(invalid("it has another checksum")),
    }
}

/// The file that is kept, without a network; `what` names it.
fn offline(kept: Kept<(Vec<u8>, Note)>, what: &str) -> Result<Fetched, Failure> {
    let again = "Run the command once with a network.";
    match kept {
        Kept::Whole((bytes, _)) => Ok(Fetched { bytes, keep: None }),
        Kept::Missing => {
            Err(Failure::host(format!("--network off, and the cache does not have {what}"), again))
        }
        Kept::Damaged(why) => {
            Err(Failure::host(format!("--network off, and the cache has {what} damaged: {why}"), again))
        }
    }
}

fn read_path(path: &Path, limit: u64, name: &str) -> Result<Option<Fetched>, Failure> {
    let at = format!("{name} {}", path.display());
    // open(2) of a pipe waits for a writer.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(unreadable(&at, &"it is not a regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&at, &error)),
    }
    let bytes = kept::open_linked(path).and_then(|mut file| read_all(&mut file, limit));
    let bytes = bytes.map_err(|error| unreadable(&at, &error))?;
    Ok(Some(Fetched { bytes, keep: None }))
}

fn unreadable(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::host(format!("{what} cannot be read: {error}"), "Correct the path, or make the file readable.")
}
