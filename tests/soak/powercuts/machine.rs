//! The machine whose plug is pulled, and its disks, which are files of the host.
//!
//! kiln's kernel and initramfs, with this test binary where kiln's agent is. The guest's writes to a disk are in the
//! file, whatever becomes of QEMU; the guest's page cache is lost with it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use kiln::{
    env::Env,
    home::Home,
    host::{find_program, tsc},
    image::{
        Kernel,
        cpio::Archive,
        initramfs::{self, Startup},
    },
};
use tempfile::TempDir;

use super::{
    guest::{FEATURES, JOB, Job, MODULES, SAYS},
    skip,
};

/// The program that a dynamic one names as its interpreter.
const INTERPRETER: &str = "/lib64/ld-linux-x86-64.so.2";
/// A start takes seconds; under TCG on a busy host it may take a minute.
const PATIENCE: Duration = Duration::from_secs(300);
const DISK_BYTES: u64 = 256 << 20;

/// Which disks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Cache and home on one: what is flushed of one is often flushed of both.
    One,
    /// Each on its own: nothing is flushed by the way.
    Two,
}

impl Layout {
    pub(super) const ALL: [Self; 2] = [Self::One, Self::Two];
}

/// The disks of a row of machines.
pub(super) struct Disks {
    directory: TempDir,
    layout: Layout,
}

impl Disks {
    pub(super) fn new(layout: Layout) -> Self {
        let directory = tempfile::Builder::new().prefix("kiln-soak-").tempdir().unwrap();
        let disks = Self { directory, layout };
        for name in ["cache", "home", "none"] {
            let path = disks.path(name);
            File::create(&path).unwrap().set_len(DISK_BYTES).unwrap();
            let made = Command::new("mkfs.ext4")
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                .args(["-q", "-F"])
                .arg(path)
                .status();
            assert!(made.unwrap().success());
        }
        disks
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Those of the machine with this number, in the order in which it finds them: not always the same, as in life.
    fn attached(&self, number: usize) -> Vec<&'static str> {
        let first = if number % 2 == 1 { &["none"][..] } else { &[] };
        let own: &[_] = match self.layout {
            Layout::One => &["cache"],
            Layout::Two => &["cache", "home"],
        };
        [first, own].concat()
    }
}

/// The parts of a machine.
pub(super) struct Machine {
    qemu: PathBuf,
    vmlinux: PathBuf,
    initrd: PathBuf,
    tsc_khz: Option<u32>,
    _directory: TempDir,
}

impl Machine {
    /// Finds all that it takes; `None` where something is missing, and the test is skipped.
    pub(super) fn find() -> Option<Self> {
        if !cfg!(target_arch = "x86_64") {
            skip("the machine whose plug is pulled is an x86-64");
            return None;
        }
        let env = Env::of_process();
        let tools: Env = [("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")].into_iter().collect();
        for (env, tool) in [(&tools, "mkfs.ext4"), (&env, "strip")] {
            if find_program(env, tool).is_none() {
                skip(&format!("there is no {tool} (apt-get install e2fsprogs binutils)"));
                return None;
            }
        }
        let Some(qemu) = find_program(&env, "qemu-system-x86_64") else {
            skip("there is no QEMU (images/setup.sh tools)");
            return None;
        };
        let kernel = match Kernel::find(&Home::find(&env).unwrap(), &env) {
            Ok(kernel) => kernel,
            Err(error) => {
                skip(&format!("{error:#}"));
                return None;
            }
        };
        let directory = tempfile::Builder::new().prefix("kiln-soak-").tempdir().unwrap();
        let initrd = initrd(directory.path(), &kernel);
        let tsc_khz = tsc::measure_khz();
        Some(Self { qemu, vmlinux: kernel.vmlinux, initrd, tsc_khz, _directory: directory })
    }

    /// Starts the one with this number.
    pub(super) fn start(&self, disks: &Disks, job: Job, number: usize) -> Guest {
        let tsc = self.tsc_khz.map(|khz| format!("tsc_early_khz={khz}")).unwrap_or_default();
        let append = format!(
            "console=ttyS0 loglevel=4 panic=-1 reboot=t mitigations=off cryptomgr.notests random.trust_cpu=on nokaslr \
             no_timer_check {tsc} {JOB}={} RUST_BACKTRACE=0 -- --exact powercuts::guest::first_program --ignored --nocapture \
             --test-threads=1",
            job.word()
        );
        let mut command = Command::new(&self.qemu);
        command
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-machine", "microvm,pit=on,pic=on,rtc=on,isa-serial=on,x-option-roms=off"])
            .args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "512M"])
            .args(["-global", "virtio-mmio.force-legacy=false", "-serial", "stdio"])
            .arg("-kernel")
            .arg(&self.vmlinux)
            .arg("-initrd")
            .arg(&self.initrd)
            .args(["-append", &append]);
        for name in disks.attached(number) {
            let file = disks.path(name);
            command.args(["-drive", &format!("if=none,id={name},format=raw,file={}", file.display())]);
            command.args(["-device", &format!("virtio-blk-device,drive={name},serial={name}")]);
        }
        Guest::of(command)
    }
}

/// kiln's initramfs with this test as its first program, and one more archive with what that needs.
fn initrd(directory: &Path, kernel: &Kernel) -> PathBuf {
    let program = directory.join("program");
    let stripped =
        Command::new("strip").arg("-o").arg(&program).arg(std::env::current_exe().unwrap()).status();
    assert!(stripped.unwrap().success());
    let made = initramfs::ensure(
        directory,
        &fs::read(program).unwrap(),
        &kernel.modules,
        &FEATURES,
        Startup::Channel,
    )
    .unwrap();
    let mut archive = Archive::default();
    for path in [
        "/lib64",
        "/proc",
        "/sys",
        "/cache",
        "/home",
        "/unflushed",
        "/usr",
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu",
    ] {
        archive.directory(path);
    }
    archive.file(INTERPRETER, 0o755, &fs::read(INTERPRETER).unwrap());
    for library in libraries() {
        archive.file(&library, 0o755, &fs::read(&library).unwrap());
    }
    let modules = kernel.modules.load_order(&FEATURES);
    let paths: Vec<String> = modules.iter().map(|module| module.guest_path()).collect();
    archive.file(MODULES, 0o644, paths.join("\n").as_bytes());
    let mut bytes = fs::read(made).unwrap();
    bytes.extend(archive.finish());
    let path = directory.join("initrd");
    fs::write(&path, bytes).unwrap();
    path
}

/// The shared libraries of this program, which is what the guest runs.
fn libraries() -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let files = maps.lines().filter_map(|line| line.split_once('/').map(|(_, path)| format!("/{path}")));
    let mut libraries: Vec<String> = files.filter(|path| path.contains(".so")).collect();
    libraries.sort();
    libraries.dedup();
    libraries
}

/// One machine, running.
pub(super) struct Guest {
    qemu: Child,
    lines: Receiver<String>,
    said: Said,
}

/// Its output.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The last commit that was kept.
    pub(super) kept: Option<u64>,
    /// How many commits the cache held when it was mounted.
    pub(super) found: Option<u64>,
    /// All of it.
    pub(super) all: String,
}

impl Guest {
    fn of(mut command: Command) -> Self {
        let mut qemu =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(qemu.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                // The receiver is gone when the test has failed.
                let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        });
        Self { qemu, lines, said: Said::default() }
    }

    /// Takes in one line; false when there will be none before `end`.
    fn hear(&mut self, end: Instant) -> Result<String, RecvTimeoutError> {
        let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))?;
        self.said.all += &format!("{line}\n");
        let text = line.strip_prefix(SAYS).unwrap_or_default();
        match text.split_once(' ') {
            Some(("kept", number)) => self.said.kept = number.parse().ok(),
            Some(("found", number)) => self.said.found = number.parse().ok(),
            _ => {}
        }
        Ok(text.to_owned())
    }

    /// Waits until it says something.
    pub(super) fn wait_for(&mut self, wanted: &str, doing: &str) {
        let end = Instant::now() + PATIENCE;
        while self.hear(end).unwrap_or_else(|_| panic!("{doing}: no {wanted:?}:\n{}", self.said.all))
            != wanted
        {}
    }

    /// Lets it go on for that long.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.hear(end).is_ok() {}
    }

    /// Pulls the plug.
    pub(super) fn cut(mut self) -> Said {
        self.qemu.kill().unwrap();
        self.rest()
    }

    /// Waits for its own end.
    pub(super) fn ended(self) -> Said {
        self.rest()
    }

    fn rest(mut self) -> Said {
        let end = Instant::now() + PATIENCE;
        while self.hear(end).is_ok() {}
        self.qemu.kill().unwrap();
        self.qemu.wait().unwrap();
        std::mem::take(&mut self.said)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // best effort: it is dead already, unless the test has failed.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Said {
    /// Checks that the machine found the kept commits, or one more that was being made; `kept` becomes the new number.
    pub(super) fn judge(&self, kept: &mut u64, doing: &str) {
        for wrong in ["panicked", "Kernel panic", "EXT4-fs error"] {
            assert!(!self.all.contains(wrong), "{doing}: {}", self.all);
        }
        if let Some(found) = self.found {
            assert!(
                found == *kept || found == *kept + 1,
                "{doing}: kept {kept}, found {found}\n{}",
                self.all
            );
            *kept = found;
        }
        *kept = self.kept.unwrap_or(*kept);
    }
}
