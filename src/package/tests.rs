//! The whole way: hand-made streams in, archives or a refusal out.

use std::{collections::BTreeMap, io::Read, path::Path, process::Command};

use super::{
    hostile::{Stream, archives, header, p},
    *,
};
use crate::exit::{Code, code_of};
use proptest::prelude::*;
use tar::Header;

/// The build date is another one than that of the stream's entries.
const NORMALIZATION: Normalization = Normalization { mtime: 86_400, build_uid: 1000, build_gid: 1000 };

fn packages() -> Vec<Package> {
    ["p", "p-dev"].map(|name| Package { name: name.into(), file_stem: format!("{name}-1.0-r0") }).to_vec()
}

fn job(out_dir: &Path) -> Job {
    Job {
        packages: packages(),
        normalization: NORMALIZATION,
        out_dir: out_dir.to_owned(),
        limits: Limits::default(),
        form: Form::TarZst,
    }
}

/// Collects into `<scratch>/out/x86_64`; on an error there must be no file anywhere below `scratch`.
fn try_collect(stream: impl Read, limits: &Limits, scratch: &Path) -> anyhow::Result<Vec<Artifact>> {
    let result = collect(stream, &Job { limits: limits.clone(), ..job(&scratch.join("out/x86_64")) });
    let result = result.map(|collected| collected.artifacts);
    let mut files = Vec::new();
    files_below(scratch, &mut files);
    match &result {
        Ok(artifacts) => {
            assert_eq!(files.len(), artifacts.len());
            assert!(artifacts.iter().all(|artifact| files.contains(&artifact.path)));
        }
        Err(_) => assert!(files.is_empty(), "left behind: {files:?}"),
    }
    result
}

fn files_below(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() { files_below(&path, files) } else { files.push(path) }
    }
}

fn refusal(stream: impl Read, limits: &Limits) -> String {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let error = try_collect(stream, limits, scratch.path()).expect_err("it must be refused");
    assert_eq!(code_of(&error), Code::Package, "{error:#}");
    format!("{error:#}")
}

/// The archives of `p` and `p-dev`, decompressed.
fn collected(stream: &[u8]) -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let artifacts = try_collect(stream, &Limits::default(), scratch.path()).expect("it must be accepted");
    let decoded = |artifact: &Artifact| {
        let file = std::fs::File::open(&artifact.path).expect("it was written");
        assert_eq!(file.metadata().expect("it was written").len(), artifact.bytes);
        zstd::decode_all(file).expect("it is zstd")
    };
    artifacts.iter().map(decoded).collect()
}

fn entries(archive: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut reader = Reader::new(archive, Limits::default());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().expect("well-formed") {
        let mut content = vec![0; if let Kind::File { size } = entry.kind { size as usize } else { 0 }];
        assert_eq!(reader.read_body(&mut content).expect("whole"), content.len());
        entries.push((entry, content));
    }
    entries
}

#[test]
fn a_hostile_stream_is_refused_with_its_name_and_reason() {
    for (reason, stream) in archives() {
        let message = refusal(&*stream.end(), &Limits::default());
        assert!(message.contains(reason), "{message}\n  should say: {reason}");
    }
}

#[test]
fn a_truncated_or_overlong_stream_is_refused() {
    let whole = p().end();
    for length in (0..whole.len()).filter(|length| [0, 1, 511].contains(&(length % 512))) {
        assert!(refusal(&whole[..length], &Limits::default()).contains("cut off"), "after {length} bytes");
    }
    let more = [&whole[..], b"x"].concat();
    assert!(refusal(&*more, &Limits::default()).contains("something follows its end"));
    assert!(
        refusal(whole.as_slice().chain(std::io::repeat(0)), &Limits::default())
            .contains("something follows its end")
    );
    let apart = [&p().0[..], &[0; 512], &p().end()].concat();
    assert!(refusal(&*apart, &Limits::default()).contains("one block of zeros"));
}

/// Repeats a piece for ever.
struct Endless {
    piece: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..][..length]);
        self.at = (self.at + length) % self.piece.len();
        Ok(length)
    }
}

/// Files `p/d/0`, `p/d/1`, … for ever.
struct Files(u64, Vec<u8>);

impl Read for Files {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.1.is_empty() {
            self.1 = header(b'0', format!("p/d/{}", self.0).as_bytes(), b"", 0).as_bytes().to_vec();
            self.0 += 1;
        }
        let length = buffer.len().min(self.1.len());
        buffer[..length].copy_from_slice(&self.1[..length]);
        self.1.drain(..length);
        Ok(length)
    }
}

#[test]
fn an_endless_stream_is_ended_by_the_limits() {
    assert!(Limits::default().entries < 10_000_000);
    let limits = Limits { entries: 1000, bytes: 1 << 20, header_bytes: 4096 };
    let endless_files = Files(0, p().0);
    assert!(refusal(endless_files, &limits).contains("more than 1000 entries"));
    let big = p().header(&header(b'0', b"p/big", b"", 1 << 62)).0;
    assert!(refusal(big.as_slice().chain(std::io::repeat(1)), &limits).contains("larger than 1048576 bytes"));
    let headers = Endless { piece: Stream::default().pax(&[]).file("p/d/f", b"").0, at: 0 };
    assert!(refusal(p().0.as_slice().chain(headers), &limits).contains("twice"));
}

/// All that a package may hold.
fn everything() -> Vec<u8> {
    let deep = format!("p/d/{}", "long-name/".repeat(30).trim_end_matches('/'));
    let mut stream = p();
    for end in 1..=30 {
        let parent: Vec<&str> = deep.split('/').take(2 + end).collect();
        stream = stream.pax(&[("path", parent.join("/").as_bytes())]).directory("short");
    }
    let mut setuid = header(b'0', b"p/d/su", b"", 4);
    setuid.set_mode(0o106_755);
    setuid.set_uid(0);
    setuid.set_gid(33);
    setuid.set_cksum();
    let capability = b"\x01\0\0\x02\0\x04\n\xff=\0";
    let precise: &[(&str, &[u8])] = &[
        ("mtime", b"-1.25"),
        ("SCHILY.xattr.security.capability", capability),
        ("SCHILY.xattr.user.a", b""),
        ("uname", b"x"),
    ];
    stream
        .header(&setuid)
        .raw_bytes(b"#!su")
        .pax(precise)
        .file("p/d/precise", b"")
        .raw(b'2', b"p/link", b"../../../etc/passwd", b"")
        .pax(&[("linkpath", "t/".repeat(200).as_bytes())])
        .raw(b'2', b"p/long-link", b"", b"")
        .raw(b'1', b"p/hard", b"p/d/f", b"")
        .raw(b'6', b"p/fifo", b"", b"")
        .pax(&[("path", b"p/latin-\xe9"), ("uid", b"4294967294"), ("gid", b"2097152")])
        .raw(0, b"short", b"", &[7; 100_000])
        .raw(b'L', b"././@LongLink", b"", "p-dev/".as_bytes())
        .directory("short")
        .file("p-dev/x", b"x")
        .end()
}

impl Stream {
    fn raw_bytes(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
}

#[test]
fn all_that_a_package_may_hold_survives() {
    let archives = collected(&everything());
    let read = entries(&archives[0]);
    let by_name: BTreeMap<&[u8], &(Entry, Vec<u8>)> =
        read.iter().map(|pair| (&pair.0.path[..], pair)).collect();
    let entry = |name: &[u8]| &by_name[name].0;

    assert_eq!(read[0].0.path, b"d");
    assert_eq!((entry(b"d").uid, entry(b"d").gid), (0, 0));
    assert_eq!(by_name[&b"d/f"[..]].1, b"content");
    assert_eq!((entry(b"d/su").mode, entry(b"d/su").uid, entry(b"d/su").gid), (0o6755, 0, 33));
    let build_date = Time { seconds: NORMALIZATION.mtime, nanos: 0 };
    assert!(read.iter().all(|(entry, _)| entry.mtime == build_date), "the guest's times are not kept");
    let capability = (b"security.capability".to_vec(), b"\x01\0\0\x02\0\x04\n\xff=\0".to_vec());
    assert_eq!(entry(b"d/precise").xattrs, [capability, (b"user.a".to_vec(), Vec::new())]);
    assert_eq!(entry(b"link").kind, Kind::Symlink { target: b"../../../etc/passwd".to_vec() });
    assert_eq!(entry(b"long-link").kind, Kind::Symlink { target: "t/".repeat(200).into() });
    assert_eq!(entry(b"hard").kind, Kind::HardLink { target: b"d/f".to_vec() });
    assert_eq!(entry(b"fifo").kind, Kind::Fifo);
    let latin = entry(b"latin-\xe9");
    assert_eq!(
        (latin.uid, latin.gid, &latin.kind),
        (4_294_967_294, 2_097_152, &Kind::File { size: 100_000 })
    );
    assert_eq!(by_name[&b"latin-\xe9"[..]].1, [7; 100_000]);
    assert_eq!(
        entry(format!("d/{}", "long-name/".repeat(30).trim_end_matches('/')).as_bytes()).kind,
        Kind::Directory
    );
    assert_eq!(entries(&archives[1]).len(), 1);
}

#[test]
fn other_readers_see_the_same() {
    let archive = &collected(&everything())[0];
    let ours: Vec<Vec<u8>> = entries(archive).into_iter().map(|(entry, _)| entry.path).collect();
    let mut theirs = tar::Archive::new(&archive[..]);
    let theirs: Vec<Vec<u8>> = theirs
        .entries()
        .expect("readable")
        .map(|entry| {
            entry.expect("readable").path_bytes().strip_suffix(b"/").map_or_else(Vec::new, <[u8]>::to_vec)
        })
        .collect();
    assert_eq!(ours.len(), theirs.len());

    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("p.tar");
    std::fs::write(&path, archive).expect("writable");
    let listing = Command::new("tar")
        .args(["--numeric-owner", "--utc", "-tvf"])
        .arg(&path)
        .output()
        .expect("tar is installed");
    assert!(
        listing.status.success() && listing.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&listing.stderr)
    );
    let listing = String::from_utf8(listing.stdout).expect("tar escapes what is not ASCII");
    assert_eq!(listing.lines().count(), ours.len());
    for line in [
        "drw-r--r-- 0/0               0 1970-01-02 00:00 d/",
        "-rwsr-sr-x 0/33              4 1970-01-02 00:00 d/su",
        "lrw-r--r-- 0/0               0 1970-01-02 00:00 link -> ../../../etc/passwd",
        "hrw-r--r-- 0/0               0 1970-01-02 00:00 hard link to d/f",
        "prw-r--r-- 0/0               0 1970-01-02 00:00 fifo",
    ] {
        assert!(listing.lines().any(|have| have == line), "{line}\n{listing}");
    }
}

#[test]
fn an_archive_of_gnu_tar_is_accepted_and_comes_out_the_same() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let deep = scratch.path().join("p").join("deep".repeat(30)).join("er".repeat(60));
    std::fs::create_dir_all(&deep).expect("writable");
    std::fs::write(deep.join("file"), vec![3; 70_000]).expect("writable");
    std::fs::hard_link(deep.join("file"), scratch.path().join("p/twin")).expect("writable");
    std::os::unix::fs::symlink("/etc/passwd", scratch.path().join("p/link")).expect("writable");
    let fifo = scratch.path().join("p/fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("writable");
    let tar = |directory: &Path, options: &[&str]| {
        let output =
            Command::new("tar").current_dir(directory).args(options).output().expect("tar is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let packed = tar(scratch.path(), &["--format=posix", "--sort=name", "--numeric-owner", "-cf-", "p"]);

    let unpacked = tempfile::tempdir().expect("a scratch directory");
    let archive = unpacked.path().join("p.tar");
    std::fs::write(&archive, &collected(&packed)[0]).expect("writable");
    tar(unpacked.path(), &["-xf", "p.tar"]);
    std::fs::remove_file(archive).expect("written above");

    let listing = |directory: &Path| {
        let format = "%P %y %m %s %l %n\n";
        let options = ["-mindepth", "1", "!", "-type", "d", "-printf", format];
        let found = Command::new("find").arg(directory).args(options).output().expect("find is installed");
        let text = String::from_utf8(found.stdout).expect("the names are ASCII");
        let mut lines: Vec<String> = text.lines().map(Into::into).collect();
        lines.sort();
        lines
    };
    let before = listing(&scratch.path().join("p"));
    assert_eq!(before.len(), 4);
    assert_eq!(listing(unpacked.path()), before);
}

#[test]
fn a_package_without_files_is_an_empty_archive() {
    let archives = collected(&Stream::default().directory("p/").end());
    assert_eq!(archives, [vec![0; 1024], vec![0; 1024]]);
}

#[test]
fn the_build_date_and_the_owners_are_those_of_the_plan() {
    let ids = |uid, gid| Normalization { mtime: 0, build_uid: uid, build_gid: gid };
    let cases = [
        (Normalization { mtime: -2, ..ids(1000, 1000) }, (0, 0)),
        (Normalization { mtime: 253_402_300_799, ..ids(1000, 1001) }, (0, 1000)),
        (Normalization { mtime: 1, ..ids(7, 1000) }, (1000, 0)),
        (Normalization { mtime: 0, ..ids(7, 7) }, (1000, 1000)),
    ];
    for (normalization, owner) in cases {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let collected = collect(&*p().end(), &Job { normalization, ..job(scratch.path()) });
        let archive = std::fs::File::open(&collected.expect("accepted").artifacts[0].path).expect("written");
        for (entry, _) in entries(&zstd::decode_all(archive).expect("it is zstd")) {
            assert_eq!(entry.mtime, Time { seconds: normalization.mtime, nanos: 0 });
            assert_eq!((entry.uid, entry.gid), owner, "{normalization:?}");
        }
    }
}

#[test]
fn an_older_archive_stays_when_the_new_one_is_refused() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let before = collect(&*p().end(), &job(scratch.path())).expect("accepted").artifacts;
    let bytes = std::fs::read(&before[0].path).expect("written");
    collect(&*p().0, &job(scratch.path())).expect_err("it is cut off");
    assert_eq!(std::fs::read(&before[0].path).expect("still there"), bytes);
}

#[test]
fn a_directory_that_cannot_be_written_is_a_host_failure() {
    let error = collect(&*p().end(), &job(Path::new("/dev/null/x"))).expect_err("no directory");
    assert_eq!(code_of(&error), Code::Host);
}

/// Names and contents.
type Contents = Vec<(Vec<u8>, Vec<u8>)>;

/// A random tree: names by depth, kinds by number, contents.
fn tree() -> impl Strategy<Value = Vec<(u8, String, Vec<u8>)>> {
    let name = "[a-z\u{e9}]{1,120}";
    prop::collection::vec((0_u8..4, name, prop::collection::vec(any::<u8>(), 0..1500)), 0..20)
}

fn stream_of(tree: &[(u8, String, Vec<u8>)]) -> (Vec<u8>, Contents) {
    let mut stream = Stream::default().directory("p/");
    let (mut directory, mut files) = (b"p".to_vec(), Vec::new());
    for (index, (kind, name, content)) in tree.iter().enumerate() {
        let path = [&directory[..], format!("/{index:02}{name}").as_bytes()].concat();
        stream = stream.pax(&[("path", &path), ("mtime", format!("{index}.5").as_bytes())]);
        let relative = path[2..].to_vec();
        match kind {
            0 => {
                stream = stream.directory("short");
                files.push((relative, Vec::new()));
                directory = path;
            }
            1 => {
                stream = stream.raw(b'2', b"short", b"target", b"");
                files.push((relative, Vec::new()));
            }
            _ => {
                stream = stream.file("short", content);
                files.push((relative, content.clone()));
            }
        }
    }
    (stream.end(), files)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_tree_survives_and_gives_the_same_bytes_twice(tree in tree()) {
        let (stream, files) = stream_of(&tree);
        let archives = collected(&stream);
        let read: Contents =
            entries(&archives[0]).into_iter().map(|(entry, content)| (entry.path, content)).collect();
        prop_assert_eq!(read, files);
        prop_assert_eq!(archives, collected(&stream));
    }

    #[test]
    fn a_mutated_stream_is_accepted_or_refused_but_never_more(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        cut_it in any::<bool>(),
    ) {
        let mut stream = everything();
        for (index, byte) in changes {
            let index = index.index(stream.len());
            stream[index] = byte;
            // With a correct checksum the header passes the first check.
            let block = index / 512 * 512;
            let mut header = Header::from_byte_slice(&stream[block..block + 512]).clone();
            if &header.as_bytes()[257..262] == b"ustar" {
                header.set_cksum();
                stream[block..block + 512].copy_from_slice(header.as_bytes());
            }
        }
        if cut_it {
            stream.truncate(cut.index(stream.len()));
        }
        let scratch = tempfile::tempdir().expect("a scratch directory");
        match try_collect(&*stream, &Limits::default(), scratch.path()) {
            Ok(artifacts) => prop_assert_eq!(artifacts.len(), 2),
            Err(error) => prop_assert_eq!(code_of(&error), Code::Package),
        }
    }
}
