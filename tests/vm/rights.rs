//! Rights and owners in a cache that a microVM writes straight into, by each share: 9p, kiln's own device, and virtiofs by the
//! daemon that translates owners and by the one that does not.

use std::path::Path;

use nix::unistd::{getegid, geteuid};

use super::{
    kiln, project,
    step_rights::{Ending, left, next_start},
};

/// Where Debian 12 has QEMU's old C daemon, in which root's guests choose the owners.
const C: &str = "/usr/lib/qemu";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    NineP,
    /// kiln's own device.
    Embedded,
    /// The daemon that kiln chooses.
    Virtiofs,
    /// The one in [`C`], by name.
    Named,
}

#[test]
fn no_rights_devices_and_other_owners_stay_in_the_cache_however_a_build_ends() {
    let has_c = geteuid().is_root() && Path::new(C).join("virtiofsd").exists();
    for (share, ending, run_as) in [
        (Share::NineP, Ending::Terminated, "root"),
        (Share::Embedded, Ending::Killed, "root"),
        (Share::Embedded, Ending::StepFails, "build"),
        (Share::Virtiofs, Ending::Success, "root"),
        (Share::Named, Ending::StepFails, "root"),
        (Share::Named, Ending::Killed, "build"),
    ] {
        // QEMU 8.0 has dropped it, and so have later distributions.
        if share == Share::Named && !has_c {
            continue;
        }
        let directory = project(run_as, &ending.steps());
        let mut build = kiln(directory.path());
        build.env_remove("QEMU_VIRTIOFS_PATH");
        match share {
            Share::NineP => build.env("QEMU_USE_VIRTIOFS", "0").args(["--cache-mode", "rw"]),
            Share::Embedded => build.args(["--virtiofsd", "embedded"]),
            Share::Virtiofs => build.env("QEMU_USE_VIRTIOFS", "1"),
            Share::Named => build.env("QEMU_USE_VIRTIOFS", "1").env("QEMU_VIRTIOFS_PATH", C),
        };
        let said = ending.of(&mut build);
        let cache = directory.path().join("cache");
        if ending == Ending::Killed {
            next_start(&build, &cache);
        }
        let own = (geteuid().as_raw(), getegid().as_raw());
        assert_eq!(left(&cache, own), Vec::<String>::new(), "{share:?}, {ending:?}: {said}");
        assert!(cache.join("a/b/m4755").is_file() && cache.join("own").is_dir());
        let skipped = format!("skipped {C}/virtiofsd: QEMU's old C daemon lets the guest change");
        assert_eq!(said.contains(&skipped), share == Share::Virtiofs && has_c, "{share:?}: {said}");
        let note = "kiln changes them back at the end of the build";
        assert_eq!(said.contains(note), share == Share::Named, "{share:?}: {said}");
    }
}
