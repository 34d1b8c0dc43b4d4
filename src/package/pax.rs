//! The records of a pax extended header (POSIX.1-2017, pax, "pax Extended Header"): `LENGTH KEY=VALUE\n`, read and written.
//!
//! An unknown key that would change an entry's meaning is an error, as is a repeated key: other readers pick the first or the
//! last one, and would see another archive.

use std::collections::BTreeMap;

use super::entry::Time;

/// Before the name of an extended attribute.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// Keys that are not written, and ignored when read. The last one is the digest of a file in a package of apk.
const IGNORED: [&[u8]; 7] =
    [b"uname", b"gname", b"atime", b"ctime", b"comment", b"hdrcharset", b"APK-TOOLS.checksum.SHA1"];

/// The values of an extended header; `None` where the header that follows has the value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub linkpath: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads all records of one header; an error is the reason of the refusal.
pub(super) fn parse(mut rest: &[u8]) -> Result<Records, String> {
    let mut seen: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    while !rest.is_empty() {
        let (key, value, after) = split(rest).ok_or("a record of its extended header is malformed")?;
        if seen.insert(key, value).is_some() {
            return Err(format!("its extended header has {:?} twice", String::from_utf8_lossy(key)));
        }
        rest = after;
    }
    let mut records = Records::default();
    for (key, value) in seen {
        records.set(key, value)?;
    }
    Ok(records)
}

impl Records {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let bad =
            || format!("{:?} of its extended header has no sensible value", String::from_utf8_lossy(key));
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.linkpath = Some(value.to_vec()),
            b"size" => self.size = Some(number(value).ok_or_else(bad)?),
            b"uid" => self.uid = Some(number(value).ok_or_else(bad)?),
            b"gid" => self.gid = Some(number(value).ok_or_else(bad)?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(bad)?),
            key if IGNORED.contains(&key) => {}
            key => match key.strip_prefix(XATTR) {
                Some(name) if (1..=255).contains(&name.len()) && !name.contains(&0) => {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
                _ => return Err(format!("its extended header has an unknown record {:?}", shown(key))),
            },
        }
        Ok(())
    }
}

fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(&key[..key.len().min(64)]).into_owned()
}

/// The first record: its key, its value, and the rest.
fn split(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = number(&records[..space])?;
    let (record, after) = records.split_at_checked(length)?;
    let (&b'\n', pair) = record.get(space + 1..)?.split_last()? else { return None };
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..], after))
}

/// Digits and nothing else: `parse` alone would take a plus sign.
fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// `[-]SECONDS[.FRACTION]`; digits beyond nanoseconds are cut off.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let dot = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    let seconds: i64 = number(&text[..dot])?;
    let mut nanos = 0;
    if let Some(fraction) = text.get(dot + 1..) {
        number::<u128>(fraction)?;
        let nine = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
        nanos = nine.fold(0, |n, digit| n * 10 + u32::from(digit - b'0'));
    }
    Some(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        // -1.25 is 0.75 after -2.
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// Appends one record.
pub(super) fn append(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits: 3 is " ", "=" and "\n".
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Appends one extended attribute.
pub(super) fn append_xattr(records: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    append(records, &[XATTR, name].concat(), value);
}

/// A time as [`time`] reads it, without zeros at its end.
pub(super) fn time_text(time: Time) -> String {
    let (sign, seconds, nanos) = match time {
        Time { seconds, nanos: 0 } => return seconds.to_string(),
        Time { seconds, nanos } if seconds < 0 => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        Time { seconds, nanos } => ("", seconds.unsigned_abs(), nanos),
    };
    format!("{sign}{seconds}.{}", format!("{nanos:09}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        for size in [0, 1, 90, 91, 92, 93, 94, 95, 980, 990, 991, 992, 9990] {
            let mut records = Vec::new();
            append(&mut records, b"path", &vec![b'x'; size]);
            assert_eq!(parse(&records).expect("well-formed").path.expect("said").len(), size);
        }
    }

    #[test]
    fn times_survive_before_the_epoch_and_to_the_nanosecond() {
        for (text, seconds, nanos) in [
            ("0", 0, 0),
            ("12.5", 12, 500_000_000),
            ("1.000000001", 1, 1),
            ("-1.25", -2, 750_000_000),
            ("-0.5", -1, 500_000_000),
            ("-3", -3, 0),
        ] {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanos }), "{text}");
            assert_eq!(time_text(Time { seconds, nanos }), text);
        }
        for text in ["", ".", "1.", "-", "+1", "1e3", "99999999999999999999", "1.x"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for records in [
            &b"5 a=\n"[..],
            b"99 a=b\n",
            b"x",
            b" a=b\n",
            b"7 a=bcd",
            b"18446744073709551616 a=b\n",
            b"0 a=b\n",
            b"3 \n",
            b"6 ab=\n6 ab=\n",
            b"9 uid=-1\n",
            b"17 GNU.sparse.x=1\n",
            b"16 SCHILY.xattr.=\n",
        ] {
            assert!(parse(records).is_err(), "{}", records.escape_ascii());
        }
    }
}
