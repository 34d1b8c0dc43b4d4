//! Cuts a stream of bytes into pieces of output: text, never cut inside a character, or bytes.

use super::Data;

/// One stream of a step. A piece is text if all of it is UTF-8, else bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Utf8Splitter {
    /// The start of a character whose end has not arrived: at most 3 bytes.
    begun: Vec<u8>,
}

impl Utf8Splitter {
    /// Takes the next bytes; `None` while they are only the start of a character.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Data> {
        let mut piece = std::mem::take(&mut self.begun);
        piece.extend_from_slice(bytes);
        self.begun = piece.split_off(piece.len() - begun(&piece));
        data(piece)
    }

    /// The end of the stream: the incomplete character that is left, if there is one.
    pub fn finish(&mut self) -> Option<Data> {
        data(std::mem::take(&mut self.begun))
    }
}

fn data(piece: Vec<u8>) -> Option<Data> {
    if piece.is_empty() {
        return None;
    }
    Some(String::from_utf8(piece).map_or_else(|error| Data::Bytes(error.into_bytes()), Data::Text))
}

/// How many bytes at the end are the start of a character that the next bytes may complete.
fn begun(bytes: &[u8]) -> usize {
    let is_start = |length: &usize| {
        let tail = &bytes[bytes.len() - length..];
        // `error_len` is none where the input ended too early, and only there.
        std::str::from_utf8(tail).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=bytes.len().min(3)).find(is_start).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_character_is_never_cut_however_the_bytes_arrive() {
        let text = "aé€😀z";
        for size in 1..=text.len() {
            let mut splitter = Utf8Splitter::default();
            let pieces: Vec<Data> =
                text.as_bytes().chunks(size).filter_map(|chunk| splitter.push(chunk)).collect();
            let joined: String = pieces
                .iter()
                .map(|piece| match piece {
                    Data::Text(text) => text.as_str(),
                    Data::Bytes(bytes) => panic!("{bytes:?} in pieces of {size}"),
                })
                .collect();
            assert_eq!((joined.as_str(), splitter.finish()), (text, None));
        }
    }

    #[test]
    fn what_is_not_utf_8_is_bytes() {
        let mut splitter = Utf8Splitter::default();
        assert_eq!(splitter.push(b"a\xff"), Some(Data::Bytes(b"a\xff".to_vec())));
        assert_eq!(splitter.push(b"\xe2\x82"), None);
        assert_eq!(splitter.push(b"x"), Some(Data::Bytes(b"\xe2\x82x".to_vec())));
        assert_eq!(splitter.push(b"ok\xc3"), Some(Data::Text("ok".into())));
        assert_eq!(splitter.finish(), Some(Data::Bytes(b"\xc3".to_vec())));
        assert_eq!(splitter.finish(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_byte_is_lost(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let mut splitter = Utf8Splitter::default();
            let mut pieces: Vec<Data> = chunks.iter().filter_map(|chunk| splitter.push(chunk)).collect();
            pieces.extend(splitter.finish());
            let joined: Vec<u8> = pieces
                .into_iter()
                .flat_map(|piece| match piece {
                    Data::Text(text) => text.into_bytes(),
                    Data::Bytes(bytes) => bytes,
                })
                .collect();
            prop_assert_eq!(joined, chunks.concat());
        }
    }
}
