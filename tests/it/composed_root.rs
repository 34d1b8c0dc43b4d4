//! A root that kiln has composed of a package, as Linux sees it: owners, modes, links and contents of all sizes. Included by the tests
//! of several backends.

use std::{fs, path::Path, process::Output};

use data_encoding::HEXLOWER;
use sha1::Digest;
use tar::EntryType;

use super::apk_repository::{BUSYBOX, Data, kiln, package};

/// Sizes around a block of the image, and around what is beside an inode.
const SIZES: [usize; 8] = [0, 1, 2048, 4032, 4095, 4096, 4097, 3_000_000];

/// The options of a build in the root.
pub(crate) const FLAGS: [&str; 5] =
    ["-r", "./repository", "--ignore-signatures", "--package-append", "busybox"];

/// What the step of [`look`] shows.
const SEEN: [&str; 8] = [
    "4755 7:65537 2 1600000000",
    "1777 0:0 1600000000",
    "2750 0:0 1600000000",
    "] 500",
    "] dr-xr-xr-x",
    "] drwxrwxrwt",
    "] drwxr-xr-x",
    "] 1\n",
];

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

/// Writes a repository of one package, which is a whole root.
pub(crate) fn write(directory: &Path) {
    let mut data = Data::changed_at(1_600_000_000);
    ["bin", "home", "root", "srv"].iter().for_each(|path| data.directory(path, 0o755));
    let busybox = fs::read(BUSYBOX).expect("the package busybox-static is there");
    data.add("bin/busybox", EntryType::Regular, 0o755, &busybox, "");
    data.directory("srv/sticky", 0o1777);
    data.directory("srv/group", 0o2750);
    data.add_owned("srv/special", EntryType::Regular, (0o4755, 7, 65_537), b"x", "");
    data.add_owned("srv/hard", EntryType::Link, (0o4755, 7, 65_537), b"", "srv/special");
    data.add("srv/link", EntryType::Symlink, 0o777, b"", "../srv/special");
    for size in SIZES {
        data.add(&format!("srv/size-{size}"), EntryType::Regular, 0o644, &content(size), "");
    }
    data.directory("srv/many", 0o755);
    for at in 0..500 {
        data.add(&format!("srv/many/{at}-of-many-names"), EntryType::Regular, 0o644, b"", "");
    }
    let below = directory.join("repository/x86_64");
    fs::create_dir_all(&below).expect("made");
    package(&below, "busybox", "1-r0", "", data);
    let index = ["index", "-o", "repository/x86_64/APKINDEX.tar.gz", "repository/x86_64/busybox-1-r0.apk"];
    kiln(directory, &index);
}

/// A step that looks at the root.
pub(crate) fn look() -> String {
    let sum = |size: &usize| HEXLOWER.encode(&sha1::Sha1::digest(content(*size)));
    let sums: String = SIZES.iter().map(|size| format!("{}  /srv/size-{size}\n", sum(size))).collect();
    format!(
        "cat > sums <<'EOF'\n{sums}EOF\nsha1sum -c sums\nstat -c '%a %u:%g %h %Y' /srv/special > seen\n\
         stat -c '%a %u:%g %Y' /srv/sticky /srv/group >> seen\n\
         test /srv/special -ef /srv/hard\ntest \"$(readlink /srv/link)\" = ../srv/special\nls /srv/many | wc -l >> seen\n\
         ls -ld /proc /tmp /root | cut -c1-10 >> seen\ncat seen\ngrep -c ^P: /usr/lib/apk/db/installed"
    )
}

/// Checks what the step has shown.
pub(crate) fn check(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for line in SEEN {
        assert!(said.contains(line), "{line}: {said}");
    }
}
