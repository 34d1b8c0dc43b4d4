//! Any bytes as the stream of one side of the wire, in pieces of any size: messages come out, the same ones for all sizes, or
//! it is refused; and what came out can be sent.
#![no_main]

use std::fmt::Debug;

use kiln_protocol::{
    FromGuest, ToGuest,
    frame::{Decoder, MAX_FRAME, MAX_REQUEST, encode},
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fn messages<M: DeserializeOwned>(bytes: &[u8], piece: usize, limit: usize) -> (Vec<M>, bool) {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next(limit) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
        }
    }
    (messages, true)
}

fn check<M: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8], piece: usize, limit: usize) {
    let (whole, good) = messages::<M>(bytes, bytes.len().max(1), limit);
    let (pieces, good_in_pieces) = messages::<M>(bytes, piece, limit);
    assert_eq!((&whole, good), (&pieces, good_in_pieces));
    for message in whole {
        let sent = encode(&message, limit).expect("what fitted fits");
        assert_eq!(messages::<M>(&sent, piece, limit), (vec![message], true));
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = (usize::from(input.0).max(1), input.1);
    check::<FromGuest>(bytes, piece, MAX_FRAME);
    check::<ToGuest>(bytes, piece, MAX_REQUEST);
});
