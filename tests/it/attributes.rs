//! Extended attributes: a commit and an import keep those that users set, and drop those that give rights or that an overlay or a
//! container tool obeys. `kiln cache verify` finds those that came in another way.

use std::os::unix::ffi::OsStrExt;

use kiln::cache::{CommitLimit, Lease, Outcome, commit, import, stage};

use crate::{
    cache::{Bench, Upper},
    skip::skip,
};

/// Names that are kept.
const KEPT: [&str; 2] = ["user.note", "user.overlayfs"];
/// Names that are not, whatever their value is.
const HARMFUL: [&str; 13] = [
    "security.capability",
    "trusted.overlay.metacopy",
    "trusted.overlay.opaque",
    "trusted.overlay.redirect",
    "user.containers.override_stat",
    "user.fuseoverlayfs.opaque",
    "user.fuseoverlayfs.override_stat",
    "user.overlay.metacopy",
    "user.overlay.opaque",
    "user.overlay.overlay.opaque",
    "user.overlay.redirect",
    "user.rootlesscontainers",
    "user.virtfs.mode",
];
/// Where a stream comes from.
const WAYS: [&str; 2] = ["commit", "import"];

fn put(lease: &Lease, way: &str, stream: &[u8]) -> Outcome {
    match way {
        "commit" => stage(lease, stream, CommitLimit::default()).unwrap(),
        _ => import(lease, &zstd::encode_all(stream, 0).unwrap()[..], CommitLimit::default()).unwrap(),
    }
}

/// All attributes of something in the cache.
fn names(bench: &Bench, path: &str) -> Vec<String> {
    let listed = xattr::list(bench.cache().join(path)).unwrap();
    listed.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()).collect()
}

#[test]
fn what_an_overlay_obeys_passes_neither_a_commit_nor_an_import() {
    for way in WAYS {
        let bench = Bench::new();
        if xattr::set(bench.cache(), "user.probe", b"").is_err() {
            return skip("the file system has no extended attributes of users");
        }
        let with_all = |upper: Upper| {
            let all = KEPT.iter().chain(&HARMFUL);
            all.fold(upper, |upper, name| upper.attribute(name.as_bytes(), "y"))
        };
        let upper = with_all(Upper::default()).dir("own/", 0o755);
        let stream = with_all(upper).file("own/file", "x").end();
        let lease = bench.lease();
        let Outcome::Staged(staged) = put(&lease, way, &stream) else { panic!("{way}: not staged") };
        commit(&lease, *staged, lease.lock_commits().unwrap()).unwrap();
        for path in ["own", "own/file"] {
            assert_eq!(names(&bench, path), KEPT, "{way}: {path}");
        }
        // An attribute that is left out is no difference.
        let again = put(&lease, way, &stream);
        let opaque = way == "commit";
        assert_eq!(matches!(again, Outcome::Unchanged(_)), !opaque, "{way}: {again:?}");
    }
}
