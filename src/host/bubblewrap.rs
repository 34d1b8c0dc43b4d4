//! What this host has for sandboxes: bwrap, the ids that a user may use, and whether its kernel mounts an image.
//!
//! After it: the plan's facts. It must not decide what is run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use nix::unistd::geteuid;
use serde::Serialize;

use super::{Host, find_program};
use crate::{
    env::Env,
    exit::Failure,
    process::{Command, Spawner},
};

/// A namespace is made, and a module loaded, at once or not at all.
const ANSWER: Duration = Duration::from_secs(20);
/// Fewer ids than a distribution uses are none.
const ENOUGH_IDS: u64 = 65_536;

/// As whom a sandbox is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ids {
    /// By root of the machine: every user inside is that user outside.
    Root,
    /// In a user namespace with the user's range of `/etc/subuid`.
    Range,
    /// In a user namespace with one user: everybody inside is the one who runs kiln.
    Sole,
}

/// bwrap, and what the kernel lets this user do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bubblewrap {
    /// The program.
    pub path: PathBuf,
    /// As whom.
    pub ids: Ids,
    /// Whether the kernel mounts an image's file for this user; else its tree is unpacked.
    pub mounts_images: bool,
}

/// Looks.
///
/// # Errors
/// A host failure where there is no bwrap, or this user may make no user namespace.
pub async fn find(env: &Env, spawner: &Spawner, host: &Host) -> Result<Bubblewrap> {
    let path = find_program(env, "bwrap")
        .ok_or_else(|| Failure::host("bwrap is not installed", "apt-get install bubblewrap"))?;
    if geteuid().is_root() && owns_machine(&fs::read_to_string("/proc/self/uid_map").unwrap_or_default()) {
        return Ok(Bubblewrap { path, ids: Ids::Root, mounts_images: knows_erofs(spawner).await });
    }
    let ids = if has_range(host) { Ids::Range } else { Ids::Sole };
    let mut trial = prefix(ids, 0);
    trial.push("true".into());
    let said = match spawner.output(Command::new(trial[0].clone()).args(&trial[1..]), ANSWER).await {
        Ok(output) if output.status.success() => {
            return Ok(Bubblewrap { path, ids, mounts_images: false });
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("{error:#}"),
    };
    Err(forbidden(&said, Path::new("/proc/sys/kernel")).into())
}

/// What goes before bwrap: the user namespace in which it and the agent are root, and the step's user is who runs kiln.
pub fn prefix(ids: Ids, inside: u32) -> Vec<String> {
    let (user, group, root) =
        (format!("--map-user={inside}"), format!("--map-group={inside}"), ["--setuid=0", "--setgid=0"]);
    match ids {
        Ids::Root => Vec::new(),
        Ids::Range => ["unshare", "--user", &user, &group, "--map-auto", root[0], root[1], "--"]
            .map(str::to_owned)
            .into(),
        Ids::Sole => ["unshare", "--user", "--map-user=0", "--map-group=0", "--"].map(str::to_owned).into(),
    }
}

/// Whether root here is root of the machine, not of a container's user namespace.
fn owns_machine(uid_map: &str) -> bool {
    uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

async fn knows_erofs(spawner: &Spawner) -> bool {
    let listed = || fs::read_to_string("/proc/filesystems").is_ok_and(|list| lists_erofs(&list));
    if listed() {
        return true;
    }
    let command = Command::new("modprobe").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg("erofs");
    // Whatever the reason, the other way is the answer to it.
    spawner.output(command, ANSWER).await.is_ok_and(|output| output.status.success()) && listed()
}

fn lists_erofs(filesystems: &str) -> bool {
    filesystems.lines().any(|line| line.trim() == "erofs")
}

fn has_range(host: &Host) -> bool {
    let has = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| is_range_of(line, &host.user, host.uid))
    };
    ["/usr/bin/newuidmap", "/usr/bin/newgidmap"].iter().all(|program| Path::new(program).exists())
        && has("/etc/subuid")
        && has("/etc/subgid")
}

/// A line of subuid(5): `name:first:count`, the name perhaps a number.
fn is_range_of(line: &str, user: &str, uid: u32) -> bool {
    let mut fields = line.split(':');
    let whose = fields.next().is_some_and(|name| name == user || name == uid.to_string());
    whose && fields.nth(1).and_then(|count| count.trim().parse().ok()).is_some_and(|n: u64| n >= ENOUGH_IDS)
}

/// Why, and what allows it, from what the kernel's settings say.
fn forbidden(said: &str, settings: &Path) -> Failure {
    let setting = |name: &str| {
        fs::read_to_string(settings.join(name)).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let way_out = if setting("apparmor_restrict_unprivileged_userns") == "1" {
        "Run kiln as root, or allow user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    } else if setting("unprivileged_userns_clone") == "0" {
        "Run kiln as root, or allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1"
    } else {
        "Run kiln as root, or allow user namespaces: sysctl -w user.max_user_namespaces=10000"
    };
    Failure::host(format!("this user cannot make a user namespace for bwrap: {said}"), way_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_belongs_to_a_name_or_a_number_and_is_large() {
        for (line, expected) in [
            ("u:100000:65536", true),
            ("1001:100000:65536", true),
            ("u:100000:1000", false),
            ("uu:100000:65536", false),
            ("u:100000", false),
            ("", false),
        ] {
            assert_eq!(is_range_of(line, "u", 1001), expected, "{line}");
        }
    }

    #[test]
    fn what_forbids_namespaces_is_named_with_what_allows_them() {
        for (file, value, way_out) in [
            ("apparmor_restrict_unprivileged_userns", "1", "apparmor_restrict_unprivileged_userns=0"),
            ("unprivileged_userns_clone", "0", "unprivileged_userns_clone=1"),
            ("other", "0", "max_user_namespaces"),
        ] {
            let settings = tempfile::tempdir().unwrap();
            fs::write(settings.path().join(file), format!("{value}\n")).unwrap();
            let failure = forbidden("unshare: Operation not permitted", settings.path());
            assert!(failure.way_out.contains(way_out), "{}", failure.way_out);
            assert!(failure.what.contains("not permitted"), "{}", failure.what);
        }
    }

    #[test]
    fn the_map_of_the_machine_is_the_whole_one() {
        assert!(owns_machine("         0          0 4294967295\n"));
        assert!(!owns_machine("         0       1001          1\n"));
        assert!(lists_erofs("nodev\tproc\n\terofs\n") && !lists_erofs("nodev\tproc\n"));
    }
}
