//! What steps have read of a directory, counted by the agent.

use std::{fs, os::unix::fs::symlink, process::Command, thread, time::Duration};

use kiln_protocol::{
    Access, Completeness, Counted, CountedDirectory, FromGuest, Mount, Reads, ToGuest, World,
};

use crate::agent::{Agent, can_be_alone, can_unshare, empty_world, sh};

/// Longer than a tick of the kernel's clock: a file of the tick in which the count begins may be a step's.
const TICK: Duration = Duration::from_millis(20);

/// More files than the agent looks at in one go.
const MANY: usize = 100;

/// A directory that holds something, and where it is seen.
struct Cache {
    scratch: tempfile::TempDir,
    target: tempfile::TempDir,
}

impl Cache {
    fn new() -> Self {
        // /dev/shm is a tmpfs: an overlay's upper directory does not lie on every file system.
        let scratch = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let cache = Self { scratch, target: tempfile::tempdir().expect("a directory") };
        let few = [("pip/a", 10), ("pip/deep/b", 200), ("npm/c", 3000), ("npm/d", 1), ("top", 7)];
        let few = few.map(|(path, size)| (path.to_owned(), size));
        for (path, size) in few.into_iter().chain((0..MANY).map(|n| (format!("many/{n}"), 2))) {
            let path = cache.scratch.path().join("lower").join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, vec![b'x'; size]).expect("written");
        }
        thread::sleep(TICK);
        cache
    }

    fn target(&self) -> String {
        self.target.path().to_string_lossy().into_owned()
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).to_string_lossy().into_owned()
    }

    fn overlay(&self) -> Mount {
        Mount::Overlay {
            lower: vec![self.path("lower")],
            upper: self.path("upper"),
            work: self.path("work"),
            target: self.target(),
            options: String::new(),
            owner: (0, 0),
        }
    }

    fn bind(&self) -> Mount {
        Mount::Bind { source: self.path("lower"), target: self.target(), access: Access::ReadWrite }
    }

    /// A part of it that is a mount of its own.
    fn bind_below(&self) -> Mount {
        let (source, target) = (self.path("lower/npm"), format!("{}/npm", self.target()));
        Mount::Bind { source, target, access: Access::ReadWrite }
    }

    fn agent(&self, mounts: Vec<Mount>) -> Agent {
        Agent::start_alone(World { mounts, counted: Some(self.target()), ..empty_world() })
    }
}

fn reads(agent: &mut Agent) -> Reads {
    agent.send(&ToGuest::Reads);
    match agent.hear() {
        Some(FromGuest::Reads(reads)) => reads,
        other => panic!("{other:?}"),
    }
}

fn counted(directories: &[(&str, u64, u64)]) -> Reads {
    let directory =
        |&(name, files, bytes): &(&str, u64, u64)| CountedDirectory { name: name.into(), files, bytes };
    let directories = directories.iter().map(directory).collect();
    Reads::Counted(Counted { directories, completeness: Completeness::All })
}

#[test]
fn what_was_there_and_is_read_counts_once_and_nothing_else_does() {
    if !can_be_alone() {
        return;
    }
    for mounts in
        [|cache: &Cache| vec![cache.overlay()], |cache: &Cache| vec![cache.bind(), cache.bind_below()]]
    {
        let cache = Cache::new();
        let mut agent = cache.agent(mounts(&cache));
        assert_eq!(reads(&mut agent), counted(&[]));
        // Twice, by another name, and by a process that outlives its step.
        agent.output_of(&format!("cd {}; cat pip/a pip/a pip/../pip/a top >/dev/null", cache.target()));
        assert_eq!(reads(&mut agent), counted(&[("", 1, 7), ("pip", 1, 10)]));
        // Neither looks nor writes are reads, and what a step has made was not there.
        agent.output_of(&format!(
            "cd {}; ls -lR . >/dev/null; stat npm/d >/dev/null; echo new >pip/new; cat pip/new >/dev/null; \
             echo more >>npm/d; rm pip/deep/b; echo other >pip/deep/b; cat pip/deep/b npm/d >/dev/null",
            cache.target()
        ));
        assert_eq!(reads(&mut agent), counted(&[("", 1, 7), ("pip", 1, 10)]));
        agent.output_of(&format!("cd {}; cat npm/c many/* >/dev/null", cache.target()));
        let expected = [("", 1, 7), ("many", 100, 200), ("npm", 1, 3000), ("pip", 1, 10)];
        assert_eq!(reads(&mut agent), counted(&expected));
    }
}

#[test]
fn where_nothing_was_there_nothing_is_counted() {
    if !can_be_alone() {
        return;
    }
    let cache = Cache::new();
    let empty = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(empty.path().join("deep/er")).expect("made");
    symlink(cache.path("lower/top"), empty.path().join("link")).expect("linked");
    let source = empty.path().to_string_lossy().into_owned();
    let mut agent =
        cache.agent(vec![Mount::Bind { source, target: cache.target(), access: Access::ReadWrite }]);
    agent.output_of(&format!("cd {}; echo new >new; cat new link >/dev/null", cache.target()));
    assert_eq!(reads(&mut agent), counted(&[]));
}

#[test]
fn a_step_cannot_stop_the_agent_with_what_it_opens() {
    if !can_be_alone() {
        return;
    }
    let cache = Cache::new();
    let mut agent = cache.agent(vec![cache.overlay()]);
    // An open that nobody answers would wait for ever.
    let script = format!(
        "cd {}; mkfifo fifo; (echo x >fifo &); cat fifo; rm fifo; cat top >/dev/null",
        cache.target()
    );
    assert_eq!(agent.output_of(&script), "x\n");
    assert_eq!(reads(&mut agent), counted(&[("", 1, 7)]));
}

#[test]
fn who_may_not_be_told_says_so() {
    let namespaces = ["--user", "--map-root-user", "--mount"];
    if !can_unshare(&namespaces) {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(namespaces).arg(env!("CARGO_BIN_EXE_guest-init"));
    let mut agent = Agent::unprepared(&mut command);
    let world = World { counted: Some("/".into()), ..empty_world() };
    agent.send(&ToGuest::Prepare(world.into()));
    let ready = agent.hear();
    assert!(matches!(ready, Some(FromGuest::Ready { .. })), "{ready:?}");
    let Reads::Unknown(why) = reads(&mut agent) else { panic!("it was counted") };
    assert_eq!(why, "ask the kernel to tell of reads (fanotify): EPERM: Operation not permitted");
    // A step runs nevertheless.
    assert_eq!(agent.run(sh(1, "cat /etc/hostname >/dev/null; echo ran")).stdout, b"ran\n");
    let mut agent = Agent::start();
    let Reads::Unknown(why) = reads(&mut agent) else { panic!("it was counted") };
    assert!(why.contains("nobody asked"), "{why}");
}
