//! Writes the seeds of the fuzzers below `corpus/`: the build files of examples and tests, and small archives and frames.

#[path = "../../src/share/embedded/front_end.rs"]
#[expect(dead_code, reason = "the seeds are not played")]
mod front_end;
#[path = "../../src/share/embedded/hostile.rs"]
mod hostile;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use front_end::Action;
use kiln::apk::IndexArchive;
use kiln_protocol::{FromGuest, Stdin, Step, Stream, ToGuest, User, frame};

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut texts = Vec::new();
    for directory in ["examples", "tests", "src/pipelines"] {
        files(&root.join(directory), &mut texts)?;
    }
    let mut written = 0;
    for path in texts.iter().filter(|path| path.extension().is_some_and(|ending| ending == "yaml")) {
        let text = fs::read(path)?;
        for target in ["manifest", "substitution"] {
            written += seed(target, &text)?;
        }
    }
    for condition in ["'${{build.arch}}' == 'x86_64' && a != \"b\" || (c == d)", "${{options.x.enabled}} == 'true'"] {
        written += seed("substitution", format!("{condition}\0echo ${{{{package.name}}}} ${{{{ vars.x }}}}").as_bytes())?;
    }
    for archive in [upper()?, packages()?] {
        for target in ["archive", "reader", "commit", "import"] {
            written += seed(target, &archive)?;
        }
    }
    let mut files_of_cases = Vec::new();
    files(&root.join("tests/apk/cases"), &mut files_of_cases)?;
    let sources = files_of_cases.iter().filter(|path| path.components().any(|part| part.as_os_str() == "src"));
    for (number, path) in sources.enumerate() {
        // The first byte is the place of the file.
        let place = u8::try_from(number % 6).expect("it is less than six");
        written += seed("elf", &[&[place][..], &fs::read(path)?].concat())?;
    }
    written += seed("apk_archive", &apk()?)?;
    written += seed("apk_root", &apk()?)?;
    written += seed("apk_root", &root_of_apk()?)?;
    for frames in frames() {
        written += seed("frames", &frames)?;
    }
    for actions in hostile::cases().into_iter().map(|(_, actions, _)| actions).chain([guest()]) {
        let bytes = actions.iter().flat_map(|action| postcard::to_stdvec(action).expect("numbers and bytes"));
        written += seed("vhost_user", &bytes.collect::<Vec<u8>>())?;
    }
    written += packages_of_apk(&root)?;
    println!("{written} seeds");
    Ok(())
}

/// Indexes of the resolver's cases with archives of them, metadata of a package, and versions.
fn packages_of_apk(root: &Path) -> std::io::Result<usize> {
    let mut written = 0;
    let mut cases = Vec::new();
    files(&root.join("tests/apk/roots"), &mut cases)?;
    for path in cases {
        let case: serde_json::Value = serde_json::from_slice(&fs::read(path)?)?;
        let indexes = case["index"].as_object().into_iter().flat_map(serde_json::Map::values);
        for text in indexes.filter_map(serde_json::Value::as_str) {
            written += seed("apkindex", text.as_bytes())?;
            written += seed("apkindex", &IndexArchive::new(text.to_owned(), String::new())?.unsigned)?;
        }
    }
    let info = "pkgname = a\npkgver = 1-r0\nsize = 1\nbuilddate = 2\nlicense = MIT\ndepend = b>1\nprovides = so:a=1\n\
        # vendored = c\nprovider_priority = 1\ninstall_if = a b\ntriggers = /a /b \ndatahash = 0\n";
    written += seed("pkginfo", info.as_bytes())?;
    for versions in ["1.2.3-r4\x001.2_rc1\x001.2b_p3-r1", "1_alpha\x001_beta2\x002.0_git20200101", "a>=1.2@edge\x00so:x=1\x00b~1"] {
        written += seed("apk_version", versions.as_bytes())?;
    }
    Ok(written)
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { files(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

fn seed(target: &str, content: &[u8]) -> std::io::Result<usize> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&directory)?;
    let number = fs::read_dir(&directory)?.count();
    fs::write(directory.join(format!("seed-{number}")), content)?;
    Ok(1)
}

fn entry(
    archive: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    path: &str,
    link: &str,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_mtime(1);
    header.set_size(content.len() as u64);
    if !link.is_empty() {
        header.set_link_name(link)?;
    }
    if kind == tar::EntryType::Char {
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
    }
    archive.append_data(&mut header, path, content)
}

/// The stream of an upper directory.
fn upper() -> std::io::Result<Vec<u8>> {
    use tar::EntryType as Type;
    let mut archive = tar::Builder::new(Vec::new());
    let record = |text: &str| format!("{} {text}\n", text.len() + 4);
    entry(&mut archive, Type::XHeader, "pax", "", record("SCHILY.xattr.trusted.overlay.opaque=y").as_bytes())?;
    entry(&mut archive, Type::Directory, "d/", "", b"")?;
    entry(&mut archive, Type::Regular, "d/file", "", b"content")?;
    entry(&mut archive, Type::Link, "d/hard", "d/file", b"")?;
    entry(&mut archive, Type::Symlink, "d/link", "file", b"")?;
    entry(&mut archive, Type::Char, "there", "", b"")?;
    entry(&mut archive, Type::Fifo, "pipe", "", b"")?;
    entry(&mut archive, Type::XHeader, "pax", "", record("mtime=1700000000.123456789").as_bytes())?;
    let long = "long/".repeat(30);
    entry(&mut archive, Type::Directory, &long, "", b"")?;
    let name = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    entry(&mut archive, Type::Regular, name, "", b"x")?;
    archive.into_inner()
}

/// What a guest sends of two packages.
fn packages() -> std::io::Result<Vec<u8>> {
    use tar::EntryType as Type;
    let mut archive = tar::Builder::new(Vec::new());
    for directory in ["p/", "p/usr/", "p/usr/bin/", "p-dev/"] {
        entry(&mut archive, Type::Directory, directory, "", b"")?;
    }
    entry(&mut archive, Type::Regular, "p/usr/bin/x", "", &[7; 700])?;
    entry(&mut archive, Type::Link, "p/usr/bin/y", "p/usr/bin/x", b"")?;
    entry(&mut archive, Type::Symlink, "p-dev/l", "../../etc/passwd", b"")?;
    archive.into_inner()
}

/// The number of blocks of a control section, the section, and a data section.
fn apk() -> std::io::Result<Vec<u8>> {
    use tar::EntryType as Type;
    let mut control = tar::Builder::new(Vec::new());
    entry(&mut control, Type::Regular, ".PKGINFO", "", b"pkgname = a\npkgver = 1-r0\narch = x86_64\n")?;
    entry(&mut control, Type::Regular, ".melange.yaml", "", b"package:\n  name: a\n  version: 1\n  epoch: 0\n")?;
    let mut control = control.into_inner()?;
    // The end of the archive stands in none of them.
    control.truncate(control.len() - 1024);
    let blocks = u8::try_from(control.len() / 512).expect("it is small");
    Ok([&[blocks][..], &control, &packages()?].concat())
}

/// As [`apk`], with what a root is composed of: accounts, a shell, the loader's configuration, attributes, checksums, odd links.
fn root_of_apk() -> std::io::Result<Vec<u8>> {
    use tar::EntryType as Type;
    let mut control = tar::Builder::new(Vec::new());
    let info = b"pkgname = busybox\npkgver = 1-r0\narch = x86_64\nprovides = cmd:busybox=1-r0\nreplaces = a\ntriggers = /bin\n";
    entry(&mut control, Type::Regular, ".PKGINFO", "", info)?;
    let mut control = control.into_inner()?;
    control.truncate(control.len() - 1024);
    let blocks = u8::try_from(control.len() / 512).expect("it is small");
    let mut data = tar::Builder::new(Vec::new());
    for directory in ["bin/", "etc/ld.so.conf.d/", "etc/busybox-paths.d/", "lib/"] {
        entry(&mut data, Type::Directory, directory, "", b"")?;
    }
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nn:x:65532:65533::/home/n:/bin/sh\n";
    entry(&mut data, Type::Regular, "etc/passwd", "", passwd)?;
    entry(&mut data, Type::Regular, "etc/ld.so.conf", "", b"include ld.so.conf.d/*.conf\n/lib\n")?;
    entry(&mut data, Type::Regular, "etc/ld.so.conf.d/x.conf", "", b"/usr/local/lib # x\n")?;
    entry(&mut data, Type::Regular, "etc/busybox-paths.d/busybox", "", b"bin/sh\n/usr/bin/env\n")?;
    entry(&mut data, Type::Regular, "lib/libx.so.1", "", b"\x7fELF\x02\x01")?;
    let record = |text: &str| format!("{} {text}\n", text.len() + 4);
    entry(&mut data, Type::XHeader, "pax", "", record("SCHILY.xattr.user.x=y").as_bytes())?;
    entry(&mut data, Type::Regular, "bin/busybox", "", &[7; 5000])?;
    entry(&mut data, Type::Link, "bin/hard", "bin/busybox", b"")?;
    entry(&mut data, Type::Symlink, "usr/bin", "../bin", b"")?;
    entry(&mut data, Type::Regular, "usr/bin/through", "", b"x")?;
    let sum = record("APK-TOOLS.checksum.SHA1=86f7e437faa5a7fce15d1ddcb9eaeaea377667b8");
    entry(&mut data, Type::XHeader, "pax", "", sum.as_bytes())?;
    entry(&mut data, Type::Regular, "etc/a", "", b"a")?;
    Ok([&[blocks][..], &control, &data.into_inner()?].concat())
}

/// Some of each direction, one after the other.
fn frames() -> Vec<Vec<u8>> {
    let output = FromGuest::Output { step: 1, stream: Stream::Stderr, bytes: b"said".to_vec() };
    let data = FromGuest::Data(vec![1; 40]);
    let from: Vec<u8> =
        [output, data].iter().filter_map(|message| frame::encode(message, frame::MAX_FRAME).ok()).flatten().collect();
    let step = Step {
        index: 1,
        argv: vec!["/bin/sh".into(), "-c".into(), "true".into()],
        files: Vec::new(),
        env: vec![("A".into(), "b".into())],
        cwd: "/".into(),
        user: User::Name("build".into()),
        stdin: Stdin::Pipe,
        timeout_ms: Some(1),
    };
    let to = frame::encode(&ToGuest::Run(step), frame::MAX_REQUEST).unwrap_or_default();
    let mut cut = from.clone();
    // best effort: writing to memory does not fail.
    drop(cut.write_all(&[0xff; 9]));
    vec![from, to, cut]
}

/// A guest that mounts the device, makes files in it, and tries names that lead out of it.
fn guest() -> Vec<Action> {
    let numbers = |numbers: &[u32], names: &[u8]| [&numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>(), names].concat();
    // Opcodes and bodies of linux/fuse.h.
    let requests: [(u32, Vec<u8>); 14] = [
        (26, numbers(&[7, 31, 0x20000, u32::MAX], b"")), // INIT
        (9, numbers(&[0o755, 0o22], b"dir\0")),          // MKDIR
        (9, numbers(&[0o755, 0o22], b"../evil\0")),
        (35, numbers(&[0x42, 0o644, 0o22, 0], b"file\0")), // CREATE
        (1, b"file\0".into()),                            // LOOKUP
        (1, b"..\0".into()),
        (6, b"link\0../victim\0".into()),                 // SYMLINK
        (1, b"link\0".into()),
        (10, b"../victim\0".into()),                      // UNLINK
        (12, numbers(&[1, 0], b"file\0../victim\0")),     // RENAME
        (14, numbers(&[1, 0], b"")),                      // OPEN
        (27, numbers(&[0, 0], b"")),                      // OPENDIR
        (44, numbers(&[1, 0, 0, 0, 0x1000, 0, 0, 0, 0, 0], b"")), // READDIRPLUS
        (17, Vec::new()),                                 // STATFS
    ];
    let requests = requests.into_iter().zip(1_u16..);
    let actions = requests.flat_map(|((opcode, body), index)| [Action::Request { queue: 1, opcode, body, index }, Action::Kick(1)]);
    std::iter::once(Action::SetUp).chain(actions).collect()
}
