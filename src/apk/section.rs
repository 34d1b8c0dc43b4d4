//! Splits a package or an index into its gzip members: signature, control section and data section, or signature and index.
//! Everything in such a file is hostile: all that is held in memory or unpacked has a limit.
//!
//! Limits and the rule for the signature are those of apko's reader.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use flate2::bufread::GzDecoder;

/// The most bytes of a control section, unpacked.
pub(crate) const CONTROL_MAX: u64 = 10 << 20;

/// The most bytes of an index, unpacked.
pub(crate) const INDEX_MAX: u64 = 300_000_000;

/// The most bytes of a data section, unpacked.
pub(crate) const DATA_MAX: u64 = 16 << 30;

/// The most bytes of a signature section, unpacked: ten signatures of the largest keys are smaller.
const SIGNATURE_MAX: u64 = 64 << 10;

/// Above so many unpacked bytes, a section must not expand by more than [`MAX_RATIO`].
const RATIO_FREE: u64 = 256 << 20;

/// Deflate expands 1032 times at most. A section that large with such a ratio holds nothing but one repeated byte.
const MAX_RATIO: u64 = 500;

/// How the first entry of a signature section begins.
const SIGNATURE_PREFIX: &[u8] = b".SIGN.";

/// A member in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// As in the file: what digests and signatures are about.
    pub(crate) compressed: Vec<u8>,
    /// Unpacked: a tar.
    pub(crate) content: Vec<u8>,
}

/// The members before the data section of a package, or an index with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The signature section, if the file has one.
    pub(crate) signature: Option<Member>,
    /// The member after it: the control section, or the index.
    pub(crate) main: Member,
}

/// Reads the signature section, if there is one, and the member after it, which has `limit` bytes at most. The input then
/// stands at the byte after that member.
///
/// # Errors
/// `InvalidData` for what is no such file, or is larger than its limit; errors of the input.
pub(crate) fn head(input: &mut impl BufRead, limit: u64) -> Result<Head> {
    let first = member(input, limit.max(SIGNATURE_MAX))?;
    if !first.content.starts_with(SIGNATURE_PREFIX) {
        return Ok(Head { signature: None, main: within(first, limit)? });
    }
    let signature = Some(within(first, SIGNATURE_MAX)?);
    Ok(Head { signature, main: member(input, limit)? })
}

/// Reads one member whose unpacked content has `limit` bytes at most.
///
/// # Errors
/// As [`head`].
pub(crate) fn member(input: &mut impl BufRead, limit: u64) -> Result<Member> {
    // Data that cannot be compressed grows by a thousandth; flushes and the header add a little.
    let copy = Copy { input, copied: Vec::new(), limit: limit + limit / 100 + 1024 };
    let mut decoder = GzDecoder::new(copy);
    let mut content = Vec::new();
    decoder.by_ref().take(limit + 1).read_to_end(&mut content).map_err(malformed)?;
    let member = Member { compressed: decoder.into_inner().copied, content };
    within(member, limit)
}

fn within(member: Member, limit: u64) -> Result<Member> {
    if member.content.len() as u64 > limit {
        return Err(invalid(format!("a section is larger than {limit} bytes")));
    }
    Ok(member)
}

/// The content of the data section: all members to the end of the file.
#[derive(Debug)]
pub(crate) struct Data<R> {
    /// `None` after the end.
    member: Option<GzDecoder<Counted<R>>>,
    limit: u64,
    unpacked: u64,
}

impl<R: BufRead> Data<R> {
    /// `input` stands behind [`head`]; `limit` is in unpacked bytes.
    pub(crate) fn new(input: R, limit: u64) -> Self {
        Self { member: Some(GzDecoder::new(Counted { input, bytes: 0 })), limit, unpacked: 0 }
    }

    fn check(&self, compressed: u64) -> Result<()> {
        if self.unpacked > self.limit {
            return Err(invalid(format!("the data section is larger than {} bytes", self.limit)));
        }
        if self.unpacked > RATIO_FREE && self.unpacked / MAX_RATIO > compressed {
            let why =
                format!("the data section expands more than {MAX_RATIO} times: it is a compression bomb");
            return Err(invalid(why));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Data<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.member {
            let length = decoder.read(buffer).map_err(malformed)?;
            if length > 0 {
                self.unpacked += length as u64;
                let compressed = decoder.get_ref().bytes;
                self.check(compressed)?;
                return Ok(length);
            }
            let Some(decoder) = self.member.take() else { break };
            let mut rest = decoder.into_inner();
            if !rest.fill_buf()?.is_empty() {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// An input that copies what is consumed of it.
struct Copy<'a, R> {
    input: &'a mut R,
    copied: Vec<u8>,
    limit: u64,
}

impl<R: BufRead> Read for Copy<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Copy<'_, R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.copied.len() as u64 > self.limit {
            return Err(invalid(format!("a compressed section is larger than {} bytes", self.limit)));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        // The bytes are still in the buffer: nothing was read since they were handed out.
        if let Ok(available) = self.input.fill_buf() {
            self.copied.extend_from_slice(&available[..length.min(available.len())]);
        }
        self.input.consume(length);
    }
}

/// An input that counts what is consumed of it.
#[derive(Debug)]
struct Counted<R> {
    input: R,
    bytes: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = self.input.read(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.bytes += length as u64;
        self.input.consume(length);
    }
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// flate2 has several kinds of errors for input that is not gzip.
fn malformed(error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidInput => invalid(format!("it is not gzip: {error}")),
        ErrorKind::UnexpectedEof => invalid("it is cut off".into()),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::{super::member::gzip, *};

    fn control() -> Vec<u8> {
        gzip(b".PKGINFO and more")
    }

    fn signature() -> Vec<u8> {
        gzip(b".SIGN.RSA256.key.rsa.pub")
    }

    fn data(file: &[u8]) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        Data::new(file, DATA_MAX).read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn a_file_is_split_at_its_members_whatever_the_buffer() {
        let many = [gzip(b"data, "), gzip(b""), gzip(b"more")].concat();
        for first in [Some(signature()), None] {
            let file = [first.clone().unwrap_or_default(), control(), many.clone()].concat();
            for capacity in [1, 2, 7, 64, 4096] {
                let mut input = BufReader::with_capacity(capacity, &file[..]);
                let head = head(&mut input, CONTROL_MAX).expect("a package");
                assert_eq!(head.signature.map(|member| member.compressed), first);
                assert_eq!(head.main.compressed, control());
                assert_eq!(head.main.content, b".PKGINFO and more");
                let mut content = String::new();
                Data::new(input, DATA_MAX).read_to_string(&mut content).expect("data");
                assert_eq!(content, "data, more");
            }
        }
    }

    #[test]
    fn what_is_larger_than_its_limit_is_refused_before_it_is_unpacked() {
        let bomb = gzip(&vec![0; 11 << 20]);
        assert!(
            head(&mut &bomb[..], CONTROL_MAX).expect_err("11 MiB").to_string().contains("10485760 bytes")
        );
        let large = gzip(&[SIGNATURE_PREFIX, &[0; 65 << 10]].concat());
        let file = [large, control()].concat();
        assert!(head(&mut &file[..], CONTROL_MAX).expect_err("65 KiB").to_string().contains("65536 bytes"));
        let exact = gzip(&[1; 1000]);
        assert!(member(&mut &exact[..], 1000).is_ok());
        assert!(member(&mut &exact[..], 999).is_err());
        let mut few = Data::new(&exact[..], 999);
        assert!(few.read_to_end(&mut Vec::new()).expect_err("1000").to_string().contains("larger than 999"));
    }

    #[test]
    fn a_bomb_of_data_is_refused_by_its_ratio() {
        let zeros = gzip(&vec![0; 16 << 20]);
        let bomb = zeros.repeat(64);
        let mut data = Data::new(&bomb[..], DATA_MAX);
        let error = std::io::copy(&mut data, &mut std::io::sink()).expect_err("a gigabyte of zeros");
        assert!(error.to_string().contains("compression bomb"), "{error}");
        assert!(data.unpacked < RATIO_FREE + (1 << 20));
        let small = zeros.repeat(16);
        assert!(data_length(&small) == 256 << 20, "a quarter of a gigabyte may be zeros");
    }

    fn data_length(file: &[u8]) -> u64 {
        std::io::copy(&mut Data::new(file, DATA_MAX), &mut std::io::sink()).expect("accepted")
    }

    #[test]
    fn cut_off_and_changed_files_are_refused() {
        let file = gzip(b"some data");
        for length in 1..file.len() {
            assert!(data(&file[..length]).is_err(), "cut off after {length} bytes");
            assert!(member(&mut &file[..length], 100).is_err(), "cut off after {length} bytes");
        }
        assert!(member(&mut &b""[..], 100).is_err());
        for at in [0, 1, 2, file.len() - 1, file.len() - 8] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(data(&changed).is_err(), "byte {at} is another one");
        }
        assert!(data(&[&file[..], b"\0\0\0"].concat()).is_err(), "something follows");
    }
}
