//! The content of a file below `boot` or a directory of modules, unpacked where it is packed.

use std::io::{self, Read, Seek};

use flate2::read::{GzDecoder, MultiGzDecoder};
use liblzma::{read::XzDecoder, stream};

use super::version::GZIP;
use crate::package::facts::source::Source;

const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Larger files are not searched: kernels and modules have some MiB.
const MAX_BYTES: u64 = 512 << 20;
/// How much larger than the file its unpacked content may be; modules are packed to a third or fifth. A hostile build cannot make
/// the search long by files that are small.
const MAX_RATIO: u64 = 64;
/// The memory that xz may take: the kernel's build has it use 1 MiB, the highest level of others 64 MiB.
const XZ_MEMORY: u64 = 80 << 20;
/// The base-2 logarithm of zstd's memory: 32 MiB.
const ZSTD_WINDOW_LOG: u32 = 25;
/// An entry of the table of sections of a Windows program, and how many are looked at; real images have ten.
const SECTION_BYTES: usize = 40;
const MAX_SECTIONS: usize = 256;

/// Where bytes are, and how they are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    offset: u64,
    packing: Packing,
    /// The most that is read from it, unpacked.
    limit: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    /// A gzip file in a program: what stands behind it belongs to the program.
    GzipInside {
        /// The file that the gzip file stands in is itself a gzip file.
        twice: bool,
    },
    Xz,
    Zstd,
}

impl Content {
    /// The content of a whole file; `None` if it is too large.
    pub(super) fn of(source: &mut Source<'_, impl Read + Seek>) -> io::Result<Option<Self>> {
        if source.size() > MAX_BYTES {
            return Ok(None);
        }
        let head = source.head(XZ.len())?;
        let packing = match &head[..] {
            head if head.starts_with(GZIP) => Packing::Gzip,
            head if head.starts_with(XZ) => Packing::Xz,
            head if head.starts_with(ZSTD) => Packing::Zstd,
            _ => Packing::Plain,
        };
        let limit = match packing {
            Packing::Plain => source.size(),
            _ => source.size().saturating_mul(MAX_RATIO).min(MAX_BYTES),
        };
        Ok(Some(Self { offset: 0, packing, limit }))
    }

    /// Where a kernel is: in the file itself, in a gzip file, or in the section of a unified kernel image. Kernels are not packed
    /// as a whole by xz or zstd.
    pub(super) fn kernel(self, source: &mut Source<'_, impl Read + Seek>) -> io::Result<Self> {
        if self.packing == Packing::Gzip {
            return Ok(self);
        }
        let (offset, limit) = match linux_section(source)? {
            Some((offset, size)) => (offset, size.min(MAX_BYTES)),
            None => (0, source.size()),
        };
        Ok(Self { offset, packing: Packing::Plain, limit })
    }

    /// The gzip file at an offset of this content.
    pub(super) fn gzip_inside(self, at: u64) -> Option<Self> {
        let (twice, offset) = match self.packing {
            Packing::Plain => (false, self.offset.checked_add(at)?),
            Packing::Gzip => (true, at),
            Packing::GzipInside { .. } | Packing::Xz | Packing::Zstd => return None,
        };
        let limit = self.limit.saturating_mul(MAX_RATIO).min(MAX_BYTES);
        Some(Self { offset, packing: Packing::GzipInside { twice }, limit })
    }

    /// The first bytes, unpacked.
    pub(super) fn head(
        &self,
        source: &mut Source<'_, impl Read + Seek>,
        limit: usize,
    ) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        let result =
            self.open(source).and_then(|reader| reader.take(limit as u64).read_to_end(&mut head)).map(|_| ());
        unless_damaged(result)?;
        Ok(head)
    }

    /// A reader of it, unpacked.
    pub(super) fn open<'s>(
        &self,
        source: &'s mut Source<'_, impl Read + Seek>,
    ) -> io::Result<Box<dyn Read + 's>> {
        let Self { offset, packing, limit } = *self;
        Ok(match packing {
            Packing::Plain => Box::new(source.from(offset)?.take(limit)),
            Packing::Gzip => Box::new(MultiGzDecoder::new(source.from(offset)?).take(limit)),
            Packing::GzipInside { twice: false } => {
                Box::new(GzDecoder::new(source.from(offset)?).take(limit))
            }
            Packing::GzipInside { twice: true } => {
                let mut outer = MultiGzDecoder::new(source.from(0)?).take(limit);
                io::copy(&mut (&mut outer).take(offset), &mut io::sink())?;
                Box::new(GzDecoder::new(outer).take(limit))
            }
            Packing::Xz => {
                let decoder = stream::Stream::new_stream_decoder(XZ_MEMORY, stream::CONCATENATED)?;
                Box::new(XzDecoder::new_stream(source.from(offset)?, decoder).take(limit))
            }
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(source.from(offset)?)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder.take(limit))
            }
        })
    }
}

/// Damaged compressed data are no error: the file is just not what it seemed. Errors of the system are.
pub(super) fn unless_damaged(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error().is_some() => Err(error),
        _ => Ok(()),
    }
}

/// The offset and size of the section `.linux` of a Windows program, which is how EFI knows a unified kernel image.
fn linux_section(source: &mut Source<'_, impl Read + Seek>) -> io::Result<Option<(u64, u64)>> {
    let head = source.head(64)?;
    let offset = head.strip_prefix(b"MZ").and_then(|_| number(&head, 60));
    let Some(offset) = offset.map(u64::from) else { return Ok(None) };
    let Some(header) = source.exact(offset, 24)? else { return Ok(None) };
    let Some(header) = header.strip_prefix(b"PE\0\0") else { return Ok(None) };
    let (Some(count), Some(optional)) = (short(header, 2), short(header, 16)) else { return Ok(None) };
    let count = usize::from(count).min(MAX_SECTIONS);
    let table = source.up_to(offset + 24 + u64::from(optional), count * SECTION_BYTES)?;
    let section = table.chunks_exact(SECTION_BYTES).find(|section| section.starts_with(b".linux\0"));
    let place = section.and_then(|section| Some((number(section, 20)?, number(section, 16)?)));
    Ok(place.map(|(offset, size)| (u64::from(offset), u64::from(size))))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
