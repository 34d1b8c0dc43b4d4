//! What a package says of an entry besides its name and content: mode, owner, records. The rules are melange's, as it packs
//! what a bubblewrap sandbox has left.

use crate::{
    apk::ustar::{self, OWNER_NAME_MAX, Records, XATTR_PREFIX},
    package::{
        artifact::Normalization,
        entry::{Entry, Kind},
    },
};

/// Attributes that no package has: those of security modules, of macOS and of Docker Desktop describe the host.
const IGNORED_XATTRS: [&[u8]; 6] = [
    b"com.apple.provenance",
    b"com.docker.grpcfuse.ownership",
    b"security.csm",
    b"security.selinux",
    b"trusted.SGI_ACL_DEFAULT",
    b"trusted.SGI_ACL_FILE",
];

/// The user and group that files of the build belong to in a package.
const ROOT: &[u8] = b"root";

/// The header of an entry, without its records; an error is the reason of the refusal.
pub(super) fn header(entry: &Entry, normalization: Normalization) -> Result<ustar::Entry<'_>, String> {
    let Normalization { mtime, build_uid, build_gid } = normalization;
    let root = |mode, kind| ustar::Entry { kind, mtime, ..ustar::Entry::plain(&entry.path, mode, 0, 0) };
    let kind = match &entry.kind {
        Kind::Directory => return Ok(root(entry.mode & 0o777, ustar::Kind::Directory)),
        Kind::Symlink { target } => return Ok(root(0o777, ustar::Kind::Symlink { target })),
        Kind::File { size } => ustar::Kind::File { size: *size },
        Kind::Fifo => ustar::Kind::Fifo,
        Kind::HardLink { .. } => return Err("it is a hard link, and whole files were asked for".into()),
        Kind::Whiteout => return Err("it is a character device".into()),
    };
    let (uid, uname) = owner(entry.uid, build_uid, &entry.uname)?;
    let (gid, gname) = owner(entry.gid, build_gid, &entry.gname)?;
    Ok(ustar::Entry { uid, gid, uname, gname, ..root(entry.mode & 0o7777, kind) })
}

/// The number and name of an owner in the package.
fn owner(id: u32, of_build: u32, name: &[u8]) -> Result<(u32, &[u8]), String> {
    if id == of_build { Ok((0, ROOT)) } else { Ok((id, checked(name)?)) }
}

fn checked(name: &[u8]) -> Result<&[u8], String> {
    if name.len() > OWNER_NAME_MAX || !name.iter().all(u8::is_ascii_graphic) {
        return Err(format!("the name of its owner is longer than {OWNER_NAME_MAX} bytes or not printable"));
    }
    Ok(name)
}

/// The records of the extended attributes of a file; an error is the reason of the refusal.
pub(super) fn xattrs(entry: &Entry) -> Result<Records, String> {
    let mut records = Records::new();
    for (name, value) in &entry.xattrs {
        if IGNORED_XATTRS.contains(&name.as_slice()) {
            continue;
        }
        if name.contains(&b'=') {
            let name = String::from_utf8_lossy(name);
            return Err(format!(
                "the name of its extended attribute {name:?} has a \"=\", which pax cannot hold"
            ));
        }
        records.insert(xattr_key(name), value.clone());
    }
    Ok(records)
}

/// The key of the record of an extended attribute.
pub(super) fn xattr_key(name: &[u8]) -> Vec<u8> {
    [XATTR_PREFIX.as_bytes(), name].concat()
}

/// Names that apk refuses to install, or that melange cannot pack; an error is the reason of the refusal.
pub(super) fn check_name(path: &[u8]) -> Result<(), String> {
    let Ok(path) = std::str::from_utf8(path) else { return Err("its name is not UTF-8".into()) };
    match path.chars().find(|letter| letter.is_control()) {
        Some(letter) => {
            Err(format!("its name has the control character {letter:?}, with which apk refuses a package"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::entry::Time;

    const IDS: Normalization = Normalization { mtime: 5, build_uid: 1000, build_gid: 1001 };

    fn entry(kind: Kind) -> Entry {
        let time = Time { seconds: 9, nanos: 9 };
        let (uname, gname) = (b"bin".to_vec(), b"daemon".to_vec());
        Entry {
            path: b"x".to_vec(),
            kind,
            mode: 0o6711,
            uid: 1,
            gid: 2,
            uname,
            gname,
            mtime: time,
            xattrs: vec![],
        }
    }

    #[test]
    fn only_files_keep_owners_and_special_bits() {
        let file = entry(Kind::File { size: 3 });
        let made = header(&file, IDS).expect("allowed");
        assert_eq!((made.mode, made.uid, made.gid, made.mtime), (0o6711, 1, 2, 5));
        assert_eq!((made.uname, made.gname), (&b"bin"[..], &b"daemon"[..]));
        let directory = entry(Kind::Directory);
        let made = header(&directory, IDS).expect("allowed");
        assert_eq!((made.mode, made.uid, made.gid, made.uname), (0o711, 0, 0, ROOT));
        let link = entry(Kind::Symlink { target: b"t".to_vec() });
        let made = header(&link, IDS).expect("allowed");
        assert_eq!((made.mode, made.uid, made.gid, made.gname), (0o777, 0, 0, ROOT));
    }

    #[test]
    fn files_of_the_build_belong_to_root() {
        let file = Entry { uid: 1000, gid: 1001, uname: b"build".to_vec(), ..entry(Kind::File { size: 0 }) };
        let made = header(&file, IDS).expect("allowed");
        assert_eq!((made.uid, made.gid, made.uname, made.gname), (0, 0, ROOT, ROOT));
        let other = Entry { gid: 1000, ..file };
        assert_eq!(header(&other, IDS).expect("allowed").gid, 1000);
    }

    #[test]
    fn hostile_owner_names_are_refused() {
        for name in [&[b'x'; 32][..], b"a b", b"a\nb", b"\xff"] {
            let file = Entry { uname: name.to_vec(), ..entry(Kind::Fifo) };
            assert!(header(&file, IDS).is_err(), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn attributes_of_the_host_are_left_out() {
        let attributes = vec![(b"user.b".to_vec(), b"\0".to_vec()), (b"security.selinux".to_vec(), vec![])];
        let file = Entry { xattrs: attributes, ..entry(Kind::Fifo) };
        let expected = Records::from([(b"SCHILY.xattr.user.b".to_vec(), b"\0".to_vec())]);
        assert_eq!(xattrs(&file), Ok(expected));
        let file = Entry { xattrs: vec![(b"user.a=b".to_vec(), vec![])], ..file };
        assert!(xattrs(&file).is_err());
    }

    #[test]
    fn names_that_apk_refuses_are_refused() {
        for name in [&b"a\nb"[..], b"a\tb", b"\x7f", b"\xff", "a\u{85}".as_bytes()] {
            assert!(check_name(name).is_err(), "{}", name.escape_ascii());
        }
        check_name("usr/ümläut mit Leerzeichen".as_bytes()).expect("allowed");
    }
}
