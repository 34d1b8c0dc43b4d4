//! The rights of the user that runs kiln: to write to kiln's directories, to make user namespaces, and to map ids of other users.

use std::{fs, path::Path};

use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};

use super::{Finding, State};
use crate::{
    backend::bubblewrap::probe::has_range,
    env::Env,
    home::Home,
    host::{Host, allow_namespaces},
    process::user_namespaces_usable,
    rundir::scratch_dir,
};

/// With less space than this an image with a compiler cannot be built.
const SPACE_MIB: u64 = 4096;

/// With less space than this neither an image nor the scratch files of a build fit.
const LEAST_MIB: u64 = 512;

/// The remedy for kiln's home.
const ANOTHER_HOME: &str = "Set KILN_HOME to a directory that this user can write, on a disk with space.";

/// The remedy for the directory of scratch files.
const OTHER_SCRATCH: &str =
    "Set QEMU_DISKS_PATH to a directory that this user can write, on a disk with space.";

/// Whether user namespaces can be made.
pub(super) fn namespaces(uid: u32) -> Finding {
    let name = "user namespaces";
    match user_namespaces_usable() {
        Ok(()) => Finding::ok(name, "can be made"),
        Err(why) if uid == 0 => Finding::gap(name, State::Warning, why, ""),
        Err(why) => {
            let mend = allow_namespaces(Path::new("/proc/sys"));
            Finding::gap(
                name,
                State::Warning,
                format!("{why}; QEMU, virtiofs and bubblewrap need them"),
                &mend,
            )
        }
    }
}

/// The directories that kiln writes to, and the range of ids.
pub(super) fn findings(env: &Env, home: &Home, host: &Host) -> Vec<Finding> {
    // kiln makes its home when it is missing, but not the directory of scratch files.
    let made_in = home.root().ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let mut findings = vec![
        directory("images and state", home.root(), made_in, ANOTHER_HOME),
        directory("scratch files", scratch_dir(env), scratch_dir(env), OTHER_SCRATCH),
    ];
    if host.uid != 0 {
        findings.push(ids(host, has_images(home)));
    }
    findings
}

/// Whether `dir`, or `existing` in which it is made, can be written and has space.
fn directory(name: &'static str, dir: &Path, existing: &Path, mend: &str) -> Finding {
    let missing = |why: String| Finding::gap(name, State::Missing, format!("{}: {why}", dir.display()), mend);
    if let Err(error) = access(existing, AccessFlags::W_OK | AccessFlags::X_OK) {
        return missing(format!("this user cannot write in {}: {}", existing.display(), error.desc()));
    }
    let mib = match statvfs(existing) {
        Ok(space) => space.blocks_available().saturating_mul(space.fragment_size()) >> 20,
        Err(error) => return missing(error.desc().into()),
    };
    let detail = format!("{mib} MiB free in {}", dir.display());
    match mib {
        ..LEAST_MIB => Finding::gap(name, State::Missing, detail, mend),
        LEAST_MIB..SPACE_MIB => Finding::gap(name, State::Warning, detail, mend),
        _ => Finding::ok(name, detail),
    }
}

/// An ordinary user needs a range of ids to make Debian images in a user namespace.
fn ids(host: &Host, has_images: bool) -> Finding {
    let name = "range of ids";
    if has_range(host) {
        return Finding::ok(name, format!("{} has one in /etc/subuid and /etc/subgid", host.user));
    }
    let state = if has_images { State::Warning } else { State::Missing };
    let mend = format!(
        "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {} (and apt-get install uidmap)",
        host.user
    );
    let detail = "this user has none: Debian images cannot be made, and run-as is root in a sandbox";
    Finding::gap(name, state, detail, &mend)
}

/// Whether the store has an image that a build could use.
fn has_images(home: &Home) -> bool {
    fs::read_dir(home.root().join("images"))
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_of_a_missing_directory_is_that_of_its_parent() {
        let home = Home::at("/tmp/no/such/directory");
        let findings = findings(&Env::default(), &home, &Host { uid: 0, ..Host::probe() });
        assert!(findings[0].detail.ends_with("MiB free in /tmp/no/such/directory"), "{findings:?}");
        assert_eq!(findings.len(), 2, "root needs no range");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_a_gap() {
        let finding = directory("scratch files", Path::new("/no/such"), Path::new("/no/such"), OTHER_SCRATCH);
        let Finding { state, detail, mend, .. } = finding;
        assert_eq!(state, State::Missing);
        assert_eq!(detail, "/no/such: this user cannot write in /no/such: No such file or directory");
        assert_eq!(mend.as_deref(), Some(OTHER_SCRATCH));
    }

    #[test]
    fn an_ordinary_user_without_ids_cannot_make_an_image() {
        let host = Host { uid: 4242, user: "nobody-of-that-name".into(), ..Host::probe() };
        for (has_images, state) in [(true, State::Warning), (false, State::Missing)] {
            let finding = ids(&host, has_images);
            assert_eq!(finding.state, state);
            assert!(finding.mend.is_some_and(|mend| mend.contains("165535 nobody-of-that-name")));
        }
    }
}
