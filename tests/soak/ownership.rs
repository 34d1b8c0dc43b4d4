//! Owners: inside, the step's user reads and writes source and cache; outside, all files belong to the user that runs kiln.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::geteuid;

use crate::{leftovers::Leftovers, place::Place, sampling::Sampler, skip::skip};

/// How many of the twenty-one run outside the soak.
const FEW: usize = 2;

/// Files of source and cache that only their owner can read or write; and a file of the package.
const STEP: &str = r#"
      test "$(id -un) $(id -u):$(id -g)" = "RUN_AS"
      for place in /home/build/private /var/cache/melange/private; do
        test "$(cat $place/file)" = kept
        test "$(stat -c %u:%g $place/file)" = "$(id -u):$(id -g)"
        echo changed > $place/file
        mkdir $place/directory
        echo new > $place/directory/file
        chmod 600 $place/directory/file
        rm $place/old
        # To other users, with rights, where the backend lets it.
        cp /bin/true $place/set-id; chmod 6755 $place/set-id
        mkdir -p $place/given; cp /bin/true $place/given/program
        chown -R 12345:54321 $place/given || :
        chmod 4700 $place/given/program $place/given || :
      done
      mkdir -p ${{targets.destdir}}/usr
      echo data > ${{targets.destdir}}/usr/data
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    NineP,
    Virtiofs,
    /// The directory itself, in a sandbox of root, whose users have ids of their own.
    Own,
    /// In a sandbox of a user with a range of ids.
    Range,
    /// In a sandbox of a user without one, in which there is one user.
    Sole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Root,
    OrdinaryUser,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    share: Share,
    who: Who,
    run_as: RunAs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunAs {
    Root,
    /// With the uid and gid that it has where the build file says nothing of it.
    Build,
    /// With others.
    OwnBuild,
}

fn cells() -> Vec<Cell> {
    let guests = [Share::NineP, Share::Virtiofs].into_iter();
    let sandboxes = [Share::Range, Share::Sole].map(|share| (share, Who::OrdinaryUser));
    guests
        .flat_map(|share| [Who::Root, Who::OrdinaryUser].map(|who| (share, who)))
        .chain(sandboxes)
        .chain([(Share::Own, Who::Root)])
        .flat_map(|(share, who)| {
            [RunAs::Root, RunAs::Build, RunAs::OwnBuild].map(|run_as| Cell { share, who, run_as })
        })
        .collect()
}

#[test]
fn files_are_the_steps_users_inside_and_the_invokers_outside() {
    let (sampler, cells) = Sampler::of("ownership", cells(), FEW);
    if !geteuid().is_root() {
        return skip("only root can run kiln as root and as another user");
    }
    for cell in cells {
        build(cell);
        sampler.say(&format!("{cell:?}: as it should be"));
    }
}

fn build(cell: Cell) {
    let place = match cell.who {
        Who::Root => Place::new(),
        Who::OrdinaryUser => Place::of_ordinary_user(),
    };
    let project = place.project();
    private(&place, &project.join("private"));
    fs::create_dir(project.join("cache")).unwrap();
    place.give_to_user(&project.join("cache"));
    private(&place, &project.join("cache/private"));
    let (accounts, inside) = match cell.run_as {
        RunAs::Root => ("run-as: root", "root 0:0"),
        RunAs::Build => ("run-as: build", "build 1000:1000"),
        RunAs::OwnBuild => (
            "run-as: build\n    users: [{username: build, uid: 1234, gid: 4321}]\n    groups: [{groupname: build, gid: 4321}]",
            "build 1234:4321",
        ),
    };
    let inside = if cell.share == Share::Sole { "root 0:0" } else { inside };
    let text = format!(
        "package:\n  name: sample\n  version: \"1.10\"\n  epoch: 3\nenvironment:\n  accounts:\n    {accounts}\npipeline:\n  - runs: |{}",
        STEP.replace("RUN_AS", inside)
    );
    fs::write(project.join("file.yaml"), text).unwrap();
    let mut kiln = command(cell, &place);
    kiln.args(["--progress", "plain", "--cache-dir", "cache", "file.yaml"]);
    let output = kiln.output().unwrap();
    assert!(output.status.success(), "{cell:?}: {}", String::from_utf8_lossy(&output.stderr));
    outside(cell, &place);
    let left = Leftovers::count(&place, Vec::new());
    assert!(left.processes().is_empty(), "{cell:?}: {left}");
}

fn command(cell: Cell, place: &Place) -> Command {
    let mut kiln = place.kiln();
    match cell.share {
        Share::NineP | Share::Virtiofs => {
            kiln.args(["build", "--accel", "tcg", "--memory", "1Gi", "--cpu", "2"]);
        }
        Share::Own | Share::Range | Share::Sole => {
            kiln.args(["build", "--runner", "bubblewrap"]);
        }
    }
    match cell.share {
        Share::NineP | Share::Own => kiln,
        Share::Virtiofs => {
            kiln.env("QEMU_USE_VIRTIOFS", "1");
            kiln
        }
        Share::Range => with_range(&kiln, place, "100000:65536"),
        Share::Sole => with_range(&kiln, place, "100000:0"),
    }
}

/// The command where its user has a name, and this range of ids: seen by it alone.
fn with_range(kiln: &Command, place: &Place, range: &str) -> Command {
    let uid = place.uid();
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = format!("{users}kiln-soak:x:{uid}:{uid}::{}:/bin/sh\n", place.root().display());
    let mut script = String::new();
    for (name, text) in [
        ("passwd", user),
        ("subuid", format!("kiln-soak:{range}\n")),
        ("subgid", format!("kiln-soak:{range}\n")),
    ] {
        let file = place.root().join(name);
        fs::write(&file, text).unwrap();
        script += &format!("mount --bind {} /etc/{name} && ", file.display());
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]).arg(script + "exec \"$@\"").arg("sh");
    command.arg(kiln.get_program()).args(kiln.get_args()).stdin(Stdio::null());
    command.current_dir(place.project());
    for (name, value) in kiln.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A directory that only its owner can enter, with two files.
fn private(place: &Place, directory: &Path) {
    fs::create_dir(directory).unwrap();
    for (name, text) in [("file", "kept\n"), ("old", "")] {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        place.give_to_user(&path);
    }
    fs::set_permissions(directory, Permissions::from_mode(0o700)).unwrap();
    place.give_to_user(directory);
}

fn outside(cell: Cell, place: &Place) {
    let project = place.project();
    let kept = |directory: &str| fs::read_to_string(project.join(directory).join("private/file")).unwrap();
    assert_eq!(kept("."), "kept\n", "{cell:?}: the source is never written");
    let written = project.join("cache/private/directory/file");
    match cell.share {
        Share::NineP => assert_eq!((kept("cache").as_str(), written.exists()), ("kept\n", false), "{cell:?}"),
        Share::Virtiofs | Share::Own | Share::Range | Share::Sole => {
            assert_eq!(kept("cache"), "changed\n", "{cell:?}");
            assert_eq!(fs::read_to_string(&written).unwrap(), "new\n", "{cell:?}");
            assert!(!project.join("cache/private/old").exists(), "{cell:?}");
        }
    }
    for directory in ["packages", "cache"] {
        owned(cell, place.uid(), &project.join(directory));
    }
    let package = File::open(project.join("packages/x86_64/sample-1.10-r3.apk")).unwrap();
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(package));
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let (uid, gid) = (entry.header().uid().unwrap(), entry.header().gid().unwrap());
        assert_eq!((uid, gid), (0, 0), "{cell:?}: {:?} in the package", entry.path().unwrap());
    }
}

/// All of a tree belongs to `uid`.
fn owned(cell: Cell, uid: u32, path: &Path) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let is_own = (metadata.uid(), metadata.mode() & 0o6000) == (uid, 0);
    assert!(is_own, "{cell:?}: {} of {}, {:o}", path.display(), metadata.uid(), metadata.mode());
    if metadata.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| owned(cell, uid, &entry.unwrap().path()));
    }
}
