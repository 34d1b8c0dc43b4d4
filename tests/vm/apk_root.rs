//! A root that kiln has composed of packages, as Linux sees it: owners, modes, links and contents of all sizes.

use std::{fs, io::Write, path::Path};

use data_encoding::{BASE64, HEXLOWER};
use flate2::{Compression, write::GzEncoder};
use sha1::Digest;
use tar::{EntryType, Header};

use super::{project, said, with_cache};

/// This host's busybox, which needs no library.
const BUSYBOX: &str = "/usr/bin/busybox";
/// Sizes around a block of the image, and around what is beside an inode.
const SIZES: [usize; 8] = [0, 1, 2048, 4032, 4095, 4096, 4097, 3_000_000];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("ended")
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

struct Data(tar::Builder<Vec<u8>>);

impl Data {
    fn add(
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
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        if target.is_empty() {
            self.0.append_data(&mut header, path, content).expect("added");
        } else {
            self.0.append_link(&mut header, path, target).expect("added");
        }
    }

    fn directory(&mut self, path: &str, mode: u32) {
        self.add(path, EntryType::Directory, (mode, 0, 0), b"", "");
    }
}

/// Writes a repository of one package, which is a whole root.
fn repository(directory: &Path) {
    let mut data = Data(tar::Builder::new(Vec::new()));
    for path in ["bin", "home", "root", "srv"] {
        data.directory(path, 0o755);
    }
    let busybox = fs::read(BUSYBOX).expect("the package busybox-static is there");
    data.add("bin/busybox", EntryType::Regular, (0o755, 0, 0), &busybox, "");
    data.directory("srv/sticky", 0o1777);
    data.directory("srv/group", 0o2750);
    data.add("srv/special", EntryType::Regular, (0o4755, 7, 65_537), b"x", "");
    data.add("srv/hard", EntryType::Link, (0o4755, 7, 65_537), b"", "srv/special");
    data.add("srv/link", EntryType::Symlink, (0o777, 0, 0), b"", "../srv/special");
    for size in SIZES {
        data.add(&format!("srv/size-{size}"), EntryType::Regular, (0o644, 0, 0), &content(size), "");
    }
    data.directory("srv/many", 0o755);
    for at in 0..500 {
        data.add(&format!("srv/many/{at}-of-many-names"), EntryType::Regular, (0o644, 0, 0), b"", "");
    }
    let data = gzip(&data.0.into_inner().expect("ended"));
    let hash = HEXLOWER.encode(&sha2::Sha256::digest(&data));
    let info = format!(
        "pkgname = busybox\npkgver = 1-r0\narch = x86_64\nsize = 1\norigin = busybox\ndatahash = {hash}\n"
    );
    let mut control = Data(tar::Builder::new(Vec::new()));
    control.add(".PKGINFO", EntryType::Regular, (0o644, 0, 0), info.as_bytes(), "");
    let control = gzip(&control.0.into_inner().expect("ended"));
    let sum = BASE64.encode(&sha1::Sha1::digest(&control));
    let package = [control, data].concat();
    let record = format!("C:Q1{sum}\nP:busybox\nV:1-r0\nA:x86_64\nS:{}\nI:1\nT:\n\n", package.len());
    let mut index = Data(tar::Builder::new(Vec::new()));
    index.add("APKINDEX", EntryType::Regular, (0o644, 0, 0), record.as_bytes(), "");
    let below = directory.join("repository/x86_64");
    fs::create_dir_all(&below).expect("made");
    fs::write(below.join("busybox-1-r0.apk"), package).expect("written");
    fs::write(below.join("APKINDEX.tar.gz"), gzip(&index.0.into_inner().expect("ended"))).expect("written");
}

#[test]
fn linux_sees_what_the_package_has() {
    let sums: String = SIZES
        .iter()
        .map(|size| format!("{}  /srv/size-{size}\n", HEXLOWER.encode(&sha1::Sha1::digest(content(*size)))))
        .collect();
    let look = format!(
        "cat > sums <<'EOF'\n{sums}EOF\nsha1sum -c sums\nstat -c '%a %u:%g %h %Y' /srv/special /srv/sticky /srv/group > seen\n\
         test /srv/special -ef /srv/hard\ntest \"$(readlink /srv/link)\" = ../srv/special\nls /srv/many | wc -l >> seen\n\
         ls -ld /proc /tmp /root | cut -c1-10 >> seen\ncat seen\ngrep -c ^P: /usr/lib/apk/db/installed"
    );
    let directory = project("root", &[&look]);
    repository(directory.path());
    let home = super::home_of_its_own();
    let mut command = with_cache(directory.path(), "cache");
    let flags = ["-r", "./repository", "--ignore-signatures", "--package-append", "busybox"];
    let output = command.args(flags).env("KILN_HOME", home.path()).output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    let said = said(&output);
    for line in [
        "4755 7:65537 2 1600000000",
        "1777 0:0 2 1600000000",
        "2750 0:0 2 1600000000",
        "] 500",
        "] dr-xr-xr-x",
        "] drwxrwxrwt",
        "] drwxr-xr-x",
        "] 1\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}
