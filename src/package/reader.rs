//! Reads a tar stream (POSIX pax; GNU long names too) entry by entry, trusting nothing in it.
//!
//! The `tar` crate reads extended headers of any size into memory, so only its parser of the fixed 512-byte block is used.
//! Its entries are well-formed and bounded; [`super::tree`] decides whether they are *safe* (names, links).

use std::io::{ErrorKind, Read};

use anyhow::{Context, Result};
use tar::Header;

use super::{
    entry::{Entry, Kind, Time},
    limits::Limits,
    pax::{self, Records},
    refusal::{refuse, refuse_stream},
};

const BLOCK: u64 = 512;

/// Zeros after the end of the archive: writers fill their last record (10 KiB by default, up to 1 MiB).
const MAX_TRAILER: u64 = 1 << 20;

/// A stream of entries.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    limits: Limits,
    entries: u64,
    bytes: u64,
    /// Content of the current entry that has not been read, then the padding of its last block.
    body: u64,
    padding: u64,
}

/// Extensions before an entry's own header.
#[derive(Default)]
struct Extensions {
    records: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// Reads nothing yet.
    pub fn new(stream: R, limits: Limits) -> Self {
        Self { stream, limits, entries: 0, bytes: 0, body: 0, padding: 0 }
    }

    /// Skips the rest of the entry before and reads the next one; `None` after the last, when the stream has ended well.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.skip_body()?;
        let mut extensions = Extensions::default();
        loop {
            let block = self.block()?;
            if block == [0; BLOCK as usize] {
                self.end(&extensions)?;
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            let name = header.path_bytes();
            check_sum(header).map_err(|why| refuse(&name, why))?;
            let size = header.entry_size().map_err(|_| refuse(&name, "its size is not a number"))?;
            let slot_taken = match header.entry_type().as_byte() {
                b'x' => {
                    let records =
                        pax::parse(&self.extension(&name, size)?).map_err(|why| refuse(&name, why))?;
                    extensions.records.replace(records).is_some()
                }
                b'L' => extensions.long_name.replace(until_nul(self.extension(&name, size)?)).is_some(),
                b'K' => extensions.long_link.replace(until_nul(self.extension(&name, size)?)).is_some(),
                _ => return self.entry(header, extensions).map(Some),
            };
            if slot_taken {
                return Err(refuse(&name, "two extended headers of one kind are before one entry"));
            }
        }
    }

    /// Reads content of the current entry; 0 at its end.
    pub fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let want = usize::try_from(self.body).unwrap_or(usize::MAX).min(buffer.len());
        self.fill(&mut buffer[..want])?;
        self.body -= want as u64;
        Ok(want)
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry> {
        let Extensions { records, long_name, long_link } = extensions;
        let Records { path, linkpath, size, uid, gid, mtime, xattrs } = records.unwrap_or_default();
        let mut path = path.or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
        let link = linkpath.or(long_link).or_else(|| header.link_name_bytes().map(|name| name.into_owned()));

        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(refuse(&path, format!("more than {} entries", self.limits.entries)));
        }
        let bad = |what| refuse(&path, format!("its {what} is not a number"));
        let size = size.map_or_else(|| header.entry_size(), Ok).map_err(|_| bad("size"))?;
        let kind = kind(header, size, link.unwrap_or_default()).map_err(|why| refuse(&path, why))?;
        let id = |value: Option<u32>, field: std::io::Result<u64>| {
            value.or_else(|| field.ok().and_then(|id| u32::try_from(id).ok()))
        };
        let uid = id(uid, header.uid()).ok_or_else(|| bad("owner"))?;
        let gid = id(gid, header.gid()).ok_or_else(|| bad("group"))?;
        let mode = header.mode().map_err(|_| bad("mode"))? & 0o7777;
        let mtime = match mtime {
            Some(time) => time,
            // Base-256 fields are two's complement; the crate hands over their bits.
            None => Time { seconds: header.mtime().map_err(|_| bad("time"))?.cast_signed(), nanos: 0 },
        };
        if kind == Kind::Directory && path.last() == Some(&b'/') {
            path.pop();
        }
        self.body = size;
        self.padding = size.wrapping_neg() % BLOCK;
        let name = |name: Option<&[u8]>| name.unwrap_or_default().to_vec();
        let (uname, gname) = (name(header.username_bytes()), name(header.groupname_bytes()));
        Ok(Entry { path, kind, mode, uid, gid, uname, gname, mtime, xattrs })
    }

    /// The content of an extension header.
    fn extension(&mut self, name: &[u8], size: u64) -> Result<Vec<u8>> {
        if size > self.limits.header_bytes {
            return Err(refuse(
                name,
                format!("an extended header of {size} bytes; the limit is {}", self.limits.header_bytes),
            ));
        }
        let mut content = vec![0; usize::try_from(size).context("the limit of headers fits memory")?];
        self.fill(&mut content)?;
        self.skip(size.wrapping_neg() % BLOCK)?;
        Ok(content)
    }

    fn skip_body(&mut self) -> Result<()> {
        // Not one sum: a body may be as long as a u64.
        let (body, padding) = (std::mem::take(&mut self.body), std::mem::take(&mut self.padding));
        self.skip(body)?;
        self.skip(padding)
    }

    fn skip(&mut self, mut bytes: u64) -> Result<()> {
        let mut scratch = [0; 16 << 10];
        while bytes > 0 {
            let piece = bytes.min(scratch.len() as u64);
            self.fill(&mut scratch[..piece as usize])?;
            bytes -= piece;
        }
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; BLOCK as usize]> {
        let mut block = [0; BLOCK as usize];
        self.fill(&mut block)?;
        Ok(block)
    }

    /// After the first block of zeros: one more, then zeros only, to the end of the stream.
    fn end(&mut self, extensions: &Extensions) -> Result<()> {
        if !matches!(extensions, Extensions { records: None, long_name: None, long_link: None }) {
            return Err(refuse_stream("it ends after an extended header"));
        }
        if self.block()? != [0; BLOCK as usize] {
            return Err(refuse_stream("one block of zeros is between entries"));
        }
        let mut scratch = [0; 16 << 10];
        let mut trailer = 0;
        loop {
            let length = self.read(&mut scratch)?;
            trailer += length as u64;
            if length == 0 {
                return Ok(());
            }
            if trailer > MAX_TRAILER || scratch[..length].iter().any(|&byte| byte != 0) {
                return Err(refuse_stream("something follows its end"));
            }
        }
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let length = self.read(buffer)?;
            if length == 0 {
                return Err(refuse_stream(format!("it is cut off after {} bytes", self.bytes)));
            }
            buffer = &mut buffer[length..];
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.context("read the stream")?,
            }
        };
        self.bytes += length as u64;
        if self.bytes > self.limits.bytes {
            return Err(refuse_stream(format!("it is larger than {} bytes", self.limits.bytes)));
        }
        Ok(length)
    }
}

/// The type of an entry; an error is the reason of the refusal.
fn kind(header: &Header, size: u64, target: Vec<u8>) -> Result<Kind, String> {
    let kind = match header.entry_type().as_byte() {
        // NUL: a regular file before POSIX.
        b'0' | 0 => return Ok(Kind::File { size }),
        b'1' => Kind::HardLink { target },
        b'2' => Kind::Symlink { target },
        b'3' if is_whiteout(header) => Kind::Whiteout,
        b'3' => return Err("it is a character device".into()),
        b'4' => return Err("it is a block device".into()),
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        byte => return Err(format!("its type '{}' is unknown", byte.escape_ascii())),
    };
    // Readers disagree on whether such content is there.
    if size == 0 { Ok(kind) } else { Err("it has content, but is not a regular file".into()) }
}

fn is_whiteout(header: &Header) -> bool {
    let zero = |number: std::io::Result<Option<u32>>| matches!(number, Ok(Some(0)));
    zero(header.device_major()) && zero(header.device_minor())
}

fn check_sum(header: &Header) -> Result<(), &'static str> {
    let bytes = header.as_bytes();
    // The field itself counts as spaces.
    let sum =
        bytes[..148].iter().chain(&[b' '; 8]).chain(&bytes[156..]).map(|&byte| u32::from(byte)).sum::<u32>();
    if header.cksum().is_ok_and(|said| said == sum) {
        Ok(())
    } else {
        Err("the checksum of its header is wrong")
    }
}

/// GNU long names end with a NUL that is not part of them.
fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if name.last() == Some(&0) {
        name.pop();
    }
    name
}
