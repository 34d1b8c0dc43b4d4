//! Frames: a 4-byte little-endian length, then that many bytes of one postcard-encoded message.
//!
//! Encoding is infallible for our messages; decoding is where hostile bytes arrive, so the length is checked against
//! [`MAX_FRAME`] before anything is allocated, and a message must use its frame up.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

/// The most bytes of output or archive that one message carries.
pub const MAX_DATA: usize = 64 * 1024;

/// The most bytes of input for a step that may be on their way: the agent queues them until the step reads.
pub const INPUT_WINDOW: usize = MAX_DATA;

/// The longest frame from the agent, without its length: [`MAX_DATA`] and room for a message's other fields, of which
/// [`crate::Counted`] has most.
pub const MAX_FRAME: usize = MAX_DATA + 48 * 1024;

/// The longest frame to the agent, without its length: a step's script and environment may be large.
pub const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// The bytes of the length before each frame.
pub const HEADER: usize = 4;

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// The announced length is above the limit.
    TooLong {
        /// The announced length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes are not a message.
    Malformed(String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => write!(f, "a frame of {length} bytes (the limit is {limit})"),
            Self::Malformed(why) => write!(f, "a malformed frame: {why}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// One message as a frame, length included.
///
/// # Errors
/// [`FrameError::TooLong`] when the message does not fit `limit`.
pub fn encode<M: Serialize>(message: &M, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = postcard::to_extend(message, vec![0; HEADER])
        .map_err(|error| FrameError::Malformed(error.to_string()))?;
    let length = bytes.len() - HEADER;
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    let header = u32::try_from(length).map_err(|_| FrameError::TooLong { length, limit })?;
    bytes[..HEADER].copy_from_slice(&header.to_le_bytes());
    Ok(bytes)
}

/// The bytes of a frame with [`crate::FromGuest::Data`] before its data: an agent that has the data in place already need not copy
/// them.
///
/// # Errors
/// [`FrameError::TooLong`] when so much data does not fit [`MAX_DATA`].
pub fn data_head(length: usize) -> Result<Vec<u8>, FrameError> {
    let too_long = FrameError::TooLong { length, limit: MAX_DATA };
    let data = u32::try_from(length).ok().filter(|_| length <= MAX_DATA).ok_or(too_long)?;
    let mut head = encode(&crate::FromGuest::Data(Vec::new()), MAX_FRAME)?;
    // The length of no data is the last byte.
    head.pop();
    let mut head =
        postcard::to_extend(&data, head).map_err(|error| FrameError::Malformed(error.to_string()))?;
    let frame = (head.len() - HEADER) as u32 + data;
    head[..HEADER].copy_from_slice(&frame.to_le_bytes());
    Ok(head)
}

/// The length of the frame that a header announces.
///
/// # Errors
/// [`FrameError::TooLong`] when it is above `limit`.
pub fn length(header: [u8; HEADER], limit: usize) -> Result<usize, FrameError> {
    // A usize has at least 32 bits wherever kiln runs.
    let length = u32::from_le_bytes(header) as usize;
    if length > limit { Err(FrameError::TooLong { length, limit }) } else { Ok(length) }
}

/// The message in a frame's bytes (without the length).
///
/// # Errors
/// [`FrameError::Malformed`] when they are not exactly one message.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, FrameError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(FrameError::Malformed(format!("{} bytes are left over", rest.len()))),
        Err(error) => Err(FrameError::Malformed(error.to_string())),
    }
}

/// Collects bytes as they arrive and gives out whole messages: for readers that cannot block on one frame.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete message, if there is one.
    ///
    /// # Errors
    /// As [`length`] and [`decode`]; the stream cannot be read further after that.
    pub fn next<M: DeserializeOwned>(&mut self, limit: usize) -> Result<Option<M>, FrameError> {
        let rest = &self.bytes[self.start..];
        let Some((header, body)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = length(*header, limit)?;
        let Some(body) = body.get(..length) else { return Ok(None) };
        let message = decode(body)?;
        self.start += HEADER + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Completeness, Counted, CountedDirectory, FromGuest, MAX_COUNTED, MAX_UNCLEAR, Reads, Stream,
        UnclearFile,
    };

    #[test]
    fn the_head_of_data_is_that_of_the_message() {
        for length in [0, 1, 127, 128, 16_383, 16_384, MAX_DATA] {
            let frame = encode(&FromGuest::Data(vec![7; length]), MAX_FRAME).expect("it fits");
            let head = data_head(length).expect("it fits");
            assert_eq!((&head[..], length), (&frame[..frame.len() - length], frame.len() - head.len()));
        }
        assert!(data_head(MAX_DATA + 1).is_err());
    }

    fn output(bytes: usize) -> FromGuest {
        FromGuest::Output { step: 7, stream: Stream::Stderr, bytes: vec![0xff; bytes] }
    }

    #[test]
    fn the_longest_count_fits() {
        let directory = CountedDirectory { name: "\u{10ffff}".repeat(255), files: u64::MAX, bytes: u64::MAX };
        let counted = Counted {
            directories: vec![directory; MAX_COUNTED],
            unclear: vec![UnclearFile { directory: u8::MAX, inode: u64::MAX }; MAX_UNCLEAR],
            unknown: u64::MAX,
            completeness: Completeness::AtLeast,
        };
        let frame = encode(&FromGuest::Reads(Reads::Counted(counted)), MAX_FRAME);
        assert!(frame.is_ok_and(|frame| frame.len() > MAX_DATA));
    }

    #[test]
    fn a_message_survives_the_wire() {
        let frame = encode(&output(MAX_DATA), MAX_FRAME).expect("the largest output fits a frame");
        let (header, body) = frame.split_first_chunk::<HEADER>().expect("a frame has a header");
        assert_eq!(length(*header, MAX_FRAME), Ok(body.len()));
        assert_eq!(decode(body), Ok(output(MAX_DATA)));
    }

    #[test]
    fn refuses_a_huge_length_before_allocating() {
        let error = length(u32::MAX.to_le_bytes(), MAX_FRAME);
        assert_eq!(error, Err(FrameError::TooLong { length: u32::MAX as usize, limit: MAX_FRAME }));
    }

    #[test]
    fn refuses_to_encode_a_message_above_the_limit() {
        assert!(matches!(encode(&output(MAX_FRAME), MAX_FRAME), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn refuses_bytes_after_the_message_and_malformed_bytes() {
        let mut frame = encode(&output(1), MAX_FRAME).expect("it fits");
        frame.push(0);
        assert!(matches!(decode::<FromGuest>(&frame[HEADER..]), Err(FrameError::Malformed(_))));
        assert!(matches!(decode::<FromGuest>(&[0xff; 9]), Err(FrameError::Malformed(_))));
        assert!(matches!(decode::<FromGuest>(&[]), Err(FrameError::Malformed(_))));
    }

    #[test]
    fn a_length_inside_a_message_cannot_make_us_allocate() {
        // Data(Vec<u8>) that claims 2^63 bytes: variant 6, then a varint.
        let bytes = [6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(decode::<FromGuest>(&bytes), Err(FrameError::Malformed(_))));
    }

    #[test]
    fn the_decoder_gives_whole_messages_however_the_bytes_arrive() {
        let messages = [output(0), output(3), output(500)];
        let wire: Vec<u8> = messages.iter().flat_map(|m| encode(m, MAX_FRAME).expect("it fits")).collect();
        for chunk in [1, 2, 5, 7, 64, wire.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in wire.chunks(chunk) {
                decoder.push(piece);
                while let Some(message) = decoder.next::<FromGuest>(MAX_FRAME).expect("well-formed") {
                    seen.push(message);
                }
            }
            assert_eq!(seen, messages, "in chunks of {chunk}");
        }
    }
}
