//! Reads of steps below a directory, counted by the agent.

use std::{fs, os::unix::fs::symlink, process::Command, thread, time::Duration};

use kiln_protocol::{
    Access, BY_HASH, Completeness, Counted, CountedDirectory, FromGuest, GuestConfig, Mount, Reads, ToGuest,
};

use crate::agent::{Agent, can_isolate, can_unshare, empty_config, sh};

/// Longer than a tick of the kernel's clock: files of the tick in which the count begins count as a step's.
const TICK: Duration = Duration::from_millis(20);

/// More files than the agent looks at in one round.
const MANY: usize = 100;

/// A directory with files, and its mount point.
struct Cache {
    scratch: tempfile::TempDir,
    target: tempfile::TempDir,
}

impl Cache {
    fn new() -> Self {
        // /dev/shm is a tmpfs: not every file system can have an overlay's upper directory.
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
            nodev: false,
            owner: (0, 0),
        }
    }

    fn bind(&self) -> Mount {
        Mount::Bind { source: self.path("lower"), target: self.target(), access: Access::ReadWrite }
    }

    /// Mounts a part of it separately.
    fn bind_below(&self) -> Mount {
        let (source, target) = (self.path("lower/npm"), format!("{}/npm", self.target()));
        Mount::Bind { source, target, access: Access::ReadWrite }
    }

    fn agent(&self, mounts: Vec<Mount>) -> Agent {
        Agent::start_isolated(GuestConfig { mounts, track_reads: Some(self.target()), ..empty_config() })
    }
}

fn reads(agent: &mut Agent) -> Reads {
    agent.send(&ToGuest::Reads);
    match agent.recv() {
        Some(FromGuest::Reads(reads)) => reads,
        other => panic!("{other:?}"),
    }
}

fn counted(directories: &[(&str, u64, u64)]) -> Reads {
    let directory =
        |&(name, files, bytes): &(&str, u64, u64)| CountedDirectory { name: name.into(), files, bytes };
    let directories = directories.iter().map(directory).collect();
    Reads::Counted(Counted { directories, unclear: Vec::new(), unknown: 0, completeness: Completeness::All })
}

#[test]
fn files_that_existed_count_once_when_they_are_read() {
    if !can_isolate() {
        return;
    }
    for mounts in
        [|cache: &Cache| vec![cache.overlay()], |cache: &Cache| vec![cache.bind(), cache.bind_below()]]
    {
        let cache = Cache::new();
        let mut agent = cache.agent(mounts(&cache));
        assert_eq!(reads(&mut agent), counted(&[]));
        // Read twice, by another name, and by a process that outlives its step.
        agent.output_of(&format!("cd {}; cat pip/a pip/a pip/../pip/a top >/dev/null", cache.target()));
        assert_eq!(reads(&mut agent), counted(&[("", 1, 7), ("pip", 1, 10)]));
        // Neither stat(2) nor writes are reads, and files that a step has made or written do not count.
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

/// Uses of the files in `uses`, each of another kind: all of them are reads, and `held` is still open.
const USES: &str = r#"cat read >/dev/null
dd if=sought of=/dev/null bs=1 skip=5 count=1 2>/dev/null
LD_PRELOAD=$PWD/mapped /bin/true
./executed
ln linked link; cat link linked >/dev/null; rm link
: <opened
perl -e 'open I, "<", "sent"; open O, ">", "/dev/null"; syscall(40, fileno O, fileno I, 0, 9) == 9 or die $!'
(sh -c 'sleep 0.1; exec cat behind' >/dev/null &)
sleep 1000 <held >/dev/null 2>&1 &
unshare --mount cat apart >/dev/null
sleep 0.5"#;

/// Uses that are not reads: for writing, without opening, or of files that a step has written.
const NO_USES: &str = r#"perl -e 'open F, "+<", "updated"; <F>; open F, ">>", "appended"'
stat looked >/dev/null; test -r looked; mv looked moved; chmod 600 moved
echo more >>appended; cat appended >/dev/null"#;

#[test]
fn every_kind_of_reading_counts_and_no_other_use_does() {
    if !can_isolate() {
        return;
    }
    let names =
        ["read", "sought", "linked", "opened", "sent", "behind", "held", "updated", "looked", "appended"];
    for is_overlay in [true, false] {
        let cache = Cache::new();
        let uses = cache.scratch.path().join("lower/uses");
        fs::create_dir(&uses).expect("made");
        names.iter().for_each(|name| fs::write(uses.join(name), [b'x'; 1000]).expect("written"));
        fs::write(uses.join("apart"), [b'x'; 5]).expect("written");
        fs::copy("/bin/true", uses.join("executed")).expect("copied");
        // The loader has read a library of this program.
        let maps = fs::read_to_string("/proc/self/maps").expect("read");
        let library = maps.split_whitespace().find(|word| word.contains("/libc.so")).expect("there is one");
        fs::copy(library, uses.join("mapped")).expect("copied");
        thread::sleep(TICK);
        let length = |name: &str| fs::metadata(uses.join(name)).expect("there").len();
        // Reads through a bind mount in a step's own namespace are not reported.
        let (apart, extra) = if is_overlay { (1, 5) } else { (0, 0) };
        let bytes = 7 * 1000 + length("executed") + length("mapped") + extra;

        let mut agent = cache.agent(vec![if is_overlay { cache.overlay() } else { cache.bind() }]);
        agent.output_of(&format!("cd {}/uses\n{USES}", cache.target()));
        assert_eq!(reads(&mut agent), counted(&[("uses", 9 + apart, bytes)]), "{is_overlay}");
        agent.output_of(&format!("cd {}/uses\n{NO_USES}", cache.target()));
        assert_eq!(reads(&mut agent), counted(&[("uses", 9 + apart, bytes)]), "{is_overlay}");
    }
}

/// Changes by a tool of a file that it has just read, before the agent has looked at it, or just before the read.
const CHANGES: [&str; 8] = [
    "cat pip/a; touch pip/a",
    "touch pip/a; cat pip/a",
    "cat pip/a; rm pip/a",
    "cat pip/a; echo other >pip/new; mv pip/new pip/a; cat pip/a",
    "cat pip/a; mv pip/a pip/b; cat pip/b",
    "touch pip/a; mv pip/a pip/b; cat pip/b; rm pip/b",
    "cat pip/a; chmod 600 pip/a; cat pip/a",
    "cat pip/a; ln pip/a pip/b; touch pip/b; cat pip/b",
];

#[test]
fn later_changes_of_a_file_do_not_change_the_count() {
    if !can_isolate() {
        return;
    }
    for mount in [Cache::overlay, Cache::bind] {
        for change in CHANGES {
            for _ in 0..5 {
                let cache = Cache::new();
                let mut agent = cache.agent(vec![mount(&cache)]);
                // Files that are made and removed meanwhile did not exist before.
                let temporary = "cp -p pip/deep/b pip/temporary; cat pip/temporary; rm pip/temporary";
                agent.output_of(&format!("cd {}; ({change}; {temporary}) >/dev/null", cache.target()));
                assert_eq!(reads(&mut agent), counted(&[("pip", 2, 210)]), "{change}");
            }
        }
    }
}

#[test]
fn a_count_that_depends_on_timing_is_not_called_exact() {
    if !can_isolate() {
        return;
    }
    for _ in 0..5 {
        let cache = Cache::new();
        let mut agent = cache.agent(vec![cache.bind()]);
        agent.output_of(&format!("cd {}; cat top >/dev/null; echo more >>top", cache.target()));
        let Reads::Counted(counted) = reads(&mut agent) else { panic!("it is counted") };
        let Counted { directories, unclear, unknown, completeness } = counted;
        let [CountedDirectory { files: 1, bytes, .. }] = directories[..] else { panic!("{directories:?}") };
        assert!(bytes == 7 || (bytes == 12 && unknown == 1), "{bytes} {unknown}");
        assert_eq!((unclear.len(), completeness), (0, Completeness::All));
    }
    // An overlay still has the lower files.
    let cache = Cache::new();
    let mut agent = cache.agent(vec![cache.overlay()]);
    agent.output_of(&format!("cd {}; cat top >/dev/null; echo more >>top", cache.target()));
    assert_eq!(reads(&mut agent), counted(&[("", 1, 7)]));
}

#[test]
fn files_named_by_their_hash_are_counted_apart() {
    if !can_isolate() {
        return;
    }
    let cache = Cache::new();
    fs::write(cache.path("lower/sha256:00"), "12345").expect("written");
    fs::write(cache.path("lower/sha512:00"), "123").expect("written");
    thread::sleep(TICK);
    let mut agent = cache.agent(vec![cache.overlay()]);
    agent.output_of(&format!("cd {}; cat top sha*:00 >/dev/null", cache.target()));
    assert_eq!(reads(&mut agent), counted(&[("", 1, 7), (BY_HASH, 2, 8)]));
}

#[test]
fn an_empty_directory_counts_nothing() {
    if !can_isolate() {
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
fn a_step_cannot_block_the_agent_by_opening_a_fifo() {
    if !can_isolate() {
        return;
    }
    let cache = Cache::new();
    let mut agent = cache.agent(vec![cache.overlay()]);
    // An open(2) of a fifo without a peer would block for ever.
    let script = format!(
        "cd {}; mkfifo fifo; (echo x >fifo &); cat fifo; rm fifo; cat top >/dev/null",
        cache.target()
    );
    assert_eq!(agent.output_of(&script), "x\n");
    assert_eq!(reads(&mut agent), counted(&[("", 1, 7)]));
}

#[test]
fn without_the_right_to_watch_the_reason_is_reported() {
    let namespaces = ["--user", "--map-root-user", "--mount"];
    if !can_unshare(&namespaces) {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(namespaces).arg(env!("CARGO_BIN_EXE_guest-init"));
    let mut agent = Agent::unprepared(&mut command);
    let config = GuestConfig { track_reads: Some("/".into()), ..empty_config() };
    agent.send(&ToGuest::Prepare(config.into()));
    let ready = agent.recv();
    assert!(matches!(ready, Some(FromGuest::Ready { .. })), "{ready:?}");
    let Reads::Unknown(why) = reads(&mut agent) else { panic!("it was counted") };
    assert_eq!(why, "ask the kernel to tell of reads (fanotify): EPERM: Operation not permitted");
    // A step runs nevertheless.
    assert_eq!(agent.run(sh(1, "cat /etc/hostname >/dev/null; echo ran")).stdout, b"ran\n");
    let mut agent = Agent::start();
    let Reads::Unknown(why) = reads(&mut agent) else { panic!("it was counted") };
    assert!(why.contains("tracking was not requested"), "{why}");
}
