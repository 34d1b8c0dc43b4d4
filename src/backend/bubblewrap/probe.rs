//! Looks for bwrap, for the ids that this user may use, and whether the kernel mounts an image.
//!
//! After it: the plan's facts. It must not make decisions of the plan.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::{
        statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, XFS_SUPER_MAGIC, statfs},
        utsname::uname,
    },
    unistd::geteuid,
};

use crate::{
    env::Env,
    exit::Failure,
    host::{Host, allow_namespaces, find_program},
    plan::{Ids, user_namespace as prefix},
    process::{Command, Spawner, idmappable},
};

/// More than the kernel takes to make a namespace or to load a module.
const ANSWER: Duration = Duration::from_secs(20);
/// The ids that a distribution uses. A smaller range is ignored.
const ENOUGH_IDS: u64 = 65_536;

/// bwrap, and the rights of this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bubblewrap {
    /// The program.
    pub path: PathBuf,
    /// The user ids of its sandboxes.
    pub ids: Ids,
    /// Whether the kernel mounts an image's file for this user. If not, its tree is unpacked.
    pub mounts_images: bool,
    /// Why a sandbox of root has the ids of the host, if it does.
    pub why_not_own: Option<String>,
}

/// Looks for bwrap. `directories` are those that a sandbox shares: root's sandbox has ids of its own if their file systems support
/// idmapped mounts.
///
/// # Errors
/// A host failure if bwrap is missing, or if this user may not make user namespaces.
pub async fn find(env: &Env, spawner: &Spawner, host: &Host, directories: &[&Path]) -> Result<Bubblewrap> {
    let path = find_program(env, "bwrap")
        .ok_or_else(|| Failure::host("bwrap is not installed", "apt-get install bubblewrap"))?;
    if geteuid().is_root() && owns_machine(&fs::read_to_string("/proc/self/uid_map").unwrap_or_default()) {
        let why_not_own = why_not_idmapped(directories).map_err(|error| {
            let what = format!("root cannot make a user namespace for a sandbox: {error:#}");
            let settings = allow_namespaces(Path::new("/proc/sys"));
            Failure::host(what, format!("Allow user namespaces: {settings}"))
        })?;
        let ids = if why_not_own.is_none() { Ids::Own } else { Ids::Root };
        return Ok(Bubblewrap { path, ids, mounts_images: mounts_erofs(spawner).await, why_not_own });
    }
    let mut stderr = String::new();
    // If newuidmap refuses the range, one id is tried.
    for ids in [Ids::Range, Ids::SingleUid].into_iter().skip(usize::from(!has_range(host))) {
        let mut trial = prefix(ids, (0, 0));
        trial.push("true".into());
        stderr = match spawner.output(Command::new(trial[0].clone()).args(&trial[1..]), ANSWER).await {
            Ok(output) if output.status.success() => {
                return Ok(Bubblewrap { path, ids, mounts_images: false, why_not_own: None });
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("{error:#}"),
        };
    }
    Err(no_user_namespaces(&stderr, Path::new("/proc/sys")).into())
}

/// The first Linux with idmapped layers of overlays, and with idmapped mounts of erofs.
const IDMAPPED_LAYERS: (u32, u32) = (5, 19);

/// File systems with idmapped mounts in all of these kernels. Others are tested, which takes a process.
const IDMAPPED: [FsType; 3] = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC];

/// Why these directories cannot all be idmapped; `None` if they can.
fn why_not_idmapped(directories: &[&Path]) -> Result<Option<String>> {
    let release = uname().context("ask for the kernel's release")?;
    let release = release.release().to_string_lossy();
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    ensure!(limit.trim() != "0", "user.max_user_namespaces is 0");
    if is_older(&release, IDMAPPED_LAYERS) {
        let (major, minor) = IDMAPPED_LAYERS;
        return Ok(Some(format!(
            "Linux {release} has no idmapped layers of overlays (from {major}.{minor} on)"
        )));
    }
    let untested = |path: &&&Path| !statfs(**path).is_ok_and(|fs| IDMAPPED.contains(&fs.filesystem_type()));
    let untested: Vec<&Path> = directories.iter().filter(untested).copied().collect();
    let unsupported = if untested.is_empty() { None } else { idmappable(&untested)? };
    Ok(unsupported.map(|(path, error)| {
        format!("the file system of {} has no idmapped mounts ({error})", path.display())
    }))
}

/// Whether a release (`6.1.0-13-amd64`) is older than a version.
fn is_older(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < version
}

/// Whether this user namespace is the machine's first one.
fn owns_machine(uid_map: &str) -> bool {
    uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

async fn mounts_erofs(spawner: &Spawner) -> bool {
    let listed = || fs::read_to_string("/proc/filesystems").is_ok_and(|list| lists_erofs(&list));
    if listed() {
        return true;
    }
    let command = Command::new("modprobe").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg("erofs");
    // On any error the tree is used instead.
    spawner.output(command, ANSWER).await.is_ok_and(|output| output.status.success()) && listed()
}

fn lists_erofs(filesystems: &str) -> bool {
    filesystems.lines().any(|line| line.trim() == "erofs")
}

/// Whether this user has a range of ids for a namespace, and the programs that map it.
pub fn has_range(host: &Host) -> bool {
    let has = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| is_range_of(line, &host.user, host.uid))
    };
    ["/usr/bin/newuidmap", "/usr/bin/newgidmap"].iter().all(|program| Path::new(program).exists())
        && has("/etc/subuid")
        && has("/etc/subgid")
}

/// Whether a line of subuid(5), `name:first:count`, has enough ids for the user. The name may be a uid.
fn is_range_of(line: &str, user: &str, uid: u32) -> bool {
    let mut fields = line.split(':');
    let whose = fields.next().is_some_and(|name| name == user || name == uid.to_string());
    whose && fields.nth(1).and_then(|count| count.trim().parse().ok()).is_some_and(|n: u64| n >= ENOUGH_IDS)
}

/// The failure without user namespaces, with the settings of the kernel that allow them.
fn no_user_namespaces(stderr: &str, settings: &Path) -> Failure {
    let way_out = format!("Run kiln as root, or allow user namespaces: {}", allow_namespaces(settings));
    Failure::host(format!("this user cannot make a user namespace for bwrap: {stderr}"), way_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_name_or_uid_of_the_user_and_enough_ids() {
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
    fn the_error_names_the_setting_that_allows_namespaces() {
        for (file, value, command) in [
            (
                "kernel/apparmor_restrict_unprivileged_userns",
                "1",
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
            ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
        ] {
            let settings = tempfile::tempdir().unwrap();
            fs::create_dir(settings.path().join("kernel")).unwrap();
            fs::create_dir(settings.path().join("user")).unwrap();
            fs::write(settings.path().join(file), format!("{value}\n")).unwrap();
            let failure = no_user_namespaces("unshare: Operation not permitted", settings.path());
            let way_out = format!("Run kiln as root, or allow user namespaces: sysctl -w {command} (");
            assert!(failure.way_out.starts_with(&way_out), "{}", failure.way_out);
            assert_eq!(failure.way_out.matches("sysctl").count(), 1, "{}", failure.way_out);
            assert!(failure.what.contains("not permitted"), "{}", failure.what);
            fs::write(settings.path().join(file), "2\n").unwrap();
            assert_eq!(allow_namespaces(settings.path()).matches("sysctl").count(), 3);
        }
    }

    #[test]
    fn root_of_the_machine_has_the_full_uid_map() {
        assert!(owns_machine("         0          0 4294967295\n"));
        assert!(!owns_machine("         0       1001          1\n"));
        assert!(is_older("5.15.0-100-generic", IDMAPPED_LAYERS) && is_older("4.19", IDMAPPED_LAYERS));
        assert!(!is_older("5.19.0", IDMAPPED_LAYERS) && !is_older("6.1.0-13-amd64", IDMAPPED_LAYERS));
        assert!(lists_erofs("nodev\tproc\n\terofs\n") && !lists_erofs("nodev\tproc\n"));
    }
}
