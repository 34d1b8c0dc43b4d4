//! A program in place of bwrap that sends kiln wrong messages in the agent's protocol.
//!
//! It is this test program once more, started by a script named `bwrap`: the output of the harness is dropped, and the wire is
//! its standard input and its descriptor 3.

#![expect(clippy::exit, reason = "the liar is a program, and lies by its end as well")]

use std::{
    env, fs,
    fs::{File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use kiln_protocol::{
    Chunk, Completeness, Counted, CountedDirectory, Exhausted, ExitStatus, ForwardData, FromGuest, MAX_FOUND,
    Reads, Stream, ToGuest, UnclearFile, VERSION, frame,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{assert_clean, command, has_bwrap, project, said};

/// Longer than a build may take with any of these, on a busy machine too; one that hangs takes for ever.
const HANG: Duration = Duration::from_secs(100);
/// kiln takes a second or two for most, and sleeps through most of the others.
const AT_ONCE: usize = 12;
/// Which lie is to be told, and the directory of a file that says that it has begun.
const LIE: &str = "KILN_LIE";
const PLACE: &str = "KILN_LIE_PLACE";

/// kiln's end of the wire.
struct Wire {
    output: File,
}

impl Wire {
    fn hear(&mut self) -> io::Result<ToGuest> {
        let mut header = [0; frame::HEADER];
        io::stdin().read_exact(&mut header)?;
        let length = frame::length(header, frame::MAX_REQUEST).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        io::stdin().read_exact(&mut bytes)?;
        frame::decode(&bytes).map_err(io::Error::other)
    }

    fn say(&mut self, message: &FromGuest) -> io::Result<()> {
        self.bytes(&frame::encode(message, frame::MAX_FRAME).map_err(io::Error::other)?)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    /// Reads on, and says nothing.
    fn silent(&mut self) -> io::Result<()> {
        begun();
        loop {
            self.hear()?;
        }
    }

    /// Does not even read.
    fn deaf(&mut self) -> io::Result<()> {
        begun();
        loop {
            thread::park();
        }
    }

    /// Says the same for ever, and does not read.
    fn floods(&mut self, message: &FromGuest) -> io::Result<()> {
        begun();
        let bytes = frame::encode(message, frame::MAX_FRAME).map_err(io::Error::other)?;
        let many = bytes.repeat(1 + 65_536 / bytes.len());
        loop {
            self.bytes(&many)?;
        }
    }

    /// A well-behaved answer.
    fn answer(&mut self, request: &ToGuest) -> io::Result<()> {
        match request {
            ToGuest::Prepare(_) => self.say(&FromGuest::Ready { phases: Vec::new() }),
            ToGuest::Run(step) => self.say(&ended(step.index)),
            ToGuest::FindFiles { .. } => self.say(&FromGuest::FilesFound { paths: Vec::new() }),
            ToGuest::Export { .. } => self.export(&package()),
            ToGuest::ExportUpper { .. } => self.export(&[0; 1024]),
            ToGuest::Reads => self.say(&FromGuest::Reads(Reads::Unknown("nothing was counted".into()))),
            ToGuest::Shutdown => std::process::exit(0),
            _ => Ok(()),
        }
    }

    fn export(&mut self, archive: &[u8]) -> io::Result<()> {
        for piece in archive.chunks(frame::MAX_DATA) {
            self.say(&FromGuest::Data(piece.to_vec()))?;
        }
        self.say(&FromGuest::Exported { entries: 0, bytes: archive.len() as u64 })
    }
}

/// Where a test waits for it.
fn begun() {
    let place = env::var_os(PLACE).expect("the script sets it");
    fs::write(Path::new(&place).join("begun"), "").expect("the place can be written");
}

fn ended(step: u32) -> FromGuest {
    FromGuest::Ended { step, status: ExitStatus::Code(0), exhausted: Exhausted::default() }
}

fn output(step: u32, bytes: usize) -> FromGuest {
    let line = b"a line of output that does not end\n";
    FromGuest::Output {
        step,
        stream: Stream::Stdout,
        bytes: line.iter().copied().cycle().take(bytes).collect(),
    }
}

fn package() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    tar.append_data(&mut header, "sample/", io::empty()).expect("written to memory");
    tar.into_inner().expect("written to memory")
}

/// When it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Before all else.
    Hello,
    Prepare,
    Run,
    Find,
    Export,
    Upper,
    Reads,
    Shutdown,
}

impl When {
    fn of(request: &ToGuest) -> Option<Self> {
        Some(match request {
            ToGuest::Prepare(_) => Self::Prepare,
            ToGuest::Run(_) => Self::Run,
            ToGuest::FindFiles { .. } => Self::Find,
            ToGuest::Export { .. } => Self::Export,
            ToGuest::ExportUpper { .. } => Self::Upper,
            ToGuest::Reads => Self::Reads,
            ToGuest::Shutdown => Self::Shutdown,
            _ => return None,
        })
    }
}

/// The event that ends it.
#[derive(Clone, Copy)]
enum End {
    Itself,
    Signal(Signal),
    /// `--timeout`.
    Limit,
}

type Told = Box<dyn Fn(&mut Wire) -> io::Result<()> + Send + Sync>;

struct Lie {
    name: String,
    when: When,
    /// In the place of an answer; after it the agent reads on, and answers nothing more.
    told: Told,
    end: End,
    /// kiln's exit code, and a part of its error.
    code: i32,
    words: &'static str,
}

fn lie(
    name: &str,
    when: When,
    told: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static,
    (code, words): (i32, &'static str),
) -> Lie {
    let name = format!("{name}, {when:?}");
    Lie { name, when, told: Box::new(told), end: End::Itself, code, words }
}

/// A lie that goes on, with each way to end it.
fn endless(
    name: &'static str,
    when: When,
    told: fn(&mut Wire) -> io::Result<()>,
) -> impl Iterator<Item = Lie> {
    let ends = [
        (End::Signal(Signal::SIGTERM), (143, "terminated")),
        (End::Signal(Signal::SIGINT), (130, "interrupted")),
        (End::Limit, (6, "")),
    ];
    ends.into_iter()
        .map(move |(end, verdict)| Lie { end, ..lie(&format!("{name}, {}", verdict.0), when, told, verdict) })
}

/// One of each, but for what is heard at any time.
fn messages() -> Vec<(&'static str, FromGuest)> {
    vec![
        ("Hello", FromGuest::Hello { version: VERSION, uptime_us: 1, free_transports: 0, pci_slots: 0 }),
        ("Ready", FromGuest::Ready { phases: vec![("x".repeat(1000), u64::MAX)] }),
        ("Output", output(0, 10)),
        ("Consumed", FromGuest::Consumed { step: 0, bytes: u32::MAX }),
        ("Ended", ended(0)),
        ("Refused", FromGuest::Refused { step: 0, why: "no\u{1b}[2J".into() }),
        ("Data", FromGuest::Data(vec![1; 100])),
        ("FilesFound", FromGuest::FilesFound { paths: vec!["../../etc/LICENSE".into(); MAX_FOUND] }),
        ("Exported", FromGuest::Exported { entries: u64::MAX, bytes: u64::MAX }),
        ("Reads", FromGuest::Reads(Reads::Unknown("?".into()))),
        ("Failed", FromGuest::Failed { why: "\u{1b}]0;no\u{7}".into() }),
    ]
}

/// Whether a message is an answer, or has an effect of its own, then.
fn has_a_place(message: &str, when: When) -> bool {
    match when {
        When::Prepare => message == "Ready",
        When::Run => ["Output", "Ended", "Refused"].contains(&message),
        When::Find => ["Output", "FilesFound"].contains(&message),
        When::Export | When::Upper => ["Output", "Data", "Exported"].contains(&message),
        When::Reads => ["Output", "Reads"].contains(&message),
        When::Hello | When::Shutdown => true,
    }
}

fn out_of_place() -> impl Iterator<Item = Lie> {
    let moments = [When::Prepare, When::Run, When::Find, When::Export, When::Upper];
    moments.into_iter().flat_map(|when| {
        let messages = messages().into_iter().filter(move |(name, _)| !has_a_place(name, when));
        messages
            .map(move |(name, message)| lie(name, when, move |wire| wire.say(&message), (4, "the agent ")))
    })
}

fn frames() -> Vec<Lie> {
    use When::{Hello, Run};
    let framed = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let raw = |name: &str, when, bytes: Vec<u8>, words| {
        lie(name, when, move |wire: &mut Wire| wire.bytes(&bytes), (4, words))
    };
    let hello = frame::encode(&output(0, 500), frame::MAX_FRAME).expect("it fits");
    vec![
        raw("text", Hello, b"login: root\n".to_vec(), "a frame of"),
        raw("an empty frame", Hello, framed(b""), "a malformed frame"),
        raw("zeros", Run, vec![0; 4096], "a malformed frame"),
        raw("an unknown kind", Run, framed(&[200, 1]), "a malformed frame"),
        raw("the longest frame", Run, u32::MAX.to_le_bytes().to_vec(), "a frame of 4294967295 bytes"),
        raw(
            "a frame that is a byte too long",
            Run,
            (frame::MAX_FRAME as u32 + 1).to_le_bytes().into(),
            "a frame of",
        ),
        raw("two in one", Run, framed(&[&hello[4..], &hello[4..]].concat()), "left over"),
        raw(
            "a length within that is too long",
            Run,
            framed(&[6, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            "a malformed frame",
        ),
        lie(
            "another version",
            Hello,
            |wire| {
                wire.say(&FromGuest::Hello {
                    version: VERSION + 1,
                    uptime_us: 0,
                    free_transports: 0,
                    pci_slots: 0,
                })
            },
            (4, "the agent has version"),
        ),
        lie(
            "half a frame and the end",
            Run,
            move |wire| {
                wire.bytes(&hello[..100])?;
                std::process::exit(0)
            },
            (4, "ended"),
        ),
    ]
}

fn single() -> Vec<Lie> {
    use When::{Export, Find, Hello, Prepare, Reads as Read, Run, Shutdown, Upper};
    let exits =
        |when, code| lie("it exits", when, move |_: &mut Wire| std::process::exit(code), (4, "bwrap ended"));
    let archive = |name: &str, when, archive: Vec<u8>, verdict| {
        lie(name, when, move |wire: &mut Wire| wire.export(&archive), verdict)
    };
    let refused = |name: &str, when, endless: u8, verdict| {
        lie(name, when, move |wire: &mut Wire| wire.floods(&FromGuest::Data(vec![endless; 60_000])), verdict)
    };
    vec![
        exits(Hello, 0),
        exits(Prepare, 0),
        exits(Run, 3),
        exits(Export, 0),
        exits(Upper, 0),
        exits(Shutdown, 1),
        lie(
            "a step that does not run",
            Run,
            |wire| wire.say(&output(1, 10)),
            (4, "a step 1 that does not run"),
        ),
        lie("a step that does not exist", Run, |wire| wire.say(&output(u32::MAX, 10)), (4, "does not run")),
        lie(
            "too many files",
            Find,
            |wire| wire.say(&FromGuest::FilesFound { paths: vec!["LICENSE".into(); MAX_FOUND + 1] }),
            (4, "sent FilesFound"),
        ),
        lie("the end of another step", Run, |wire| wire.say(&ended(1)), (4, "sent Ended")),
        lie(
            "the end twice",
            Run,
            |wire| {
                wire.say(&ended(0))?;
                wire.say(&ended(0))
            },
            (4, "sent Ended"),
        ),
        lie(
            "a refusal",
            Run,
            |wire| wire.say(&FromGuest::Refused { step: 7, why: "no\u{1b}[2J".into() }),
            (3, "no [2J"),
        ),
        lie(
            "connections that are not listened for",
            Run,
            |wire| wire.floods(&FromGuest::Connected { connection: 1, port: 22 }),
            (4, "does not read the refusals"),
        ),
        archive("nothing", Export, Vec::new(), (8, "cut off")),
        archive(
            "an archive that leads out",
            Export,
            {
                let mut archive = package();
                archive[..12].copy_from_slice(b"sample/../x\0");
                archive
            },
            (8, ""),
        ),
        refused("zeros for ever", Export, 0, (8, "")),
        refused("noise for ever", Export, 0x5a, (8, "")),
        archive("nothing", Upper, Vec::new(), (7, "")),
        refused("noise for ever", Upper, 0x5a, (7, "")),
        lie(
            "numbers that overflow",
            Read,
            |wire| {
                let directory = |n: u32| CountedDirectory {
                    name: format!("{n}\u{1b}[2J"),
                    files: u64::MAX,
                    bytes: u64::MAX,
                };
                let counted = Counted {
                    directories: (0..1000).map(directory).collect(),
                    unclear: vec![UnclearFile { directory: 9, inode: u64::MAX }; 5000],
                    unknown: u64::MAX,
                    completeness: Completeness::All,
                };
                wire.say(&FromGuest::Reads(Reads::Counted(counted)))?;
                loop {
                    let request = wire.hear()?;
                    wire.answer(&request)?;
                }
            },
            (0, ""),
        ),
        lie("the end is not heard of", Shutdown, Wire::silent, (0, "")),
        lie("it talks at the end", Shutdown, |wire| wire.floods(&output(0, 1000)), (0, "")),
    ]
}

fn forever() -> impl Iterator<Item = Lie> {
    use When::{Export, Prepare, Run, Upper};
    let moments = [Run, Export, Upper];
    let silent = moments.into_iter().flat_map(|when| endless("silent", when, Wire::silent));
    // The next message does not fit into the pipe.
    let deaf = endless("deaf", Prepare, |wire| {
        wire.say(&FromGuest::Ready { phases: Vec::new() })?;
        wire.deaf()
    });
    let deaf = deaf.chain(endless("deaf", Run, Wire::deaf)).chain(endless("deaf", Export, Wire::deaf));
    let loud = moments
        .into_iter()
        .flat_map(|when| endless("output without an end", when, |wire| wire.floods(&output(0, 1000))));
    let nothing = endless("pieces of nothing", Export, |wire| wire.floods(&FromGuest::Data(Vec::new())));
    let strangers = endless("unknown connections", Run, |wire| {
        wire.floods(&FromGuest::ForwardData(ForwardData {
            connection: 9,
            piece: Chunk::Bytes(vec![1; 1000]),
        }))
    });
    let half = endless("half a frame", Run, |wire| {
        wire.bytes(&[100, 0, 0, 0, 1])?;
        wire.silent()
    });
    let errors = endless("errors without an end", Run, |_| {
        begun();
        loop {
            io::stderr().write_all(&b"\x1b[2J no end \n".repeat(1000))?;
        }
    });
    silent.chain(deaf).chain(loud).chain(nothing).chain(strangers).chain(half).chain(errors)
}

fn lies() -> Vec<Lie> {
    out_of_place().chain(frames()).chain(single()).chain(forever()).collect()
}

/// Not a test but the liar itself: it does something only where the script has started it.
#[test]
fn plays() {
    let Ok(name) = env::var(LIE) else { return };
    let output = File::options().write(true).open("/proc/self/fd/3").expect("the script has opened it");
    let mut wire = Wire { output };
    let lie = lies().into_iter().find(|lie| lie.name == name).expect("it is in the table");
    // kiln hangs up at some point, and then it is over.
    drop(tell(&lie, &mut wire));
}

fn tell(lie: &Lie, wire: &mut Wire) -> io::Result<()> {
    if lie.when != When::Hello {
        wire.say(&FromGuest::Hello { version: VERSION, uptime_us: 1, free_transports: 0, pci_slots: 0 })?;
        loop {
            let request = wire.hear()?;
            if When::of(&request) == Some(lie.when) {
                break;
            }
            wire.answer(&request)?;
        }
    }
    (lie.told)(wire)?;
    loop {
        wire.hear()?;
    }
}

/// A build with the liar in bwrap's place.
fn build(lie: &Lie) -> Output {
    let (directory, project) = project();
    let tools = directory.path().join("tools");
    fs::create_dir(&tools).expect("made");
    let myself = env::current_exe().expect("it has a path");
    // The real bwrap handles all other calls.
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' --stdio '*) ;; *) PATH=/usr/bin:/bin exec bwrap \"$@\" ;; esac\n\
         exec 3>&1 >/dev/null\nexport {LIE}='{}' {PLACE}='{}'\nexec '{}' --exact liar::plays --nocapture\n",
        lie.name,
        directory.path().display(),
        myself.display(),
    );
    let bwrap = tools.join("bwrap");
    fs::write(&bwrap, script).expect("written");
    fs::set_permissions(&bwrap, Permissions::from_mode(0o755)).expect("set");
    let large = format!("true {}", "x".repeat(100_000));
    let mode = if lie.when == When::Upper { "commit" } else { "rw" };
    let mut command =
        command(&project, "root", &["true", &large], &["--progress", "plain", "--cache-mode", mode]);
    if matches!(lie.end, End::Limit) {
        command.args(["--timeout", "2s"]);
    }
    let path = env::var("PATH").expect("there is one");
    command.env("PATH", format!("{}:{path}", tools.display())).stdout(Stdio::null()).stderr(Stdio::piped());
    let kiln = command.spawn().expect("kiln can be started");
    if let End::Signal(signal) = lie.end {
        let patience = Instant::now() + HANG;
        while !directory.path().join("begun").exists() {
            assert!(Instant::now() < patience, "{}: it does not begin", lie.name);
            thread::sleep(Duration::from_millis(20));
        }
        kill(Pid::from_raw(kiln.id().cast_signed()), signal).expect("kiln runs");
    }
    let output = waited(kiln, &lie.name);
    assert_clean(&project);
    let files = |of: &Path| of.read_dir().map_or(0, Iterator::count);
    if lie.code != 0 {
        // Packages are written before the cache is asked for.
        let packages = files(&project.join("packages/x86_64"));
        assert!(
            packages == 0 || [When::Upper, When::Shutdown].contains(&lie.when),
            "{}: a package is left",
            lie.name
        );
        assert_eq!(files(&project.join("cache")), 0, "{}: something is in the cache", lie.name);
    }
    let mut around: Vec<_> =
        fs::read_dir(&directory).expect("listed").map(|entry| entry.expect("there").file_name()).collect();
    around.retain(|name| !["project", "scratch", "tools", "begun"].iter().any(|known| name == known));
    assert!(around.is_empty(), "{}: {around:?}", lie.name);
    output
}

/// Its output is read while it runs; a kiln that hangs is killed.
fn waited(mut kiln: Child, name: &str) -> Output {
    let mut stderr = kiln.stderr.take().expect("it was piped above");
    let pid = Pid::from_raw(kiln.id().cast_signed());
    let reader = thread::spawn(move || {
        // The end tells all: of output without an end not all is kept.
        let (mut end, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while let Ok(count @ 1..) = stderr.read(&mut buffer) {
            end.extend_from_slice(&buffer[..count]);
            let old = end.len().saturating_sub(65_536);
            end.drain(..old);
        }
        end
    });
    let patience = Instant::now() + HANG;
    let status = loop {
        if let Some(status) = kiln.try_wait().expect("it can be waited for") {
            break status;
        }
        if Instant::now() > patience {
            kill(pid, Signal::SIGKILL).expect("it runs");
            panic!("{name}: kiln hangs");
        }
        thread::sleep(Duration::from_millis(50));
    };
    Output { status, stdout: Vec::new(), stderr: reader.join().expect("it does not panic") }
}

#[test]
fn no_lie_of_an_agent_hangs_kiln_or_gets_anything_out() {
    if !has_bwrap() {
        return;
    }
    let lies = Mutex::new(lies());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = lies.lock().expect("no thread panics with it").pop();
                    let Some(lie) = next else { return };
                    let output = build(&lie);
                    let text = said(&output);
                    let right = output.status.code() == Some(lie.code)
                        && text.contains(lie.words)
                        && !text.contains("panicked")
                        && !text.contains('\u{1b}');
                    if !right {
                        wrong
                            .lock()
                            .expect("no thread panics with it")
                            .push(format!("{}: {:?}\n{text}", lie.name, output.status));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panics with it");
    assert!(wrong.is_empty(), "{} lies:\n{}", wrong.len(), wrong.join("\n\n"));
}
