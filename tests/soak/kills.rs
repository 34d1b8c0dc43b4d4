//! SIGKILL for kiln, QEMU, virtiofsd or kiln's own virtiofs device at any moment: nothing is left, and a kiln that lives says what happened.

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    leftovers::Leftovers,
    place::Place,
    process_tree::{self, Member},
    sampling::{Sampler, named},
};

/// How many are killed in the soak, eight of each kind.
const ALL: usize = 72;
/// How many are killed otherwise.
const FEW: usize = 6;

/// Longer than any build here takes, on a busy machine too: a kiln that still runs then hangs.
const HANG: Duration = Duration::from_secs(300);

/// Reads and writes everything there is, has something running in the background, and leaves a package.
const BUILD: &str = "\
package:
  name: sample
  version: \"1.10\"
  epoch: 3
pipeline:
  - runs: |
      setsid sleep 1000 &
      for n in $(seq 20); do cat input > /var/cache/melange/$n; cp input work-$n; done
  - runs: |
      mkdir -p ${{targets.destdir}}/usr
      head -c 3000000 /dev/urandom > ${{targets.destdir}}/usr/data
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Kiln,
    Qemu,
    /// The server of the cache.
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    NineP,
    Virtiofs,
    Embedded,
}

impl Share {
    const ALL: [Self; 3] = [Self::NineP, Self::Virtiofs, Self::Embedded];

    /// The name of its server in messages, and an argument that no other process has.
    fn server(self) -> (&'static str, &'static str) {
        match self {
            Self::NineP => panic!("QEMU serves it"),
            Self::Virtiofs => ("virtiofsd", "--fd=3"),
            Self::Embedded => ("the virtiofs device", "__virtiofs"),
        }
    }
}

/// One case: who, and how the cache is shared.
#[derive(Debug, Clone, Copy)]
struct Case {
    victim: Victim,
    share: Share,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.victim {
            Victim::Kiln => "kiln",
            Victim::Qemu => "QEMU",
            Victim::Server => self.share.server().0,
        })
    }
}

/// The cases of the shares that `KILN_BACKENDS=embedded` names.
fn cases() -> Vec<Case> {
    let shares = named("KILN_BACKENDS", Share::ALL.to_vec(), |share| format!("{share:?}"));
    let of = |n: usize| match n % 9 {
        0 => Case { victim: Victim::Kiln, share: Share::NineP },
        1 => Case { victim: Victim::Kiln, share: Share::Virtiofs },
        2 => Case { victim: Victim::Qemu, share: Share::NineP },
        3 => Case { victim: Victim::Qemu, share: Share::Virtiofs },
        4 | 5 => Case { victim: Victim::Server, share: Share::Virtiofs },
        6 => Case { victim: Victim::Kiln, share: Share::Embedded },
        7 => Case { victim: Victim::Qemu, share: Share::Embedded },
        _ => Case { victim: Victim::Server, share: Share::Embedded },
    };
    (0..ALL).map(of).filter(|case| shares.contains(&case.share)).collect()
}

#[test]
fn nothing_is_left_after_any_kill() {
    let (mut sampler, cases) = Sampler::of("kills", cases(), FEW);
    let mut whole = undisturbed(&sampler);
    let mut slowest = Duration::ZERO;
    for (n, case) in cases.iter().enumerate() {
        let (line, took) = loop {
            match run(*case, &mut sampler, whole) {
                Ok(killed) => break killed,
                // It was over before its moment came. Another is drawn; how long a build takes changes with the machine's load.
                Err(length) => whole = whole.min(length),
            }
        };
        slowest = slowest.max(took);
        sampler.say(&format!("{}/{}: {line}", n + 1, cases.len()));
    }
    sampler.say(&format!("{} killed, 0 leftovers; the slowest was over after {slowest:.1?}", cases.len()));
}

/// How long a build takes by virtiofs without a kill; the one by 9p before it warms what is made once.
fn undisturbed(sampler: &Sampler) -> Duration {
    let mut length = Duration::ZERO;
    for share in [Share::NineP, Share::Embedded] {
        let place = place();
        let started = Instant::now();
        let output = kiln(&place, share).output().unwrap();
        length = started.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let left = Leftovers::count(&place, Vec::new());
        assert!(left.none(), "after a build without a kill: {left}");
        assert_eq!(
            fs::read_dir(place.project().join("cache")).unwrap().count(),
            match share {
                Share::NineP => 0,
                Share::Virtiofs | Share::Embedded => 20,
            }
        );
    }
    sampler.say(&format!("a build takes {length:.1?} without a kill"));
    length
}

fn place() -> Place {
    let place = Place::new();
    fs::write(place.project().join("file.yaml"), BUILD).unwrap();
    fs::write(place.project().join("input"), vec![b'x'; 10_000]).unwrap();
    place
}

fn kiln(place: &Place, share: Share) -> std::process::Command {
    let mut kiln = place.kiln();
    kiln.args(["--log-level", "kiln=debug", "build", "--accel", "tcg", "--memory", "1Gi", "--cpu", "2"])
        .args(["--progress", "json", "--cache-dir", "cache", "file.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match share {
        Share::NineP => &mut kiln,
        Share::Virtiofs => kiln.env("QEMU_USE_VIRTIOFS", "1"),
        Share::Embedded => kiln.env("KILN_VIRTIOFSD", "embedded"),
    };
    kiln
}

/// Starts a build and kills; gives what was done and how long it took kiln, or its reaper, to be through with it.
///
/// # Errors
/// When the build was over before: how long it took.
fn run(case: Case, sampler: &mut Sampler, whole: Duration) -> Result<(String, Duration), Duration> {
    let place = place();
    let started = Instant::now();
    let mut child = kiln(&place, case.share).spawn().unwrap();
    let events = lines(child.stdout.take().unwrap());
    let log = lines(child.stderr.take().unwrap());
    let pid = match case.victim {
        Victim::Kiln => Some(child.id().cast_signed()),
        Victim::Qemu => spawned(&log, "microvm,"),
        Victim::Server => spawned(&log, case.share.server().1),
    };
    let pid = pid.unwrap_or_else(|| panic!("{case} was not started"));
    let moment = sampler.moment(Duration::ZERO..whole.saturating_sub(started.elapsed()));
    thread::sleep(moment);
    let known = process_tree::members(&place);
    let running = case.victim == Victim::Kiln || child.try_wait().unwrap().is_none();
    let victim = match case.victim {
        Victim::Kiln => known.iter().any(|member| member.pid == pid).then_some(pid),
        Victim::Qemu => one_of(&known, pid, None, sampler).filter(|_| running),
        Victim::Server => one_of(&known, pid, Some(case.share.server().1), sampler).filter(|_| running),
    };
    if victim.is_none_or(|victim| kill(Pid::from_raw(victim), Signal::SIGKILL).is_err()) {
        child.wait().unwrap();
        let last =
            events.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok()).last();
        let length = last.and_then(|event| event["time_ms"].as_f64()).unwrap();
        return Err(Duration::from_secs_f64(length / 1e3));
    }
    let (at, killed) = (started.elapsed(), Instant::now());
    let end = end_of(&mut child);
    let took = killed.elapsed();
    let events: Vec<serde_json::Value> =
        events.iter().filter_map(|line| serde_json::from_str(&line).ok()).collect();
    let done = told(case, &events, at, &format!("{end} after {took:.2?}"));
    let left = Leftovers::count(&place, known);
    assert!(left.none(), "{done}; left: {left}");
    Ok((done, took))
}

/// Checks the result of a kill, and describes it in a line.
fn told(case: Case, events: &[serde_json::Value], at: Duration, end: &str) -> String {
    let before = |event: &&serde_json::Value| event["time_ms"].as_f64().unwrap() <= at.as_secs_f64() * 1e3;
    let seen = events.iter().rfind(before).map_or("nothing", |event| event["event"].as_str().unwrap());
    let said = events.last().and_then(|event| event["error"].as_str()).unwrap_or_default();
    let done = format!(
        "{case} ({:?}) killed after {at:.2?}, last event {seen}; kiln: {end} {:?}",
        case.share,
        said.lines().next().unwrap_or_default()
    );
    if case.victim != Victim::Kiln {
        // A kill after the end of the work loses nothing, and a guest that cannot be restored from its template boots.
        let over = events.iter().any(|event| event["event"] == "artifact");
        let harmless = over && end.starts_with("exit status: 0 ");
        let reported = end.starts_with("exit status: 4 ") && said.contains(&case.to_string());
        assert!(harmless || reported, "{done}");
    }
    done
}

/// The process that was spawned, or one with this argument that it made of itself: the half of a server that serves.
fn one_of(known: &[Member], pid: i32, argument: Option<&str>, sampler: &mut Sampler) -> Option<i32> {
    let is_half = |member: &Member| argument.is_some_and(|argument| member.arguments.contains(argument));
    let half = |member: &&Member| member.pid == pid || (member.parent == pid && is_half(member));
    let halves: Vec<i32> = known.iter().filter(half).map(|member| member.pid).collect();
    (!halves.is_empty()).then(|| halves[usize::try_from(sampler.below(halves.len() as u64)).unwrap()])
}

/// The number of the child that kiln's log says was started with this argument.
fn spawned(log: &Receiver<String>, argument: &str) -> Option<i32> {
    let mut named = false;
    log.iter().find_map(|line| {
        if line.contains(" spawn argv=") {
            named = line.contains(argument);
        }
        let pid = line.split_once(" spawned pid=").filter(|_| named)?.1;
        Some(pid.split(' ').next()?.parse().unwrap())
    })
}

/// The lines of a stream as they come, read to its end whether they are used or not.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // best effort: the test may have heard enough.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Waits for kiln's end; one that hangs is a failure.
fn end_of(child: &mut Child) -> String {
    let pidfd = process_tree::pidfd(child.id().cast_signed());
    if pidfd.is_ok_and(|pidfd| !process_tree::ended(&pidfd, Instant::now() + HANG)) {
        child.kill().unwrap();
        return format!("it hung for {HANG:?}");
    }
    child.wait().unwrap().to_string()
}
