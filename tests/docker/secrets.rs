//! A secret is in the container's memory, and nowhere else: not in docker's directory, nor in anything that kiln writes.

use std::path::{Path, PathBuf};

use crate::{
    host_settings_cases::{USE_SECRET, give_secret, holds_secret, needles},
    world::{Place, daemon, said},
};

#[test]
fn a_secret_is_left_nowhere() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    for mode in ["rw", "commit"] {
        let more = ["--cache-mode", mode, "--log-level", "trace"];
        let mut command = place.command("build", &[USE_SECRET], &more);
        give_secret(&mut command, elsewhere.path());
        let output = command.output().unwrap();
        assert!(output.status.success() && said(&output).contains("***"), "{}", said(&output));
        for stream in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(stream);
            assert!(needles().iter().all(|needle| !text.contains(needle)), "{text}");
        }
        let mut places = vec![place.project(), place.home()];
        // Unreadable for an ordinary user. Layers of images are other builds' and large: only what a container writes.
        places.extend(["containers", "volumes", "image"].map(|name| Path::new("/var/lib/docker").join(name)));
        for directory in places {
            assert_eq!(holds_secret(&directory), Vec::<PathBuf>::new());
        }
        assert!(place.project().join("cache/kept").is_file());
        assert_eq!(place.left(), Vec::<String>::new());
    }
}
