//! Output with secrets, redacted.

use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;

fn redactor(secrets: &[&[u8]]) -> Redactor {
    Redactor::new(secrets.iter().copied())
}

/// When all that waits is due.
fn later() -> Instant {
    Instant::now() + 2 * FLUSH_DELAY
}

/// All that is shown of these pieces.
fn shown_of(secret: &[u8], pieces: &[&[u8]]) -> String {
    let mut redactor = redactor(&[secret]);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(redactor.push(0, Stream::Stdout, piece));
    }
    out.extend(redactor.finish().into_iter().flat_map(|(_, bytes)| bytes));
    String::from_utf8_lossy(&out).into_owned()
}

fn shown(secret: &str, pieces: &[&str]) -> String {
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    shown_of(secret.as_bytes(), &pieces)
}

#[test]
fn a_secret_is_redacted_wherever_the_pieces_end() {
    let text = "a hunter22 b hunter2 hunter22";
    for cut in 0..text.len() {
        let (first, second) = text.split_at(cut);
        assert_eq!(shown("hunter22\n", &[first, second]), "a *** b hunter2 ***", "{cut}");
    }
    let letters: Vec<String> = text.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    assert_eq!(shown("hunter22\n", &letters), "a *** b hunter2 ***");
}

/// Bytes that look like nothing else.
fn token(len: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        letters[(state >> 32) as usize % letters.len()]
    };
    (0..len).map(|_| next()).collect()
}

fn wrapped(text: &str, width: usize, line_break: &str) -> String {
    let width = if width == 0 { text.len() } else { width };
    let lines = text.as_bytes().chunks(width).map(String::from_utf8_lossy);
    lines.map(|line| format!("{line}{line_break}")).collect()
}

#[test]
fn base64_is_redacted_whatever_its_length_offset_lines_and_frames() {
    for len in [10, 33, 57, 58, 96, 500] {
        let secret = token(len);
        for before in ["", "u", "u:", "us:", "user:"] {
            for after in ["", "\n", "!?"] {
                let whole = [before.as_bytes(), &secret, after.as_bytes()].concat();
                let encoded = BASE64.encode(&whole);
                let hidden = (before.len() * 8).div_ceil(6)..(before.len() + len) * 8 / 6;
                for (width, line_break) in [(0, "\n"), (64, "\n"), (76, "\n"), (76, "\r\n"), (5, "\n")] {
                    for frame in [1, 7, 64, 4096] {
                        let text = wrapped(&encoded, width, line_break);
                        let pieces: Vec<&[u8]> = text.as_bytes().chunks(frame).collect();
                        let shown = shown_of(&secret, &pieces);
                        let case = format!("{len} {before} {after:?} {width} {frame}: {shown}");
                        let left: String =
                            shown.replace("***", "").chars().filter(|c| !c.is_whitespace()).collect();
                        // A few digits at the end of a line are not waited for; those after a secret in its group go with it.
                        let most = encoded.len() - hidden.len() + SHORTEST - 1;
                        assert!(left.len() <= most, "{case}");
                        assert!(left.starts_with(&encoded[..hidden.start]), "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn lines_are_kept_and_a_secret_in_many_is_redacted_in_each() {
    assert_eq!(shown("hunter22", &["hunter22\nhunter22\n"]), "***\n***\n");
    assert_eq!(shown("hunter22", &["hunter\n22 and\n"]), "***\n*** and\n");
    let pem = "-----BEGIN KEY-----\nabcdefgh\nxy\n-----END KEY-----\n";
    assert_eq!(shown(pem, &[pem, "after\n"]), "***\n***\n***\n***\nafter\n");
    assert_eq!(shown(pem, &[&pem.replace('\n', "\r\n")]), "***\r\n***\r\n***\r\n***\r\n");
    assert_eq!(shown("hunter22", &["hunter\n\n\n22\n"]), "hunter\n\n\n22\n");
}

#[test]
fn a_part_of_a_large_secret_is_redacted() {
    let secret = String::from_utf8(token(500)).expect("text");
    assert_eq!(shown(&secret, &[&secret[..300], "\n"]), "***\n");
    let shown = shown(&secret, &["> ", &secret[10..400], "\n"]);
    assert!(shown.starts_with("> ") && shown.ends_with("***\n"), "{shown}");
    assert!(shown.len() <= "> ***\n".len() + matcher::WIDTH, "{shown}");
}

#[test]
fn lines_of_a_secret_are_redacted_and_short_ones_are_not_looked_for() {
    assert_eq!(shown("first line\nab\nlast line\n", &["ab last line, first line"]), "ab ***, ***");
    assert_eq!(shown("abc", &["abc"]), "abc");
    assert_eq!(shown("", &["abc"]), "abc");
}

#[test]
fn secrets_that_overlap_are_redacted_both() {
    let mut redactor = redactor(&[b"abcdef", b"defghi"]);
    assert_eq!(redactor.push(0, Stream::Stdout, b" abcdefghi abcdefgx\n"), b" *** ***gx\n");
}

#[test]
fn streams_do_not_mix() {
    let mut redactor = redactor(&[b"hunter22"]);
    assert_eq!(redactor.push(0, Stream::Stdout, b"hunt"), b"");
    assert_eq!(redactor.push(0, Stream::Stderr, b"er22"), b"er22");
    assert_eq!(redactor.push(0, Stream::Stdout, b"er22"), b"***");
}

#[test]
fn a_long_beginning_of_a_secret_is_not_shown_when_nothing_follows() {
    for (text, expected) in [
        ("correct", "correct"),
        ("correct-h", "***"),
        ("correct-horse-batter", "***"),
        ("correct-horse\n", "***\n"),
    ] {
        assert_eq!(shown("correct-horse-battery-staple", &[text]), expected);
    }
    assert_eq!(shown("hunter22", &["hunt"]), "hunt");
    assert_eq!(shown("hunter22", &["hunter2"]), "***");
}

#[test]
fn a_prompt_is_shown_after_a_moment_and_a_secret_after_it_is_not() {
    let mut redactor = redactor(&[b"$ hunter22-and-more"]);
    let stream = Stream::Stdout;
    assert_eq!(redactor.push(0, stream, b"guest:/# "), b"guest:/# ");
    assert_eq!(redactor.due(), None);
    assert_eq!(redactor.push(0, stream, b"name? $ "), b"name? ");
    let due = redactor.due().expect("it waits");
    assert_eq!(redactor.flush(due - FLUSH_DELAY / 2), []);
    assert_eq!(redactor.flush(due), [((0, stream), b"$ ".to_vec())]);
    assert_eq!(redactor.due(), None);
    assert_eq!(redactor.push(0, stream, b"hunter2"), b"");
    assert_eq!(redactor.due(), None, "it is no prompt");
    assert_eq!(redactor.push(0, stream, b"2-and-more\n"), b"***\n");
}

#[test]
fn a_line_is_not_held_back_for_its_last_letters() {
    let mut redactor = redactor(&[b"dogma-and-cats"]);
    assert_eq!(redactor.push(0, Stream::Stdout, b"found\ngood dog\n"), b"found\ngood dog\n");
    assert_eq!(redactor.push(0, Stream::Stdout, b"ma-and-cats\n"), b"***\n");
}

#[test]
fn what_was_shown_at_once_is_not_shown_again() {
    let mut redactor = redactor(&[b"hunter22"]);
    assert_eq!(redactor.push(0, Stream::Stdout, b"hu\n"), b"hu\n");
    assert_eq!(redactor.push(0, Stream::Stdout, b"n"), b"");
    assert_eq!(redactor.push(0, Stream::Stdout, b"x"), b"nx");
}

/// Whether all of `part` is in `whole`, in its order.
fn is_left_of(part: &[u8], whole: &[u8]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|byte| rest.any(|other| other == byte))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]
    #[test]
    fn nothing_is_added_or_lost_and_no_secret_is_shown(
        secrets in prop::collection::vec("[ab\n]{4,10}[abc]{4,60}", 1..3),
        words in prop::collection::vec(("[abc\nxy]{0,9}", 0_usize..6), 0..8),
        frames in prop::collection::vec((1_usize..40, any::<bool>()), 1..20),
    ) {
        let word = |(text, secret): &(String, usize)| {
            format!("{text}{}", secrets.get(*secret).map_or("", String::as_str))
        };
        let text: String = words.iter().map(word).collect();
        let mut redactor = Redactor::new(secrets.iter().map(String::as_bytes));
        let (mut rest, mut shown, mut paused) = (text.as_bytes(), Vec::new(), false);
        for &(frame, pauses) in frames.iter().cycle() {
            let (piece, after) = rest.split_at(frame.min(rest.len()));
            shown.extend(redactor.push(0, Stream::Stdout, piece));
            if pauses {
                paused = true;
                shown.extend(redactor.flush(later()).into_iter().flat_map(|(_, bytes)| bytes));
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        shown.extend(redactor.finish().into_iter().flat_map(|(_, bytes)| bytes));
        let left: Vec<u8> = shown.iter().copied().filter(|byte| *byte != b'*').collect();
        prop_assert!(is_left_of(&left, text.as_bytes()));
        // Of what belongs to no secret at least these.
        let foreign = |text: &[u8]| text.iter().filter(|byte| b"\nxy".contains(byte)).count();
        prop_assert_eq!(foreign(&left), foreign(text.as_bytes()));
        let is_shown = |secret: &String| {
            let secret = secret.trim_ascii_end().as_bytes();
            shown.windows(secret.len()).any(|window| window == secret)
        };
        prop_assert!(paused || !secrets.iter().any(is_shown));
    }
}

#[test]
fn a_large_secret_of_many_lines_costs_little() {
    let lines: Vec<u8> = (0..40_000).flat_map(|n| format!("key-{n:08}\n").into_bytes()).collect();
    let mut redactor = redactor(&[&lines]);
    let output = b"an ordinary line of output, and key-00031415 in it\n".repeat(4_000);
    let mut shown = Vec::new();
    for frame in output.chunks(100) {
        shown.extend(redactor.push(0, Stream::Stdout, frame));
        assert!(redactor.streams.values().all(|held| held.text.len() <= 3 * matcher::WIDTH));
    }
    shown.extend(redactor.finish().into_iter().flat_map(|(_, bytes)| bytes));
    assert_eq!(shown, b"an ordinary line of output, and *** in it\n".repeat(4_000));
}

/// Texts between letters that are invisible.
const UNSEEN: [&str; 16] = [
    "\0",
    "\u{7}",
    "\u{7f}",
    "\u{1b}[0m",
    "\u{1b}[38;5;196m",
    "\u{9b}1m",
    "\u{1b}[K",
    "\u{1b}(B",
    "\u{1b}]8;;http://e\u{1b}\\",
    "\u{1b}]0;t\u{7}\u{1b}[m",
    "\u{200b}",
    "\u{ad}",
    "\u{feff}",
    "\u{2068}",
    "\r",
    "\r\n",
];

fn encodings(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let in_url = |c: char| if c.is_ascii_alphanumeric() { c.into() } else { format!("%{:02X}", c as u32) };
    let base64 = |before: &str| BASE64.encode(format!("{before}{secret}").as_bytes());
    vec![secret.into(), base64(""), hex.to_uppercase(), hex, secret.chars().map(in_url).collect()]
}

#[test]
fn a_secret_is_redacted_whatever_a_terminal_does_not_show_between_its_letters() {
    let secret = "s3cr3t-T0ken/+Value-ABC";
    for encoded in encodings(secret) {
        for unseen in UNSEEN {
            let noisy: String = encoded.chars().map(|c| format!("{c}{unseen}")).collect();
            for frame in [1, 2, 3, 7, 4096] {
                let text = format!("a {noisy} b\n");
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(frame).collect();
                let shown = shown_of(secret.as_bytes(), &pieces).replace(unseen, "");
                let marks = shown.matches("***").count();
                let left = shown.replace("***", "");
                let case = format!("{encoded:?} {unseen:?} {frame}: {shown:?}");
                if unseen.contains('\r') {
                    // A few letters at the end of a line are not waited for.
                    assert!(left.starts_with("a ") && left.ends_with(" b\n"), "{case}");
                    assert!(left.len() < "a  b\n".len() + SHORTEST, "{case}");
                } else {
                    assert_eq!((left.as_str(), marks), ("a  b\n", 1), "{case}");
                }
            }
        }
    }
}

#[test]
fn what_is_written_over_is_redacted_as_well() {
    let secret = "s3cr3t-T0k\u{e9}n";
    let bold: String = secret.chars().map(|c| format!("{c}\u{8}{c}")).collect();
    let underlined: String = secret.chars().map(|c| format!("_\u{8}{c}")).collect();
    let corrected: String = secret.chars().map(|c| format!("xy\u{8}\u{8}{c}y\u{8}")).collect();
    let (behind, before) = (format!("{secret}\u{8}\u{8}"), format!("xxx\u{8}\u{8}\u{8}{secret}"));
    let small = [1, 2, 5, 4096];
    for (text, frames) in [
        (bold, small.as_slice()),
        (underlined, &small),
        // Output that is only overwritten is not held back.
        (corrected, &[4096]),
        (behind, &small),
        (before, &small),
    ] {
        for &frame in frames {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(frame).collect();
            let shown = shown_of(secret.as_bytes(), &pieces);
            let left: String = shown.chars().filter(|c| !"*xy_\u{8}".contains(*c)).collect();
            assert_eq!(left, "", "{text:?} {frame}: {shown:?}");
        }
    }
}

#[test]
fn a_secret_is_redacted_as_tools_quote_it() {
    let secret = "pa/s w+r\"d'\u{e9}$&";
    for text in [
        "pa/s w+r\"d'\u{e9}$&",
        "pa%2Fs%20w%2Br%22d%27%C3%A9%24%26",
        "pa%2fs%20w%2br%22d%27%c3%a9%24%26",
        "pa/s%20w%2Br%22d%27%C3%A9$&",
        "pa%2Fs+w%2Br%22d%27%C3%A9%24%26",
        "pa%2Fs%20w+r%22d'%C3%A9$%26",
        "pa%2f%73%20w+%72%22d'%C3%A9$%26",
        "pa/s w+r\\\"d'\u{e9}$&",
        "pa\\/s w+r\\\"d'\\u00e9$&",
        "pa/s w+r\"d'\\''\u{e9}$&",
        "pa/s\\ w\\+r\\\"d\\'\u{e9}\\$\\&",
    ] {
        let (first, second) = text.split_at(9);
        assert_eq!(shown(secret, &[first, second, "!"]), "***!", "{text}");
    }
}

#[test]
fn the_last_group_of_base64_is_redacted_whole() {
    for len in 9..30 {
        let secret = token(len);
        for before in ["", "a", "ab"] {
            for after in ["", "\n", "bc", "bcd"] {
                let encoded = BASE64.encode(&[before.as_bytes(), &secret, after.as_bytes()].concat());
                let groups = (before.len() + len).div_ceil(3);
                for frame in [1, 3, 100] {
                    let pieces: Vec<&[u8]> =
                        encoded.as_bytes().chunks(frame).chain([b"\n".as_slice()]).collect();
                    let shown = shown_of(&secret, &pieces);
                    let before = &encoded[..(before.len() * 8).div_ceil(6)];
                    assert_eq!(
                        shown,
                        format!("{before}***{}\n", &encoded[groups * 4..]),
                        "{len} {after:?} {frame}"
                    );
                }
            }
        }
    }
}

#[test]
fn half_of_a_secret_is_redacted_wherever_it_stands() {
    let secret = String::from_utf8(token(21)).expect("text");
    for from in 0..=10 {
        let half = &secret[from..from + 11];
        for text in [format!("{half}\n"), format!("x{half} and\n")] {
            assert_eq!(shown(&secret, &[&text]), text.replace(half, "***"), "{from}");
        }
    }
    assert_eq!(shown(&secret, &["a ", &secret[3..9], " b\n"]), format!("a {} b\n", &secret[3..9]));
    let text = "apiVersion: v1\nkind: Config\n";
    assert_eq!(shown(text, &["apiVersion of v1\n"]), "apiVersion of v1\n", "a line may hold common words");
}

#[test]
fn a_secret_is_redacted_however_slowly_it_comes() {
    for encoded in encodings("s3cr3t-T0ken/+Value-ABC") {
        let mut redactor = redactor(&[b"s3cr3t-T0ken/+Value-ABC"]);
        let mut shown = Vec::new();
        for byte in format!("slow {encoded} dots").bytes() {
            shown.extend(redactor.push(0, Stream::Stdout, &[byte]));
            let soon = Instant::now() + FLUSH_DELAY / 4;
            shown.extend(redactor.flush(soon).into_iter().flat_map(|(_, bytes)| bytes));
        }
        shown.extend(redactor.finish().into_iter().flat_map(|(_, bytes)| bytes));
        assert_eq!(String::from_utf8_lossy(&shown), "slow *** dots", "{encoded}");
    }
}

#[test]
fn what_shows_nothing_is_not_kept_without_end() {
    for unseen in ["\0", "\u{1b}[0m", "\u{200b}"] {
        let mut redactor = redactor(&[b"hunter22"]);
        let mut shown = Vec::new();
        for letter in "hunter22!".chars() {
            shown.extend(redactor.push(0, Stream::Stdout, &[letter as u8]));
            for _ in 0..20 {
                shown.extend(redactor.push(0, Stream::Stdout, unseen.repeat(2000).as_bytes()));
                assert!(redactor.streams.values().all(|held| held.text.len() <= MOST_HELD));
            }
        }
        shown.extend(redactor.finish().into_iter().flat_map(|(_, bytes)| bytes));
        let shown = String::from_utf8_lossy(&shown).replace(unseen, "");
        assert_eq!(shown, "***!", "{unseen:?}");
    }
}
