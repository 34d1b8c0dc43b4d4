//! A step that leaves set-id programs, devices and other owners in the cache, and a list of those that are left when kiln ends.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Programs with set-id bits, devices, a file capability, files of other users; below a directory that is read-only, one
/// that its owner may not read, in `.kiln`, and the cache itself. What the share or the backend refuses is not there.
///
/// One program, since each is slow in a microVM without KVM; the numbers of system calls are those of x86_64.
pub(crate) const STEP: &str = r#"cat > /tmp/plant <<'END'
chdir "/var/cache/melange"; umask 0;
sub file { my ($p, $m) = @_; open my $f, ">", $p or die "$p: $!"; print $f "x"; close $f; chmod $m, $p; $p }
mkdir $_ for qw(a a/b own read-only unreadable .kiln);
for my $d (qw(. a/b own read-only unreadable .kiln)) {
  file(sprintf("$d/m%o", $_), $_) for 04755, 02755, 06755, 02644, 04111;
  my %node = (char => [020666, 0x10b], block => [060666, 0x700], whiteout => [020000, 0]);
  syscall 133, my $p = "$d/$_", @{$node{$_}} for keys %node;
  my ($p, $n) = (file("$d/capable", 0755), "security.capability");
  my $v = pack "V5", 0x02000001, 0xffffffff, 0, 0xffffffff, 0;
  syscall 188, $p, $n, $v, 20, 0;
  chown 12345, 54321, file("$d/given", 0644);
  my $s = file("$d/given-set-id", 0755); chown 12345, -1, $s; chmod 04755, $s;
  symlink "given", my $l = "$d/link"; syscall 94, $l, 12345, -1;
}
link "a/b/m4755", "own/hard-link";
mkdir "set-gid"; chmod 02777, "set-gid";
syscall 133, my $f = "fifo", 010666, 0; chmod 04666, $f;
chmod 04755, "own"; chmod 0555, "read-only"; chmod 0011, "unreadable"; chown 12345, -1, "own", ".";
chmod 01777, ".";
END
perl /tmp/plant"#;

/// How a build ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    StepFails,
    Terminated,
    /// With SIGKILL: the next start mends.
    Killed,
}

impl Ending {
    /// The steps of a build that ends so.
    pub(crate) fn steps(self) -> [&'static str; 2] {
        let last = match self {
            Self::Success => "echo planted",
            Self::StepFails => "echo planted; exit 3",
            // A process that still runs goes on writing.
            Self::Terminated | Self::Killed => {
                "echo planted; cd /var/cache/melange; while :; do : > again; chmod 4755 again; done"
            }
        };
        [STEP, last]
    }

    /// Runs the build to this end; what it said.
    pub(crate) fn of(self, build: &mut Command) -> String {
        let mut kiln =
            build.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("kiln can be started");
        let mut said = String::new();
        for line in BufReader::new(kiln.stderr.take().expect("it is piped")).lines().map_while(Result::ok) {
            said += &format!("{line}\n");
            if line.ends_with("] planted") {
                let pid = Pid::from_raw(kiln.id().cast_signed());
                match self {
                    Self::Success | Self::StepFails => {}
                    Self::Terminated => kill(pid, Signal::SIGTERM).expect("it runs"),
                    Self::Killed => kill(pid, Signal::SIGKILL).expect("it runs"),
                }
            }
        }
        let code = kiln.wait().expect("it ends").code();
        let expected = match self {
            Self::Success => Some(0),
            Self::StepFails => Some(5),
            Self::Terminated => Some(143),
            Self::Killed => None,
        };
        assert_eq!(code, expected, "{self:?}: {said}");
        said
    }
}

/// Any next start that has to do with the cache, in the place of a build.
pub(crate) fn next_start(build: &Command, cache: &Path) {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    for (name, value) in build.get_envs() {
        if let Some(value) = value {
            kiln.env(name, value);
        }
    }
    kiln.args(["cache", "report", "--cache-wait", "60s", "--cache-dir"]).arg(cache);
    let output = kiln.stdin(Stdio::null()).output().expect("kiln can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("set-id bits taken"), "{said}");
}

/// The files of a cache, itself included, that have set-id bits or a file capability, are devices, or belong to another user.
pub(crate) fn left(cache: &Path, (uid, gid): (u32, u32)) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![cache.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = path.symlink_metadata().expect("it is there");
        let kind = metadata.file_type();
        let mut add = |what: &str| found.push(format!("{}: {what}", path.display()));
        if metadata.mode() & 0o6000 != 0 {
            add(&format!("mode {:o}", metadata.mode()));
        }
        if kind.is_char_device() || kind.is_block_device() {
            add("a device");
        }
        if (metadata.uid(), metadata.gid()) != (uid, gid) {
            add(&format!("of {}:{}", metadata.uid(), metadata.gid()));
        }
        let mut attributes = xattr::list(&path).expect("listed");
        if attributes.any(|name| name.as_bytes() == b"security.capability") {
            add("a file capability");
        }
        if kind.is_dir() {
            open.extend(fs::read_dir(&path).expect("listed").map(|entry| entry.expect("listed").path()));
        }
    }
    found
}
