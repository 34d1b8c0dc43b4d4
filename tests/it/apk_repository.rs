//! Packages and repositories of apk, written without kiln's writer of packages: a base layout and the host's busybox. Included by the
//! tests of several backends.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use sha2::Digest;
use tar::{EntryType, Header};

/// This host's busybox, which needs no library.
pub(crate) const BUSYBOX: &str = "/usr/bin/busybox";

/// The directories of the layout, with their modes.
const DIRECTORIES: [(&str, u32); 22] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/lib", 0o755),
    ("usr/local", 0o755),
    ("usr/local/bin", 0o755),
    ("usr/share", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/empty", 0o555),
    ("var/lib", 0o755),
    ("var/lib/db", 0o755),
    ("var/lib/db/sbom", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

const LINKS: [(&str, &str); 6] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib"),
    ("usr/sbin", "bin"),
    ("usr/lib64", "lib"),
];

const FILES: [(&str, &str); 4] = [
    (
        "etc/group",
        concat!(
            "root:x:0:root\nbin:x:1:root,bin,daemon\ntty:x:5:\nnonroot:x:65532:\n",
            "nobody",
            ":x:65534:\n"
        ),
    ),
    ("etc/hosts", "127.0.0.1\tlocalhost\n"),
    ("etc/os-release", "ID=testix\nNAME=\"Testix\"\nPRETTY_NAME=\"Testix\"\nVERSION_ID=\"20260101\"\n"),
    (
        "etc/passwd",
        concat!(
            "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\n",
            "nonroot:x:65532:65532::/home/nonroot:/bin/sh\n",
            "nobody",
            ":x:65534:65534::/:/bin/false\n"
        ),
    ),
];

/// Writes the packages `testix-baselayout` and `busybox` and their index to `<directory>/repo-base`, and a key to
/// `<directory>/testix.rsa` with which the index is signed.
pub(crate) fn write(directory: &Path) {
    let below = directory.join("repo-base/x86_64");
    fs::create_dir_all(&below).expect("made");
    kiln(directory, &["keygen", "--key-size", "2048", "testix.rsa"]);
    let mut layout = Data::default();
    DIRECTORIES.iter().for_each(|(path, mode)| layout.directory(path, *mode));
    LINKS.iter().for_each(|(path, target)| layout.add(path, EntryType::Symlink, 0o777, b"", target));
    FILES.iter().for_each(|(path, text)| layout.add(path, EntryType::Regular, 0o644, text.as_bytes(), ""));
    let provides = "provides = wolfi-baselayout=20260101-r0\nprovides = merged-usrsbin\n";
    package(&below, "testix-baselayout", "20260101-r0", provides, layout);
    let mut programs = Data::default();
    ["usr", "usr/bin"].iter().for_each(|path| programs.directory(path, 0o755));
    let busybox = fs::read(BUSYBOX).expect("the package busybox-static is there");
    programs.add("usr/bin/busybox", EntryType::Regular, 0o755, &busybox, "");
    let depends = "depend = testix-baselayout\nprovides = cmd:busybox=1.35.0-r0\n";
    package(&below, "busybox", "1.35.0-r0", depends, programs);
    let packages =
        ["repo-base/x86_64/testix-baselayout-20260101-r0.apk", "repo-base/x86_64/busybox-1.35.0-r0.apk"];
    let index = ["index", "-o", "repo-base/x86_64/APKINDEX.tar.gz", "--signing-key", "testix.rsa"];
    kiln(directory, &[&index[..], &packages].concat());
}

/// Runs kiln, which succeeds.
pub(crate) fn kiln(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    let output = command.output().expect("kiln can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes an unsigned package.
pub(crate) fn package(directory: &Path, name: &str, version: &str, more: &str, data: Data) {
    let data = gzip(&data.tar.into_inner().expect("ended"));
    let hash = HEXLOWER.encode(&sha2::Sha256::digest(&data));
    let info = format!(
        "pkgname = {name}\npkgver = {version}\narch = x86_64\nsize = 1\norigin = {name}\npkgdesc = {name}\n{more}datahash = {hash}\n"
    );
    let mut control = Data::default();
    control.add(".PKGINFO", EntryType::Regular, 0o644, info.as_bytes(), "");
    // A control section has no end: the data goes on.
    let mut control = control.tar.into_inner().expect("ended");
    control.truncate(control.len() - 1024);
    let content = [gzip(&control), data].concat();
    fs::write(directory.join(format!("{name}-{version}.apk")), content).expect("written");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("ended")
}

/// The entries of a section.
pub(crate) struct Data {
    tar: tar::Builder<Vec<u8>>,
    /// When all of them were changed.
    time: u64,
}

impl Default for Data {
    fn default() -> Self {
        Self::changed_at(0)
    }
}

impl Data {
    /// Entries that were changed at this time.
    pub(crate) fn changed_at(time: u64) -> Self {
        Self { tar: tar::Builder::new(Vec::new()), time }
    }

    /// Adds a directory of root's.
    pub(crate) fn directory(&mut self, path: &str, mode: u32) {
        self.add(path, EntryType::Directory, mode, b"", "");
    }

    /// Adds an entry of root's.
    pub(crate) fn add(&mut self, path: &str, kind: EntryType, mode: u32, content: &[u8], target: &str) {
        self.add_owned(path, kind, (mode, 0, 0), content, target);
    }

    /// Adds an entry with this mode, user and group.
    pub(crate) fn add_owned(
        &mut self,
        path: &str,
        kind: EntryType,
        (mode, uid, gid): (u32, u64, u64),
        content: &[u8],
        target: &str,
    ) {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(self.time);
        header.set_size(content.len() as u64);
        if target.is_empty() {
            self.tar.append_data(&mut header, path, content).expect("added");
        } else {
            self.tar.append_link(&mut header, path, target).expect("added");
        }
    }
}
