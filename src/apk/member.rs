//! A gzip member (RFC 1952) that is compressed on several processors, with the same bytes for any number of them.
//!
//! The input is cut into blocks of a fixed size. Each is compressed by itself and ends with a sync flush, so that the
//! outputs can stand one after the other in one deflate stream (RFC 1951).

use std::{
    collections::VecDeque,
    io::{Error, Result, Write},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress};

use super::noise::{self, Run};

/// The bytes of a block. Larger ones compress hardly better and need more memory.
const BLOCK: usize = 1 << 20;

/// More threads would need more memory, and compress faster than a disk takes it.
const MAX_THREADS: usize = 8;

/// Blocks that wait besides those that threads work on.
const SPARE_BLOCKS: usize = 1;

/// The header: deflate, no flags, no time, no extra flags, an unknown system. It says nothing of the host.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Packages are read more often than they are written, and a higher level costs much for little.
const LEVEL: Compression = Compression::new(6);
/// The last block of a deflate stream: stored, and empty.
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// The most bytes of a stored block.
const STORED_MAX: usize = 0xffff;

/// Compresses a text in memory to one member.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_threads(Vec::new(), NonZeroUsize::MIN);
    writer.write_all(content).and_then(|()| writer.finish()).expect("a vector takes every byte")
}

/// A member that is being written. Threads start with the second block.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    /// Input that is no whole block yet.
    block: Vec<u8>,
    threads: NonZeroUsize,
    workers: Option<mpsc::Sender<Job>>,
    /// The results to come, in the order of the blocks.
    pending: VecDeque<mpsc::Receiver<Compressed>>,
    crc: Hasher,
    bytes: u64,
    is_started: bool,
}

/// A block, and where its result goes.
struct Job {
    block: Vec<u8>,
    last: Position,
    result: mpsc::SyncSender<Compressed>,
}

/// Whether the deflate stream ends with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Middle,
    Last,
}

/// A compressed block.
#[derive(Debug)]
struct Compressed {
    output: Vec<u8>,
    crc: Hasher,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes nothing yet. As many threads as the host has processors, and at most [`MAX_THREADS`].
    pub(crate) fn new(out: W) -> Self {
        let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self::with_threads(out, processors)
    }

    fn with_threads(out: W, threads: NonZeroUsize) -> Self {
        Self {
            out,
            block: Vec::new(),
            threads,
            workers: None,
            pending: VecDeque::new(),
            crc: Hasher::new(),
            bytes: 0,
            is_started: false,
        }
    }

    /// Compresses the rest and writes the trailer.
    pub(crate) fn finish(mut self) -> Result<W> {
        while let Some(result) = self.pending.pop_front() {
            self.take(&result)?;
        }
        let block = std::mem::take(&mut self.block);
        self.put(&compress(&block, Position::Last)?)?;
        self.out.write_all(&self.crc.clone().finalize().to_le_bytes())?;
        // RFC 1952: the size modulo 2^32.
        self.out.write_all(&(self.bytes as u32).to_le_bytes())?;
        Ok(self.out)
    }

    /// Hands a whole block to the threads, and writes results while too many are pending.
    fn dispatch(&mut self) -> Result<()> {
        let block = std::mem::take(&mut self.block);
        if self.threads == NonZeroUsize::MIN {
            return self.put(&compress(&block, Position::Middle)?);
        }
        let threads = self.threads.get().min(MAX_THREADS);
        if self.pending.len() >= threads + SPARE_BLOCKS {
            let oldest = self.pending.pop_front().expect("there are pending blocks");
            self.take(&oldest)?;
        }
        let (result, receiver) = mpsc::sync_channel(1);
        let job = Job { block, last: Position::Middle, result };
        let workers = match &mut self.workers {
            Some(workers) => workers,
            none => none.insert(start(threads)?),
        };
        workers.send(job).map_err(|_| Error::other("the threads that compress have ended"))?;
        self.pending.push_back(receiver);
        Ok(())
    }

    fn take(&mut self, result: &mpsc::Receiver<Compressed>) -> Result<()> {
        let compressed = result.recv().map_err(|_| Error::other("a thread that compresses has ended"))?;
        self.put(&compressed)
    }

    fn put(&mut self, Compressed { output, crc, bytes }: &Compressed) -> Result<()> {
        if !self.is_started {
            self.is_started = true;
            self.out.write_all(&HEADER)?;
        }
        self.crc.combine(crc);
        self.bytes = self.bytes.wrapping_add(*bytes);
        self.out.write_all(output)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.block.len() == BLOCK {
            self.dispatch()?;
        }
        let length = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    /// Does nothing: where blocks end must depend on the input alone.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Starts the threads. They end when the sender is dropped.
fn start(threads: usize) -> Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..threads {
        let jobs = Arc::clone(&jobs);
        thread::Builder::new().name("gzip".into()).spawn(move || {
            loop {
                let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Job { block, last, result }) = next else { return };
                let Ok(compressed) = compress(&block, last) else { return };
                // best effort: a writer that was dropped takes no result.
                let _ = result.send(compressed);
            }
        })?;
    }
    Ok(sender)
}

/// A block as a piece of a deflate stream, which ends on a byte.
fn compress(block: &[u8], position: Position) -> Result<Compressed> {
    let mut state = Compress::new(LEVEL, false);
    let mut output = Vec::with_capacity(block.len() / 2 + 64);
    for run in noise::runs(block) {
        match run {
            Run::Noise(bytes) => store(bytes, &mut output),
            Run::Plain(bytes) => {
                // What was stored is not in its window.
                state.reset();
                deflate(&mut state, bytes, &mut output)?;
            }
        }
    }
    if position == Position::Last {
        output.extend_from_slice(&END);
    }
    let mut crc = Hasher::new();
    crc.update(block);
    Ok(Compressed { output, crc, bytes: block.len() as u64 })
}

/// Stored blocks: a byte of flags, the length, its complement, the bytes.
fn store(bytes: &[u8], output: &mut Vec<u8>) {
    for piece in bytes.chunks(STORED_MAX) {
        let length = piece.len() as u16;
        output.push(0);
        output.extend_from_slice(&length.to_le_bytes());
        output.extend_from_slice(&(!length).to_le_bytes());
        output.extend_from_slice(piece);
    }
}

fn deflate(state: &mut Compress, bytes: &[u8], output: &mut Vec<u8>) -> Result<()> {
    loop {
        let taken = state.total_in() as usize;
        state.compress_vec(&bytes[taken..], output, FlushCompress::Sync).map_err(Error::other)?;
        // Spare room means that the flush is complete.
        if output.len() < output.capacity() && state.total_in() == bytes.len() as u64 {
            return Ok(());
        }
        // Deflate adds 5 bytes to 64 KiB that it cannot compress; a flush adds a few.
        output.reserve(bytes.len() / 4 + 64);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn compressed(content: &[u8], threads: usize) -> Vec<u8> {
        let threads = NonZeroUsize::new(threads).expect("not zero");
        let mut writer = Writer::with_threads(Vec::new(), threads);
        // Pieces of several sizes: they must not matter.
        for piece in content.chunks(1000 * threads.get() + 7) {
            writer.write_all(piece).expect("in memory");
        }
        writer.finish().expect("in memory")
    }

    fn plain(member: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(member);
        decoder.read_to_end(&mut content).expect("it is gzip, with the right checksum and size");
        assert!(decoder.into_inner().is_empty(), "one member");
        content
    }

    /// Bytes that compress a little.
    fn content(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 & 0x3f
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads_or_on_pieces() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 12 * BLOCK + 5] {
            let content = content(length);
            let one = compressed(&content, 1);
            assert_eq!(plain(&one), content, "{length}");
            assert_eq!(one[..10], HEADER);
            for threads in [2, 3, 20] {
                assert_eq!(compressed(&content, threads), one, "{length} bytes, {threads} threads");
            }
            assert_eq!(gzip(&content), one);
        }
    }

    #[test]
    fn noise_is_stored_between_what_is_deflated() {
        let mut noise = vec![0; BLOCK / 2];
        getrandom::fill(&mut noise).expect("random bytes");
        let content = [&noise[..], &content(BLOCK), &noise, &noise[..5]].concat();
        let member = compressed(&content, 2);
        assert_eq!(plain(&member), content);
        assert!(member.len() > BLOCK && member.len() < BLOCK * 19 / 10, "{}", member.len());
    }

    #[test]
    fn noise_and_zeros_come_back() {
        let noise: Vec<u8> =
            (0..3 * BLOCK as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        for content in [noise, vec![0; 5 * BLOCK + 1]] {
            let member = compressed(&content, 2);
            assert_eq!(plain(&member), content);
            assert!(member.len() < content.len() + content.len() / 100 + 100);
        }
    }

    #[test]
    fn an_error_of_the_output_is_reported() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> Result<()> {
                Ok(())
            }
        }
        let mut writer = Writer::with_threads(Full, NonZeroUsize::new(2).expect("not zero"));
        let written = writer.write_all(&vec![0; 9 * BLOCK]);
        assert_eq!(written.expect_err("it is full").kind(), std::io::ErrorKind::StorageFull);
    }
}
