//! Build files that do the same in every backend, and the content of their packages. Included by the tests of each backend.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

/// Hard links across packages, and times that differ from build to build; wants [`BUILD_DATE`].
pub(crate) const PACKAGES: &str = include_str!("../everywhere/packages.yaml");

/// Accounts and paths; wants a file `input` in the source, and `had` in the cache.
pub(crate) const ACCOUNTS: &str = include_str!("../everywhere/accounts.yaml");

/// Programs find the mounted file systems in `/etc/mtab`: df(1) that of the workspace, a user without rights too.
const MOUNT_TABLE: &str = "package: {name: mounts, version: '1', epoch: 0}
environment: {accounts: {run-as: build}}
pipeline:
- runs: |
    [ -L /etc/mtab ]
    cmp /etc/mtab /proc/self/mounts
    [ \"$(readlink -f /etc/mtab | sed 's/[0-9][0-9]*/PID/')\" = /proc/PID/mounts ]
    grep -q ' / ' /etc/mtab
    df . >/dev/null
";

/// `SOURCE_DATE_EPOCH` of [`PACKAGES`].
const BUILD_DATE: &str = "1000000000";

/// All that the packages of [`PACKAGES`] hold besides [`SBOM`]: path, mode, owner, time, content or `-> target`.
const HELD: [(&str, &[&str]); 3] = [
    (
        "links",
        &[
            "usr 755 0:0 1000000000 ",
            "usr/bin 755 0:0 1000000000 ",
            "usr/bin/link 777 0:0 1000000000 -> tool",
            "usr/bin/other 4755 0:0 1000000000 tool",
            "usr/bin/tool-1.0 4755 0:0 1000000000 tool",
            "usr/lib 755 0:0 1000000000 ",
            "usr/lib/kept 644 0:0 1000000000 archive",
        ],
    ),
    (
        "links-static",
        &[
            "usr 755 0:0 1000000000 ",
            "usr/lib 755 0:0 1000000000 ",
            "usr/lib/libone.a 644 0:0 1000000000 archive",
            "usr/lib/libtwo.a 644 0:0 1000000000 archive",
        ],
    ),
    (
        "links-tools",
        &[
            "usr 755 0:0 1000000000 ",
            "usr/bin 755 0:0 1000000000 ",
            "usr/bin/again 4755 0:0 1000000000 tool",
            "usr/bin/alone 644 0:0 1000000000 archive",
            "usr/bin/tool 4755 0:0 1000000000 tool",
        ],
    ),
];

/// The directories of the SBOM, which each package has.
const SBOM: [&str; 4] = ["var", "var/lib", "var/lib/db", "var/lib/db/sbom"];

/// [`HELD`] of a package, with its SBOM.
fn with_sbom(held: &[&str], stem: &str, time: u64) -> Vec<String> {
    let directories = SBOM.map(|directory| format!("{directory} 755 0:0 {time} "));
    let file = format!("var/lib/db/sbom/{stem}.spdx.json 644 0:0 {time} SPDX-2.3");
    held.iter().map(|&line| line.to_owned()).chain(directories).chain([file]).collect()
}

/// `kiln build` of this file in this directory.
pub(crate) fn command(directory: &Path, text: &str, arguments: &[&str]) -> Command {
    fs::write(directory.join("file.yaml"), text).expect("the build file can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(directory).env_remove("QEMU_USE_VIRTIOFS").env_remove("SOURCE_DATE_EPOCH");
    command.args(["build", "--progress", "plain", "--cache-dir", "cache"]).args(arguments).arg("file.yaml");
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end, which must be success; what it said.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("kiln can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// Builds [`ACCOUNTS`]; its package is root's, and source and cache stay the invoking user's, whose cache keeps what the mode says.
pub(crate) fn build_accounts(arguments: &[&str], keeps: bool) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let at = |path: &str| directory.path().join(path);
    fs::create_dir(at("cache")).expect("made");
    fs::write(at("cache/had"), "had\n").expect("written");
    fs::write(at("input"), "from-the-host\n").expect("written");
    let mut command = command(directory.path(), ACCOUNTS, arguments);
    succeed(command.args(["--source-dir", "."]));
    assert_eq!(
        listing(&at("packages/x86_64/accounts-1.0.0-r0.apk")),
        with_sbom(&["d 755 0:0 0 ", "d/f 644 0:0 0 x"], "accounts-1.0.0-r0", 0)
    );
    let own = fs::metadata(directory.path()).expect("there");
    let expected: &[&str] = if keeps { &["had", "new"] } else { &["had"] };
    for name in expected {
        let kept = fs::metadata(at("cache").join(name)).expect("it is kept");
        assert_eq!((kept.uid(), kept.gid()), (own.uid(), own.gid()), "{name}");
    }
    let had = fs::read_to_string(at("cache/had")).expect("there");
    assert_eq!(had, if keeps { "had\nmore\n" } else { "had\n" });
    assert_eq!(at("cache/new").exists(), keeps);
    assert_eq!(fs::read_to_string(at("input")).expect("there"), "from-the-host\n");
}

/// Builds a package whose sources have two texts of licences, of which it declares one.
pub(crate) fn build_licensed(arguments: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let text = |name: &str| spdx::license_id(name).expect("it is listed").text();
    let source = directory.path().join("source");
    fs::create_dir_all(source.join("lib/deep")).expect("made");
    fs::write(source.join("COPYING"), text("GPL-2.0-only")).expect("written");
    fs::write(source.join("lib/LICENSE-MIT"), text("MIT")).expect("written");
    fs::write(source.join("lib/deep/LICENSE"), text("Apache-2.0")).expect("written");
    symlink("/etc/passwd", source.join("LICENSE")).expect("linked");
    let build = |licence: &str| {
        let text = format!(
            "package:\n  {{name: p, version: '1', epoch: 0, copyright: [{{license: {licence}}}]}}\npipeline: [{{runs: 'true'}}]\n"
        );
        succeed(command(directory.path(), &text, arguments).args(["--source-dir", "source"]))
    };
    let said = build("GPL-2.0-or-later");
    let wanted = "lib/LICENSE-MIT has the text of MIT, but copyright only declares GPL-2.0-or-later";
    assert!(said.contains(wanted), "{said}");
    assert_eq!(said.matches("has the text of").count(), 1, "{said}");
    let said = build("GPL-2.0-only AND MIT");
    assert!(!said.contains("has the text of"), "{said}");
}

/// Builds [`MOUNT_TABLE`].
pub(crate) fn build_mount_table(arguments: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    succeed(&mut command(directory.path(), MOUNT_TABLE, arguments));
}

/// Builds [`PACKAGES`] and gives the bytes of its packages, which are whole, each by itself.
pub(crate) fn build_packages(arguments: &[&str]) -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().expect("a directory can be made");
    succeed(command(directory.path(), PACKAGES, arguments).env("SOURCE_DATE_EPOCH", BUILD_DATE));
    packages(&directory.path().join("packages/x86_64"))
}

fn packages(directory: &Path) -> Vec<Vec<u8>> {
    let check = |(name, expected): (&str, &[&str])| {
        let stem = format!("{name}-1.0.0-r0");
        let path = directory.join(format!("{stem}.apk"));
        assert_eq!(listing(&path), with_sbom(expected, &stem, 1_000_000_000), "{name}");
        fs::read(path).expect("it was written")
    };
    HELD.into_iter().map(check).collect()
}

/// The entries of a package's data, in their order.
fn listing(path: &Path) -> Vec<String> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    let entries = archive.entries().expect("readable").map(|entry| {
        let mut entry = entry.expect("readable");
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("readable");
        if let Ok(sbom) = serde_json::from_str::<serde_json::Value>(&content) {
            content = sbom["spdxVersion"].as_str().expect("an SBOM").to_owned();
        }
        let header = entry.header();
        let number = |field: std::io::Result<u64>| field.expect("a number");
        let link = entry.link_name_bytes().map(|target| format!("-> {}", String::from_utf8_lossy(&target)));
        format!(
            "{} {:o} {}:{} {} {}",
            String::from_utf8_lossy(&entry.path_bytes()),
            header.mode().expect("a number"),
            number(header.uid()),
            number(header.gid()),
            number(header.mtime()),
            link.unwrap_or_else(|| content.trim_end().to_owned()),
        )
    });
    // The control section stands before the data.
    entries.filter(|line| !line.starts_with('.')).collect()
}
