//! Exports of an overlay's upper directory, which has no path any more.

use kiln_protocol::{Access, ExitStatus, FromGuest, GuestConfig, LINKED, Mount, MountSource, SIZE, ToGuest};
use tar::EntryType;

use crate::{
    agent::{Agent, can_isolate, empty_config, sh},
    archive::{entry, exported, read},
};

/// An overlay with a hidden upper directory.
struct Cache {
    agent: Agent,
    target: String,
    _target: tempfile::TempDir,
    _scratch: tempfile::TempDir,
}

impl Cache {
    /// With a lower directory that `script` fills.
    fn over(script: &str, options: &str) -> Self {
        // /dev/shm is a tmpfs: not every file system can have an overlay's upper directory.
        let scratch = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let target = tempfile::tempdir().expect("a directory");
        let path = |name: &str| scratch.path().join(name).to_string_lossy().into_owned();
        std::fs::create_dir(scratch.path().join("lower")).expect("made");
        let filled =
            std::process::Command::new("sh").args(["-ec", script]).current_dir(path("lower")).status();
        assert!(filled.expect("a shell").success(), "{script}");
        let overlay = Mount::Overlay {
            lower: vec![path("lower")],
            upper: path("upper"),
            work: path("work"),
            target: target.path().to_string_lossy().into_owned(),
            options: options.into(),
            nodev: false,
            owner: (0, 0),
        };
        let hidden = Mount::Filesystem {
            source: MountSource::Name("tmpfs".into()),
            target: path(""),
            fstype: "tmpfs".into(),
            options: String::new(),
            access: Access::ReadOnly,
        };
        let config = GuestConfig { mounts: vec![overlay, hidden], ..empty_config() };
        let (agent, name) = (Agent::start_isolated(config), target.path().to_string_lossy().into_owned());
        Self { agent, target: name, _target: target, _scratch: scratch }
    }

    fn run(&mut self, script: &str) {
        let script = format!("set -e; cd {}; {script}", self.target);
        assert_eq!(self.agent.output_of(&script), "");
    }

    fn request(&self) -> ToGuest {
        ToGuest::ExportUpper { target: self.target.clone() }
    }

    fn exported(&mut self) -> (Vec<u8>, u64) {
        let request = self.request();
        exported(&mut self.agent, &request)
    }
}

#[test]
fn whiteouts_and_opaque_directories_have_one_form() {
    if !can_isolate() {
        return;
    }
    for options in ["", "userxattr"] {
        let lower = "mkdir replaced same changed; touch gone replaced/x same/x; echo old > changed/file";
        let mut cache = Cache::over(lower, options);
        cache.run(
            "rm gone; rm -r replaced; mkdir replaced; touch replaced/new; echo new >> changed/file; \
             mkdir fresh; echo whole > fresh/a; ln fresh/a fresh/b; ln -s ../gone fresh/link; chmod 555 fresh",
        );
        let (archive, entries) = cache.exported();
        let seen = read(&archive);
        let names: Vec<_> = seen.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        let expected = [
            "changed",
            "changed/file",
            "fresh",
            "fresh/a",
            "fresh/b",
            "fresh/link",
            "gone",
            "replaced",
            "replaced/new",
        ];
        assert_eq!(names, expected, "{options}");
        assert_eq!(entries, 9);
        assert_eq!(entry(&seen, b"gone").kind, EntryType::Char);
        assert_eq!(entry(&seen, b"replaced").pax["SCHILY.xattr.trusted.overlay.opaque"], b"y");
        assert_eq!(entry(&seen, b"changed/file").content, b"old\nnew\n");
        assert_eq!(entry(&seen, b"fresh").mode, 0o555);
        assert_eq!(entry(&seen, b"fresh/b").link.as_deref(), Some(b"fresh/a".as_slice()));
        for (path, linked) in [(&b"fresh/a"[..], true), (b"fresh/b", false), (b"changed/file", false)] {
            let mark = format!("SCHILY.xattr.{LINKED}");
            assert_eq!(entry(&seen, path).pax.contains_key(&mark), linked, "{options}: {path:?}");
        }
        let marked = seen.iter().flat_map(|(_, seen)| seen.pax.keys()).filter(|key| key.contains("overlay"));
        assert_eq!(marked.count(), 1, "{options}: {seen:?}");
    }
}

#[test]
fn a_listing_names_files_that_differ_from_the_lower_layer_without_content() {
    if !can_isolate() {
        return;
    }
    for options in ["", "userxattr", "metacopy=on"] {
        let lower = "mkdir old; for f in stamped modes opened changed longer gone replaced same; do echo $f > old/$f; done; \
                     head -c 200000 /dev/zero | tr '\\0' x > old/large; echo there > old/linked";
        let mut cache = Cache::over(lower, options);
        cache.run(
            "touch old/stamped old/large; chmod 600 old/modes; : >> old/opened; printf CHANGED > old/changed; \
             echo more >> old/longer; rm old/gone; echo replaced > old/new; mv old/new old/replaced; \
             echo other! > old/new; mv old/new old/same; printf x >> old/large; mkdir -p a/b; : > a/b/empty; \
             echo 12345 > a/first; ln a/first a/second; ln -s first a/link; mkfifo a/fifo",
        );
        let request = ToGuest::ListUpper { target: cache.target.clone() };
        let (archive, entries) = exported(&mut cache.agent, &request);
        let seen = read(&archive);
        let size = |pax: &std::collections::BTreeMap<String, Vec<u8>>| {
            let size = pax.get(&format!("SCHILY.xattr.{SIZE}"));
            size.map(|size| String::from_utf8_lossy(size).into_owned())
        };
        let listed: Vec<_> = seen
            .iter()
            .filter(|(_, seen)| seen.kind != EntryType::Char)
            .map(|(name, seen)| (String::from_utf8_lossy(name).into_owned(), size(&seen.pax)))
            .collect();
        let file = |name: &str, size: u64| (name.to_owned(), Some(size.to_string()));
        let other = |name: &str| (name.to_owned(), None);
        let expected = [
            file("a/b/empty", 0),
            other("a/fifo"),
            file("a/first", 6),
            other("a/link"),
            file("a/second", 6),
            file("old/changed", 7),
            file("old/large", 200_001),
            file("old/longer", 12),
            file("old/same", 7),
        ];
        assert_eq!(listed, expected, "{options}");
        assert!(archive.len() < 64 * 1024 && entries as usize == seen.len(), "{} {entries}", archive.len());
        assert!(seen.iter().all(|(_, seen)| seen.content.is_empty()));
    }
}

#[test]
fn a_renamed_directory_is_exported_completely() {
    if !can_isolate() {
        return;
    }
    let lower = "mkdir -p a/deep/er b/in; echo one > a/one; echo two > a/deep/two; echo three > a/deep/er/three; \
                 ln a/one a/link; ln -s one a/soft; chmod 750 a/deep; echo in > b/in/file; touch a/gone; mkdir -p c/old; \
                 touch c/old/x kept";
    let mut cache = Cache::over(lower, "metacopy=off,redirect_dir=on");
    // Renamed; into a new directory, and again from there; to a name that existed before; and changed after that.
    cache.run(
        "move() { perl -e 'rename $ARGV[0], $ARGV[1] or die $!' $1 $2; }; move a moved; mkdir new; move b new/b; \
         move new/b/in new/in; move moved/deep/er er; rm -r c/old; mkdir c/fresh; move c/fresh c/old; move c d; \
         rm moved/gone; echo more >> moved/deep/two; echo new > moved/deep/new",
    );
    let (archive, _) = cache.exported();
    let seen = read(&archive);
    let whiteouts = ["a", "b", "c"];
    let whole = [
        "d",
        "d/old",
        "er",
        "er/three",
        "moved",
        "moved/deep",
        "moved/deep/new",
        "moved/deep/two",
        "moved/link",
        "moved/one",
        "moved/soft",
        "new",
        "new/b",
        "new/in",
        "new/in/file",
    ];
    let mut expected = [&whiteouts[..], &whole[..]].concat();
    expected.sort_unstable();
    let names: Vec<_> = seen.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(names, expected);
    for name in whiteouts {
        assert_eq!(entry(&seen, name.as_bytes()).kind, EntryType::Char, "{name}");
    }
    for name in ["d", "er", "moved", "new/b", "new/in"] {
        let pax = &entry(&seen, name.as_bytes()).pax;
        assert_eq!(
            pax.get("SCHILY.xattr.trusted.overlay.opaque").map(Vec::as_slice),
            Some(&b"y"[..]),
            "{name}"
        );
    }
    let content = |name: &str| String::from_utf8_lossy(&entry(&seen, name.as_bytes()).content).into_owned();
    let contents = ["er/three", "moved/deep/new", "moved/deep/two", "new/in/file"].map(content);
    assert_eq!(contents, ["three\n", "new\n", "two\nmore\n", "in\n"]);
    assert_eq!(entry(&seen, b"moved/deep").mode, 0o750);
    let (one, link) = (entry(&seen, b"moved/one"), entry(&seen, b"moved/link"));
    assert_eq!(
        (content("moved/link").as_str(), one.link.as_deref()),
        ("one\n", Some(&b"moved/link"[..])),
        "{link:?}"
    );
    assert_eq!(entry(&seen, b"moved/soft").link.as_deref(), Some(&b"one"[..]));
    assert!(seen.iter().all(|(_, seen)| seen.pax.keys().all(|key| !key.contains("redirect"))), "{seen:?}");
}

#[test]
fn an_export_kills_writers_and_can_be_repeated() {
    if !can_isolate() {
        return;
    }
    let mut cache = Cache::over(":", "");
    let script = format!("cd {}; setsid sh -c 'while :; do echo x >> busy; done' & exit 0", cache.target);
    assert_eq!(cache.agent.run(sh(1, &script)).status, ExitStatus::Code(0));
    let (first, _) = cache.exported();
    let (second, _) = cache.exported();
    assert_eq!(read(&first), read(&second));
    cache.run("echo more > more");
    let (third, entries) = cache.exported();
    assert_eq!(entry(&read(&third), b"more").content, b"more\n");
    assert!(entries >= 1);
}

#[test]
fn a_file_that_lies_in_a_lower_layer_is_refused_by_name() {
    if !can_isolate() {
        return;
    }
    let mut cache = Cache::over("echo content > file", "metacopy=on");
    cache.run("chmod 600 file");
    let request = cache.request();
    cache.agent.send(&request);
    let why = "export file: it lies in a lower layer of the overlay (trusted.overlay.metacopy)";
    assert_eq!(cache.agent.recv(), Some(FromGuest::Failed { why: why.into() }));
}

#[test]
fn a_target_without_an_overlay_fails_by_name() {
    let mut agent = Agent::start();
    agent.send(&ToGuest::ExportUpper { target: "/cache".into() });
    let why = "there is no overlay on /cache".to_owned();
    assert_eq!(agent.recv(), Some(FromGuest::Failed { why }));
    assert_eq!(agent.recv(), None);
}
