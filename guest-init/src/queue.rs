//! Bytes that wait to be sent to the host, in one piece, so that the channel gets as many of them at once as it takes.
//!
//! Each copy of a byte costs time in an emulated guest, so that an archive's bytes are read from their files into this memory. It is
//! used again and again: memory that the kernel has just given costs a page fault for each page.

use anyhow::{Context, Result};
use kiln_protocol::{
    FromGuest,
    frame::{self, MAX_DATA, MAX_FRAME},
};

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    memory: Vec<u8>,
    /// The first byte that waits, and the end of those that do.
    start: usize,
    end: usize,
}

impl Queue {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// The bytes that wait.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// The first of the waiting bytes were sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        // The move costs as much as it moves: at most a third of what was sent since the last one.
        if self.start > 3 * self.len() {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
    }

    /// Appends a message.
    pub(crate) fn push(&mut self, message: &FromGuest) -> Result<()> {
        let bytes = frame::encode(message, MAX_FRAME).context("encode an answer")?;
        self.room(bytes.len()).copy_from_slice(&bytes);
        self.end += bytes.len();
        Ok(())
    }

    /// Appends [`FromGuest::Data`] with the bytes that `fill` writes, and returns their number; nothing if there are none.
    pub(crate) fn push_data(&mut self, fill: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<usize> {
        let usual = frame::data_head(MAX_DATA)?;
        let room = self.room(usual.len() + MAX_DATA);
        let count = fill(&mut room[usual.len()..])?;
        if count == 0 {
            return Ok(0);
        }
        let head = frame::data_head(count)?;
        // The head of less data may be shorter.
        if head.len() != usual.len() {
            room.copy_within(usual.len()..usual.len() + count, head.len());
        }
        room[..head.len()].copy_from_slice(&head);
        self.end += head.len() + count;
        Ok(count)
    }

    /// The memory behind the waiting bytes.
    fn room(&mut self, size: usize) -> &mut [u8] {
        let needed = self.end + size;
        if self.memory.len() < needed {
            self.memory.resize(needed, 0);
        }
        &mut self.memory[self.end..needed]
    }
}

#[cfg(test)]
mod tests {
    use kiln_protocol::frame::Decoder;

    use super::*;

    #[test]
    fn messages_and_data_come_in_order_whatever_is_sent_at_once() {
        let sizes = [MAX_DATA, 1, 127, 128, 0, 16_383, 16_384, MAX_DATA, MAX_DATA - 1, MAX_DATA];
        for at_once in [1, 4096, 32 * 1024, usize::MAX] {
            let (mut queue, mut decoder, mut expected) = (Queue::default(), Decoder::default(), Vec::new());
            for (number, size) in sizes.into_iter().enumerate() {
                let pushed = queue.push_data(|room| {
                    room[..size].fill(number as u8);
                    Ok(size)
                });
                assert_eq!(pushed.expect("it fits"), size);
                if size > 0 {
                    expected.push(FromGuest::Data(vec![number as u8; size]));
                }
                let message = FromGuest::Consumed { step: number as u32, bytes: 7 };
                queue.push(&message).expect("it fits");
                expected.push(message);
                for _ in 0..2 {
                    let count = queue.len().min(at_once);
                    decoder.push(&queue.bytes()[..count]);
                    queue.sent(count);
                }
            }
            decoder.push(queue.bytes());
            queue.sent(queue.len());
            assert_eq!(queue.len(), 0);
            let mut messages: Vec<FromGuest> = Vec::new();
            while let Some(message) = decoder.next(MAX_FRAME).expect("frames") {
                messages.push(message);
            }
            assert!(messages == expected, "{at_once} at once");
        }
    }

    #[test]
    fn memory_is_used_again() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.push_data(|room| Ok(room.len())).expect("it fits");
            queue.sent(MAX_DATA);
        }
        assert!(queue.memory.len() < 8 * MAX_DATA, "{}", queue.memory.len());
    }

    #[test]
    fn data_that_cannot_be_read_leaves_nothing() {
        let mut queue = Queue::default();
        queue.push(&FromGuest::FileRead { bytes: 1 }).expect("it fits");
        let before = queue.bytes().to_vec();
        queue.push_data(|_| anyhow::bail!("no")).expect_err("refused");
        assert_eq!(queue.bytes(), before);
    }
}
