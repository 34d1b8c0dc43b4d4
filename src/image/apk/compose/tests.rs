//! What packages may do to a root: conflicts, links, and hostile entries, which never leave it.

use std::{
    collections::BTreeMap,
    io::{Seek, Write},
};

use super::{
    super::package::{Control, Package, data_entries},
    Composed, compose,
};
use crate::{
    apk::{PackageInfo, ustar::XATTR_PREFIX},
    exit::{Code, Failure},
    image::erofs::{Content, Kind, NodeId, Tree},
    plan::{ApkPackage, ApkRoot},
};

/// An entry: its path, its type and mode, and its content or target.
type Entry<'e> = (&'e str, char, u32, &'e str);

fn package(name: &str, replaces: &[&str], entries: &[Entry<'_>]) -> Package {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, mode, content) in entries {
        let mut header = tar::Header::new_ustar();
        let raw = header.as_mut_bytes();
        raw[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(match kind {
            'd' => tar::EntryType::Directory,
            'l' => tar::EntryType::Symlink,
            'h' => tar::EntryType::Link,
            'c' => tar::EntryType::Char,
            'p' => tar::EntryType::Fifo,
            _ => tar::EntryType::Regular,
        });
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        if ['l', 'h'].contains(kind) {
            header.set_size(0);
            header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
        } else {
            header.set_size(content.len() as u64);
        }
        header.set_cksum();
        let data = if ['l', 'h'].contains(kind) { "" } else { content };
        builder.append(&header, data.as_bytes()).expect("added");
    }
    let bytes = builder.into_inner().expect("ended");
    let mut data = tempfile::tempfile().expect("a file");
    data.write_all(&bytes).and_then(|()| data.rewind()).expect("written");
    let entries = data_entries(&data, bytes.len() as u64).expect("a tar");
    let info = PackageInfo {
        name: name.into(),
        version: "1-r0".into(),
        origin: name.into(),
        replaces: replaces.iter().map(|name| (*name).to_owned()).collect(),
        ..PackageInfo::default()
    };
    Package { control: Control { info, scripts: Vec::new() }, data, entries }
}

fn root(packages: Vec<Package>) -> Result<Composed, Failure> {
    let chosen = packages.iter().map(|package| ApkPackage {
        name: package.control.info.name.clone(),
        version: "1-r0".into(),
        repository: "https://r.example.org".into(),
        checksum: "Q1".into(),
        size: 1,
        tag: None,
        versioned_libraries: Vec::new(),
    });
    let recipe = ApkRoot { packages: chosen.collect(), ..ApkRoot::default() };
    compose(&recipe, "x86_64", packages)
}

fn node(composed: &Composed, path: &str) -> Option<NodeId> {
    path.split('/')
        .try_fold(Tree::ROOT, |node, part| composed.tree.entries(node)?.get(part.as_bytes()).copied())
}

fn listed(composed: &Composed) -> String {
    let node = node(composed, "usr/lib/apk/db/installed").expect("the database");
    match &composed.tree.nodes[node].kind {
        Kind::File(Content::Bytes(bytes)) => String::from_utf8(bytes.clone()).expect("UTF-8"),
        other => panic!("{other:?}"),
    }
}

const USR: Entry<'_> = ("usr/", 'd', 0o755, "");

#[test]
fn entries_that_no_package_may_have_are_errors_with_their_path() {
    for (entries, part) in [
        (&[("../etc/x", 'f', 0o644, "x")][..], "../etc/x: it leads out of its directory by .."),
        (&[USR, ("usr/../../x", 'd', 0o755, "")], "by .."),
        (&[USR, ("usr/null", 'c', 0o666, "")], "usr/null: it is a device, pipe or something else"),
        (&[USR, ("usr/pipe", 'p', 0o644, "")], "usr/pipe: it is a device"),
        (
            &[USR, ("usr/h", 'h', 0o644, "usr/gone")],
            "usr/h: it is a hard link to usr/gone, which is not there",
        ),
        (&[USR, ("usr/h", 'h', 0o644, "../../etc/passwd")], "by .."),
        (&[USR, ("usr/h", 'h', 0o644, "usr/lib")], "a hard link to a directory"),
        (
            &[("nowhere/x", 'f', 0o644, "x")],
            "nowhere/x: neither the package nor one before it has its directory",
        ),
        (
            &[USR, ("usr/a", 'l', 0o777, "b"), ("usr/b", 'l', 0o777, "a"), ("usr/a/x", 'f', 0o644, "")],
            "too many",
        ),
        (
            &[USR, ("usr/f", 'f', 0o644, ""), ("usr/f/x", 'f', 0o644, "")],
            "usr/f/x: neither the package nor one",
        ),
        (&[USR, ("usr/a\nR:x", 'f', 0o644, "")], "usr/a\\nR:x: a name has a line break"),
        (&[USR, ("usr/l", 'l', 0o777, "")], "usr/l: it is a symbolic link to nothing"),
        (&[("usr", 'l', 0o777, "etc")], "usr: a package before has a directory of this name"),
        (&[USR, ("usr/gone", 'l', 0o777, "/nowhere"), ("usr/gone/", 'd', 0o755, "")], "leads to nothing"),
    ] {
        let failure = root(vec![package("bad", &[], entries)]).expect_err("refused");
        assert_eq!(failure.code, Code::Host);
        assert!(failure.what.starts_with("the package bad-1-r0 of https://r.example.org: "), "{failure}");
        assert!(failure.what.contains(part), "{failure}: {part}");
    }
}

#[test]
fn attributes_that_no_file_can_have_are_an_error() {
    let mut bad = package("bad", &[], &[USR, ("usr/f", 'f', 0o644, "x")]);
    for at in 0..3 {
        let name = format!("{XATTR_PREFIX}user.{at}").into_bytes();
        bad.entries[1].records.insert(name, vec![1; 40 << 10]);
    }
    let failure = root(vec![bad]).expect_err("refused");
    assert!(failure.what.contains("bad-1-r0") && failure.what.contains("usr/f: its attributes"), "{failure}");
}

#[test]
fn a_configuration_of_the_loader_without_end_ends() {
    let line = "include /etc/ld.so.conf.d/*\n".repeat(5_000);
    let mut entries =
        vec![("etc/ld.so.conf", 'f', 0o644, line.as_str()), ("etc/ld.so.conf.d/", 'd', 0o755, "")];
    let names: Vec<String> = (0..5_000).map(|at| format!("etc/ld.so.conf.d/{at}")).collect();
    entries.extend(names.iter().map(|name| (name.as_str(), 'f', 0o644, "/usr/lib\n")));
    assert!(root(vec![package("a", &[], &entries)]).is_ok());
}

#[test]
fn a_link_out_of_the_root_leads_to_a_place_in_it() {
    let entries = [USR, ("usr/out", 'l', 0o777, "../../../../opt"), ("usr/out/x", 'f', 0o4755, "content")];
    let composed = root(vec![package("a", &[], &entries)]).expect("composed");
    let file = node(&composed, "opt/x").expect("in the root");
    assert_eq!((composed.tree.nodes[file].mode, composed.tree.nodes[file].mtime), (0o4755, 7));
}

#[test]
fn files_of_two_packages_are_a_conflict_unless_one_replaces_the_other() {
    let a = |replaces: &[&str]| package("a", replaces, &[USR, ("usr/t", 'f', 0o644, "of a")]);
    let b = |replaces: &[&str]| package("b", replaces, &[USR, ("usr/t", 'f', 0o644, "of b")]);
    let failure = root(vec![a(&[]), b(&[])]).expect_err("a conflict");
    assert!(
        failure.what.contains("usr/t: a and b have this file") && failure.way_out.contains("replaces"),
        "{failure}"
    );
    let source = |composed: &Composed| match composed.tree.nodes[node(composed, "usr/t").expect("there")].kind
    {
        Kind::File(Content::Extent { source, .. }) => source,
        _ => panic!("it is a file"),
    };
    let kept = root(vec![a(&["b"]), b(&[])]).expect("composed");
    assert_eq!((source(&kept), listed(&kept).matches("R:t").count()), (0, 1));
    let overwritten = root(vec![a(&[]), b(&["a"])]).expect("composed");
    assert_eq!((source(&overwritten), listed(&overwritten).matches("R:t").count()), (1, 1));
    assert!(root(vec![a(&[]), b(&["a<2"])]).is_err(), "only the exact name counts");
}

#[test]
fn the_first_package_gives_a_directory_its_mode_and_hard_links_stay_links() {
    let first = package("a", &[], &[USR, ("usr/d/", 'd', 0o700, ""), ("usr/d/x", 'f', 0o755, "x")]);
    let second = package("b", &[], &[USR, ("usr/d/", 'd', 0o755, ""), ("usr/y", 'h', 0o755, "usr/d/x")]);
    let composed = root(vec![first, second]).expect("composed");
    let directory = node(&composed, "usr/d").expect("there");
    assert_eq!(composed.tree.nodes[directory].mode, 0o700);
    assert_eq!(node(&composed, "usr/y"), node(&composed, "usr/d/x"));
}

#[test]
fn directories_above_one_without_an_entry_get_its_mode() {
    let composed = root(vec![package("a", &[], &[("srv/a/b/", 'd', 0o750, "")])]).expect("composed");
    for path in ["srv", "srv/a", "srv/a/b"] {
        let node = node(&composed, path).expect("made");
        assert_eq!(composed.tree.nodes[node].mode, 0o750, "{path}");
    }
    assert!(!listed(&composed).contains("F:srv"), "what is above has no entry");
}

#[test]
fn the_database_has_what_apkos_has() {
    let first = package(
        "a",
        &[],
        &[USR, ("usr/lib/", 'd', 0o755, ""), ("usr/lib/x", 'f', 0o644, "x"), ("usr/l", 'l', 0o777, "lib")],
    );
    // The same link is in the lists of both; a file below a directory without an entry is in none; a hard link is in its own.
    let second = package(
        "b",
        &[],
        &[
            USR,
            ("usr/l", 'l', 0o777, "lib"),
            ("usr/lib/y", 'f', 0o644, "y"),
            ("usr/h", 'h', 0o644, "usr/lib/x"),
        ],
    );
    let text = listed(&root(vec![first, second]).expect("composed"));
    let files = |name: &str| -> Vec<String> {
        let of = text.split("\n\n").find(|one| one.starts_with(&format!("P:{name}\n"))).expect("its record");
        of.lines()
            .filter(|line| ["F:", "R:"].iter().any(|kind| line.starts_with(kind)))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(files("a"), ["F:usr", "R:l", "F:usr/lib", "R:x"]);
    assert_eq!(files("b"), ["F:usr", "R:h", "R:l"]);
    // A file that another package has overwritten is in the list of that one only.
    let a = package("a", &[], &[USR, ("usr/t", 'f', 0o644, "of a")]);
    let b = package("b", &["a"], &[USR, ("usr/t", 'f', 0o644, "of b")]);
    let text = listed(&root(vec![a, b]).expect("composed"));
    assert_eq!(text.matches("R:t").count(), 1);
    let taken = package("c", &[], &[USR, ("usr/f", 'f', 0o644, ""), ("usr/f", 'h', 0o644, "usr/f")]);
    let failure = root(vec![taken]).expect_err("refused");
    assert!(failure.what.contains("usr/f: it is a hard link, and there is a file of this name"), "{failure}");
}

#[test]
fn the_old_place_of_the_database_leads_to_the_new_one() {
    let plain = root(vec![package("a", &[], &[USR])]).expect("composed");
    let link = node(&plain, "lib/apk").expect("made");
    assert_eq!(plain.tree.nodes[link].kind, Kind::Symlink(b"../usr/lib/apk".to_vec()));
    let empty = [("lib/", 'd', 0o755, ""), ("lib/apk/", 'd', 0o755, ""), ("lib/apk/db/", 'd', 0o755, "")];
    let replaced = root(vec![package("a", &[], &empty)]).expect("composed");
    let link = node(&replaced, "lib/apk").expect("made");
    assert_eq!(replaced.tree.nodes[link].kind, Kind::Symlink(b"../usr/lib/apk".to_vec()));
    let used = [&empty[..], &[("lib/apk/x", 'f', 0o644, "x")]].concat();
    let kept = root(vec![package("a", &[], &used)]).expect("composed");
    assert!(node(&kept, "lib/apk/x").is_some());
    let mut merged = package("a", &[], &[USR]);
    merged.control.info.provides = vec!["merged-lib=1".into()];
    assert_eq!(node(&root(vec![merged]).expect("composed"), "lib"), None);
}

#[test]
fn homes_of_passwd_are_made_and_a_shell_is_looked_for() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\nn:x:65532:65533::/home/n:/bin/sh\nd:x:1:1::/dev/null:/x\nbad\n:::::\n";
    let entries = [
        ("etc/passwd", 'f', 0o644, passwd),
        ("bin/", 'd', 0o755, ""),
        ("bin/sh", 'l', 0o777, "/bin/busybox"),
    ];
    let composed = root(vec![package("a", &[], &entries)]).expect("composed");
    assert!(!composed.has_shell, "the link leads to nothing");
    let home = &composed.tree.nodes[node(&composed, "home/n").expect("made")];
    assert_eq!((home.mode, home.uid, home.gid), (0o700, 65_532, 65_533));
    assert_eq!(home.kind, Kind::Directory(BTreeMap::new()));
    assert_eq!(node(&composed, "dev/null"), None);
    let entries = [("bin/", 'd', 0o755, ""), ("bin/busybox", 'f', 0o755, "x")];
    let mut busybox = package("busybox", &[], &entries);
    busybox.control.info.provides = vec!["cmd:busybox=1-r0".into()];
    let composed = root(vec![busybox]).expect("composed");
    assert!(composed.has_shell, "busybox has its links");
    assert!(node(&composed, "usr/bin/env").is_some());
}

#[test]
fn applets_have_names_that_linux_allows() {
    let long = format!("/bin/{}\n", "n".repeat(256));
    for (paths, part) in
        [("/usr/bin/a\0b\n", "a NUL"), (long.as_str(), "longer than 255"), ("../x\n", "by ..")]
    {
        let entries = [
            ("bin/", 'd', 0o755, ""),
            ("bin/busybox", 'f', 0o755, "x"),
            ("etc/busybox-paths.d/", 'd', 0o755, ""),
            ("etc/busybox-paths.d/busybox", 'f', 0o644, paths),
        ];
        let failure = root(vec![package("busybox", &[], &entries)]).expect_err("refused");
        assert!(failure.what.contains(part), "{failure}");
    }
}
