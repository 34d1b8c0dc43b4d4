//! The owners of files: {root, an ordinary user of the docker group} × {run-as root, build}.

use std::{
    ffi::CString,
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::Command,
};

use crate::{
    skip::skip,
    world::{Place, daemon, said},
};

/// A user who is neither root nor has the number of `build`.
pub(crate) const ORDINARY: u32 = 4321;

/// Reads and changes what is there, in the source and in the cache; makes more.
const STEP: &str = "echo more >> input && cat input
echo more >> /var/cache/melange/dir/old && mv /var/cache/melange/dir/old /var/cache/melange/dir/moved
mkdir -p /var/cache/melange/new && echo x > /var/cache/melange/new/file && ln -s file /var/cache/melange/new/link
stat -c %u input /var/cache/melange /var/cache/melange/dir | sort -u";

pub(crate) fn give(path: &Path, uid: u32) {
    nix::unistd::fchownat(
        nix::fcntl::AT_FDCWD,
        path,
        Some(uid.into()),
        Some(uid.into()),
        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), uid));
    }
}

fn owners(path: &Path, found: &mut Vec<(u32, u32)>) {
    let metadata = path.symlink_metadata().unwrap();
    found.push((metadata.uid(), metadata.gid()));
    if metadata.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| owners(&entry.unwrap().path(), found));
    }
}

#[test]
fn inside_files_are_the_steps_users_and_outside_the_invoking_users() {
    let Some(_) = daemon() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can become another user");
    }
    let build = kiln::plan::BUILD_ID;
    for (outside, run_as, inside) in [
        (0, "root", "0"),
        (0, "build", "1000"),
        (ORDINARY, "root", "0"),
        (ORDINARY, "build", "1000"),
        (build, "build", "1000"),
    ] {
        let place = Place::new();
        place.write("cache/dir/old", "old\n");
        let mut command = place.command(run_as, &[STEP], &[]);
        if outside != 0 {
            command = by_member(&place, &command, outside);
        }
        let output = command.output().unwrap();
        let case = format!("uid {outside}, run-as {run_as}: {}", said(&output));
        assert!(output.status.success(), "{case}");
        assert!(said(&output).lines().any(|line| line.ends_with(&format!("] {inside}"))), "{case}");
        let mut found = Vec::new();
        owners(&place.project().join("cache"), &mut found);
        assert!(
            found.len() == 6 && found.iter().all(|owner| *owner == (outside, outside)),
            "{found:?} {case}"
        );
        assert_eq!(fs::read_to_string(place.project().join("cache/dir/moved")).unwrap(), "old\nmore\n");
        assert_eq!(place.left(), Vec::<String>::new());
    }
}

/// The command as a user who is in docker's group, and to whom the place is given.
pub(crate) fn by_member(place: &Place, kiln: &Command, uid: u32) -> Command {
    let docker =
        nix::unistd::Group::from_name("docker").unwrap().expect("the package of docker makes the group");
    give(place.root(), uid);
    copy_images(place, uid);
    let mut command = Command::new("setpriv");
    command.current_dir(place.project()).env("KILN_HOME", place.home());
    command.args([format!("--reuid={uid}"), format!("--regid={uid}"), format!("--groups={}", docker.gid)]);
    command.arg("--").arg(kiln.get_program()).args(kiln.get_args());
    command
}

/// The other user may not enter root's home: the newest image as links, in a store of their own.
fn copy_images(place: &Place, uid: u32) {
    let (shared, own) = (fs::canonicalize(place.home().join("images")).unwrap(), place.home().join("images"));
    for name in ["images", "memos"] {
        fs::remove_file(place.home().join(name)).unwrap();
    }
    for entry in fs::read_dir(&shared).unwrap() {
        let entry = entry.unwrap();
        if !entry.path().join("image.json").is_file() {
            continue;
        }
        let copy = own.join(entry.file_name());
        fs::create_dir_all(&copy).unwrap();
        fs::hard_link(entry.path().join("root.erofs"), copy.join("root.erofs")).unwrap();
        fs::copy(entry.path().join("image.json"), copy.join("image.json")).unwrap();
        chown(copy.join("image.json"), Some(uid), Some(uid)).unwrap();
    }
    chown(&own, Some(uid), Some(uid)).unwrap();
    fs::read_dir(&own).unwrap().for_each(|entry| chown(entry.unwrap().path(), Some(uid), Some(uid)).unwrap());
    let path = CString::new(place.root().to_str().unwrap()).unwrap();
    // The place itself is 0700 by its maker, who is root.
    nix::sys::stat::fchmodat(
        nix::fcntl::AT_FDCWD,
        path.as_c_str(),
        nix::sys::stat::Mode::from_bits_truncate(0o755),
        nix::sys::stat::FchmodatFlags::FollowSymlink,
    )
    .unwrap();
}
