//! A secret is in the container's memory, and nowhere else: not in docker's directory, nor in anything that kiln writes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::world::{Place, daemon, said};

const SECRET: &str = "correct-horse-battery-staple-9264";

/// Shows that it is there, and as whose; tries to print it.
const USE: &str = "test \"$(stat -c '%U %a' /run/secrets/token)\" = 'build 400'
test \"$(stat -f -c %T /run/secrets)\" = tmpfs
test $(wc -c < /run/secrets/token) = 33
cat /run/secrets/token; echo
base64 -w 0 /run/secrets/token; echo
echo kept > /var/cache/melange/kept
echo changed > input
mkdir -p ${{targets.destdir}}/usr && echo made > ${{targets.destdir}}/usr/made";

/// Files below `directory` that hold one of the needles.
fn holding(directory: &Path, needles: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        // What a daemon is just removing is gone by then.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            holding(&path, needles, found);
        } else if metadata.is_file() {
            let Ok(bytes) = fs::read(&path) else { continue };
            let packed = path.extension().is_some_and(|ending| ending == "zst");
            let bytes = if packed { zstd::decode_all(bytes.as_slice()).unwrap() } else { bytes };
            let has = |needle: &&str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            if needles.iter().any(has) {
                found.push(path);
            }
        }
    }
}

#[test]
fn a_secret_is_left_nowhere() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("token");
    fs::write(&file, SECRET).unwrap();
    let secret = format!("id=token,src={}", file.display());
    for mode in ["rw", "commit"] {
        let output = place.build("build", &[USE], &["--secret", &secret, "--cache-mode", mode]);
        assert!(output.status.success() && said(&output).contains("***"), "{}", said(&output));
        let base64 = kiln::event::base64(SECRET.as_bytes());
        let needles = [SECRET, &base64[..20]];
        for stream in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(stream);
            assert!(needles.iter().all(|needle| !text.contains(needle)), "{text}");
        }
        let mut found = Vec::new();
        for directory in [&place.project(), &place.home().join("logs"), &place.home().join("run")] {
            holding(directory, &needles, &mut found);
        }
        // Unreadable for an ordinary user. Layers of images are other builds' and large: only what a container writes.
        for name in ["containers", "volumes", "image"] {
            holding(&Path::new("/var/lib/docker").join(name), &needles, &mut found);
        }
        assert_eq!(found, Vec::<PathBuf>::new());
        assert!(place.project().join("cache/kept").is_file());
        assert_eq!(place.left(), Vec::<String>::new());
    }
}
