//! Hostile archives, made by hand, with the reason for which each is refused: for the tests of the reader, and for guests
//! that send them.

use tar::{EntryType, Header};

/// A stream as a guest could send it, well-formed or not.
#[derive(Default, Clone)]
pub(crate) struct Stream(pub(crate) Vec<u8>);

impl Stream {
    /// A header as given, its content, padding.
    pub(crate) fn raw(mut self, kind: u8, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        self.0.extend_from_slice(header(kind, name, link, content.len() as u64).as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.raw(b'5', name.as_bytes(), b"", b"")
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(b'0', name.as_bytes(), b"", content)
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            append(&mut content, key.as_bytes(), value);
        }
        self.raw(b'x', b"PaxHeader", b"", &content)
    }

    pub(crate) fn header(mut self, header: &Header) -> Self {
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(crate) fn header(kind: u8, name: &[u8], link: &[u8], size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(1000);
    header.set_gid(1000);
    header.set_mtime(7);
    header.set_cksum();
    header
}

/// The package `p` with the directory `p/d` and the file `p/d/f`.
pub(crate) fn p() -> Stream {
    Stream::default().directory("p/").directory("p/d/").file("p/d/f", b"content")
}

/// A record of an extended header, whose length counts itself.
fn append(content: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let length = (1..).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
    content.extend(length.expect("there is one").to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        content.extend_from_slice(part);
    }
}

/// Hostile streams, each with a part of its error.
pub(crate) fn archives() -> Vec<(&'static str, Stream)> {
    let long = "x".repeat(256);
    let deep = format!("p/{}", "d/".repeat(2100));
    let mut device = header(b'3', b"p/d/null", b"", 0);
    device.set_device_major(1).expect("ustar");
    device.set_cksum();
    let mut broken = header(b'0', b"p/d/g", b"", 0);
    broken.as_old_mut().cksum = *b"000000\0 ";
    let mut letters = header(b'0', b"p/d/g", b"", 0);
    letters.as_old_mut().size = *b"not a number";
    letters.set_cksum();
    let at = |path: &[u8]| p().pax(&[("path", path)]).file("short", b"");
    vec![
        (r#""/etc/passwd": its name is absolute"#, p().file("/etc/passwd", b"")),
        (r#"its name has a "..""#, p().file("p/../../etc/passwd", b"")),
        (r#"its name has a "..""#, at(b"p/d/../../x")),
        (r#"its name has a ".""#, p().file("p/./x", b"")),
        (r#"its name has a ".""#, Stream::default().directory("./")),
        ("empty component", p().file("p//x", b"")),
        ("empty component", p().file("p/d/", b"")),
        ("empty component", p().directory("p/e//")),
        ("empty component", at(b"")),
        (r#""p/d/g\0h": its name has a NUL"#, at(b"p/d/g\0h")),
        ("longer than 255 bytes", at(format!("p/{long}").as_bytes())),
        ("longer than 4095 bytes", at(deep.as_bytes())),
        ("belongs to no package", p().file("q/x", b"")),
        ("belongs to no package", p().file("p-d", b"")),
        ("belongs to no package", p().directory("p-dev-doc/")),
        ("a package is a directory", Stream::default().file("p", b"")),
        ("a package is a directory", Stream::default().raw(b'2', b"p", b"/etc", b"")),
        ("are not together", p().directory("p-dev/").file("p/late", b"")),
        ("twice", p().directory("p/")),
        ("first as a file", p().file("p/d/f", b"again")),
        ("first as a file", p().directory("p/d/f/")),
        ("first as a directory", p().raw(b'2', b"p/d", b"/etc", b"")),
        ("passes through a symbolic link", p().raw(b'2', b"p/l", b"/etc", b"").file("p/l/passwd", b"")),
        ("passes through a file", p().file("p/d/f/g", b"")),
        ("passes through a symbolic link or fifo", p().raw(b'6', b"p/l", b"", b"").file("p/l/g", b"")),
        ("is not before it", p().file("p/e/g", b"")),
        ("leads out of its package", p().raw(b'1', b"p/h", b"/etc/passwd", b"")),
        ("leads out of its package", p().raw(b'1', b"p/h", b"p-dev/f", b"")),
        (r#"its name has a "..""#, p().raw(b'1', b"p/h", b"p/../q", b"")),
        ("not an earlier file", p().raw(b'1', b"p/h", b"p/d", b"")),
        ("not an earlier file", p().raw(b'1', b"p/h", b"p/later", b"").file("p/later", b"")),
        ("not an earlier file", p().raw(b'2', b"p/l", b"/etc/shadow", b"").raw(b'1', b"p/h", b"p/l", b"")),
        ("symbolic link to nothing", p().raw(b'2', b"p/l", b"", b"")),
        ("target of a symbolic link", p().pax(&[("linkpath", b"a\0b")]).raw(b'2', b"p/l", b"", b"")),
        (r#""p/d/null": it is a character device"#, p().header(&device)),
        ("block device", p().raw(b'4', b"p/d/sda", b"", b"")),
        ("its type '7' is unknown", p().raw(b'7', b"p/d/g", b"", b"")),
        ("its type 'g' is unknown", p().raw(b'g', b"p/d/g", b"", b"")),
        ("its type 'S' is unknown", p().raw(b'S', b"p/d/g", b"", b"")),
        (r"its type '\xff' is unknown", p().raw(0xff, b"p/d/g", b"", b"")),
        ("has content, but is not a regular file", p().raw(b'5', b"p/e/", b"", b"x")),
        ("has content, but is not a regular file", p().raw(b'1', b"p/h", b"p/d/f", b"x")),
        ("checksum", p().header(&broken)),
        ("its size is not a number", p().header(&letters)),
        ("extended header of 1048577 bytes", p().header(&header(b'x', b"x", b"", (1 << 20) + 1))),
        (
            "extended header of 9223372036854775807 bytes",
            p().header(&header(b'L', b"x", b"", i64::MAX as u64)),
        ),
        ("two extended headers", p().pax(&[]).pax(&[]).file("p/g", b"")),
        (
            "two extended headers",
            p().raw(b'L', b"", b"", b"a\0").raw(b'L', b"", b"", b"b\0").file("p/g", b""),
        ),
        ("ends after an extended header", p().pax(&[("path", b"p/g")])),
        ("twice", p().pax(&[("path", b"p/g"), ("path", b"p/h")]).file("p/g", b"")),
        ("unknown record", p().pax(&[("GNU.sparse.major", b"1")]).file("p/g", b"")),
        ("malformed", p().raw(b'x', b"", b"", b"99 path=p/g\n").file("p/g", b"")),
        ("no sensible value", p().pax(&[("uid", b"-1")]).file("p/g", b"")),
        ("cut off", p().pax(&[("size", b"18446744073709551615")]).file("p/g", b"")),
    ]
}
