//! Forwards frames between a guest's network card and SLIRP, through the packet filter.
//!
//! Both are in QEMU, and are sockets here. Each frame follows its length (4 bytes, big endian: QEMU's `-netdev socket`). QEMU never
//! blocks on them: it queues frames that do not fit, and accepts no more from the guest meanwhile. The two threads end when QEMU
//! does.

use std::{
    io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Result, Write},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    thread,
};

use anyhow::Context;
use tracing::debug;

use super::packet_filter::PacketFilter;

/// The longest frame of an IPv4 packet, with a tag. Longer ones are dropped, since QEMU would close the connection.
const FRAME_BYTES: usize = 64 * 1024 + 18;

/// The size of buffers: some tens of frames.
const BUFFER_BYTES: usize = 128 * 1024;

/// Starts to forward frames, those of the guest through `filter`. Returns QEMU's ends, of the card and of SLIRP.
pub(super) fn start(filter: PacketFilter) -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let (card, card_end) = UnixStream::pair().context("make the network card's channel")?;
    let (slirp, slirp_end) = UnixStream::pair().context("make SLIRP's channel")?;
    let (from_card, from_slirp) = (card.try_clone(), slirp.try_clone());
    let (from_card, from_slirp) =
        (from_card.context("share a channel")?, from_slirp.context("share a channel")?);
    spawn("frames-out", move || forward(from_card, slirp, &filter))?;
    spawn("frames-in", move || copy(from_slirp, card))?;
    Ok((card_end.into(), slirp_end.into()))
}

fn spawn(name: &str, work: impl FnOnce() -> Result<()> + Send + 'static) -> anyhow::Result<()> {
    let work = move || {
        // QEMU has exited or was killed, which the machine reports.
        let ended = work();
        debug!(?ended, "no more frames");
    };
    thread::Builder::new().name(name.into()).spawn(work).map(drop).with_context(|| format!("start {name}"))
}

/// Forwards the frames that `filter` admits.
fn forward(card: UnixStream, slirp: UnixStream, filter: &PacketFilter) -> Result<()> {
    let mut card = BufReader::with_capacity(BUFFER_BYTES, card);
    let mut slirp = BufWriter::with_capacity(BUFFER_BYTES, slirp);
    let mut frame = Vec::with_capacity(FRAME_BYTES);
    loop {
        if card.buffer().is_empty() {
            slirp.flush()?;
        }
        let mut length = [0; 4];
        match card.read_exact(&mut length) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            read => read?,
        }
        let bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if bytes > FRAME_BYTES {
            skip(&mut card, bytes)?;
            continue;
        }
        frame.resize(bytes, 0);
        card.read_exact(&mut frame)?;
        if filter.admits(&frame) {
            slirp.write_all(&length)?;
            slirp.write_all(&frame)?;
        }
    }
    slirp.into_inner()?.shutdown(Shutdown::Both)
}

/// Reads and discards bytes.
fn skip(from: &mut impl BufRead, mut bytes: usize) -> Result<()> {
    while bytes > 0 {
        let count = from.fill_buf()?.len().min(bytes);
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        from.consume(count);
        bytes -= count;
    }
    Ok(())
}

/// Forwards everything.
fn copy(mut from: UnixStream, mut to: UnixStream) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer)? {
            0 => return to.shutdown(Shutdown::Both),
            count => to.write_all(&buffer[..count])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{HostLoopback, Slirp};

    fn framed(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
    }

    /// A frame to an address, with that many bytes of payload.
    fn to(address: [u8; 4], bytes: usize) -> Vec<u8> {
        let mut frame = vec![0; 34 + bytes];
        frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        frame[30..34].copy_from_slice(&address);
        framed(&frame)
    }

    #[test]
    fn admitted_frames_arrive_complete_and_in_order_and_others_are_dropped() {
        let filter = PacketFilter::new(Slirp::default(), HostLoopback::Off);
        let (card, slirp) = start(filter).expect("threads can be started");
        let (mut card, mut slirp) = (UnixStream::from(card), UnixStream::from(slirp));
        let admitted = [to([1, 1, 1, 1], 0), to([9, 9, 9, 9], 1400), to([8, 8, 8, 8], 60_000)];
        let dropped =
            [to([127, 0, 0, 1], 9), framed(&[]), to([10, 0, 2, 2], 1400), to([1, 1, 1, 1], FRAME_BYTES)];
        let sent: Vec<u8> =
            admitted.iter().zip(&dropped).flat_map(|(a, d)| [&d[..], &a[..]].concat()).collect();
        let sent = [sent, dropped[3].clone(), to([7, 7, 7, 7], 5)].concat();
        let writer = thread::spawn(move || {
            // In pieces that do not end with a frame.
            sent.chunks(777).try_for_each(|piece| card.write_all(piece)).expect("the filter reads");
            card
        });
        let expected = [admitted.concat(), to([7, 7, 7, 7], 5)].concat();
        let mut arrived = vec![0; expected.len()];
        slirp.read_exact(&mut arrived).expect("they arrive");
        assert_eq!(arrived, expected);
        let mut card = writer.join().expect("all was written");
        slirp.write_all(b"anything").expect("all frames to the guest are forwarded");
        let mut received = [0; 8];
        card.read_exact(&mut received).expect("it arrives");
        assert_eq!(&received, b"anything");
        drop(card);
        assert_eq!(slirp.read(&mut received).expect("an end"), 0);
    }
}
