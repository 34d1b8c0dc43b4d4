//! Control groups of both versions: a child is put into one, and ends when that is removed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use kiln::{
    host::cgroup::{Cgroups, Parent},
    process::{self, ExitStatus, Stdio},
};
use nix::unistd::{AccessFlags, access};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    process::{sh, spawner},
    skip::skip,
};

/// This process's group of the unified hierarchy, whether that has controllers or not.
fn unified() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?.split(' ').nth(1)?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(path))
}

/// Where a group can be made.
fn parents() -> Vec<PathBuf> {
    let Cgroups { memory, cpu } = Cgroups::find();
    let limiting = [memory, cpu].into_iter().flatten().map(|Parent { path, .. }| path);
    let unified = unified().filter(|path| access(&path.join("cgroup.procs"), AccessFlags::W_OK).is_ok());
    limiting.chain(unified).collect()
}

#[tokio::test]
async fn what_is_in_a_control_group_ends_when_that_is_removed() {
    let parents = parents();
    if parents.is_empty() {
        return skip("this user may make no control group");
    }
    let spawner = spawner();
    for parent in parents {
        let group = parent.join(format!("kiln-test-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        let entrance = File::options().write(true).open(group.join("cgroup.procs")).unwrap();
        let command = sh("echo started; exec sleep 1000").stdout(Stdio::Piped).cgroups(vec![entrance.into()]);
        let mut child = spawner.spawn(command).unwrap();
        let mut lines = BufReader::new(child.take_stdout().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("started"));
        let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert_eq!(inside, format!("{}\n", child.id()), "{}", group.display());
        process::remove(&group).unwrap();
        assert!(!group.exists(), "{}", group.display());
        assert_eq!(child.wait().await.unwrap(), ExitStatus::Signal(9));
        // The removal of a group that does not exist succeeds.
        process::remove(&group).unwrap();
    }
}
