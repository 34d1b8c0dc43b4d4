//! The pixels of a screenshot, as far as a browser writes PNG files (8 bits a channel, not interlaced).

use std::{collections::BTreeMap, io::Read};

use flate2::read::ZlibDecoder;

/// A picture.
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Red, green and blue of each pixel, from the top left.
    pub(super) pixels: Vec<[u8; 3]>,
}

impl Picture {
    pub(super) fn of_png(png: &[u8]) -> Self {
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        let (width, height) = (number(16), number(20));
        let channels = match png[25] {
            2 => 3,
            6 => 4,
            other => panic!("colour type {other}"),
        };
        assert_eq!((png[24], png[28]), (8, 0), "8 bits, not interlaced");
        let mut compressed = Vec::new();
        let mut at = 8;
        while at < png.len() {
            let length = number(at);
            if &png[at + 4..at + 8] == b"IDAT" {
                compressed.extend_from_slice(&png[at + 8..at + 8 + length]);
            }
            at += 12 + length;
        }
        let mut lines = Vec::new();
        ZlibDecoder::new(&compressed[..]).read_to_end(&mut lines).unwrap();
        let pixels = unfiltered(&lines, width * channels, channels);
        let pixels = pixels.chunks(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        Self { width, height, pixels }
    }

    /// How many pixels each colour has.
    pub(super) fn colours(&self) -> BTreeMap<[u8; 3], usize> {
        let mut colours = BTreeMap::new();
        for pixel in &self.pixels {
            *colours.entry(*pixel).or_default() += 1;
        }
        colours
    }
}

/// The bytes of the lines without their filters (RFC 2083, chapter 6).
fn unfiltered(lines: &[u8], stride: usize, channels: usize) -> Vec<u8> {
    let mut pixels: Vec<u8> = Vec::with_capacity(lines.len());
    for line in lines.chunks(stride + 1) {
        let start = pixels.len();
        for (at, byte) in line[1..].iter().enumerate() {
            let left = if at >= channels { pixels[start + at - channels] } else { 0 };
            let above = if start > 0 { pixels[start - stride + at] } else { 0 };
            let corner = if start > 0 && at >= channels { pixels[start - stride + at - channels] } else { 0 };
            let predicted = match line[0] {
                0 => 0,
                1 => left,
                2 => above,
                3 => u8::midpoint(left, above),
                4 => paeth(left, above, corner),
                other => panic!("filter {other}"),
            };
            pixels.push(byte.wrapping_add(predicted));
        }
    }
    pixels
}

fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, above, corner].map(i16::from);
    let estimate = a + b - c;
    [(a, left), (b, above), (c, corner)]
        .into_iter()
        .min_by_key(|(value, _)| (estimate - value).abs())
        .unwrap()
        .1
}
