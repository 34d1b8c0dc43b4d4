//! Making an erofs image: a root is put together in a staging directory, then packed.
//!
//! Before it: [`super::store`] holds the entry's lock and gives an empty file to fill. After it: the store keeps the
//! file. Tars are unpacked and packages' scripts run in a jail ([`crate::process::Jail`]), whose range of ids also gives
//! files their owners without root; for an ordinary user without a range, a tar is unpacked under `fakeroot`. The file to
//! fill is descriptor 3, since a jail cannot enter the store.
//!
//! A Debian root takes three jails: apt fetches the packages with the host's network, and none of their scripts; they are
//! installed without a network; the root is packed.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe::Receiver,
};

use super::{
    debian,
    resolve_ref::Compression,
    scripts::{APT, IN_RELEASE, MMDEBSTRAP, NAMES, PACK, RELEASE, ROOT, TIDY, UNPACK, UPDATE},
    staging::Staging,
};
use crate::{
    event::{Event, Sink},
    exit::Failure,
    plan::{DebianRoot, ImageRecipe, ImageSource as Source},
    process::{Command, ExitStatus, JAIL_DIRECTORY, Jail, JailNetwork, Output, Spawner, Stdio},
};

/// Directories that are empty in every image: the agent mounts over them.
pub(super) const EMPTY: [&str; 5] = ["dev", "proc", "sys", "run", "tmp"];

/// The files of the host that makers see besides their own directory: programs, and files that these and a resolver read. All
/// are public and read-only.
const READ_ONLY: [&str; 30] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/apt/keyrings",
    "/etc/crypto-policies",
    "/etc/debian_version",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];

/// Directories that apt needs, empty: an image takes no settings and keys of the host.
const HIDDEN: [&str; 2] = ["/etc/apt/apt.conf.d", "/etc/apt/trusted.gpg.d"];

/// The files that a maker writes, and its working directory.
pub(super) struct ImageBuild<'a> {
    /// The recipe.
    pub(super) recipe: &'a ImageRecipe,
    /// The empty file that becomes the image.
    pub(super) image: &'a File,
    /// An empty file for the origin of the root: lines `inrelease HASH`, then `package version`.
    pub(super) details: &'a File,
    /// The staging directory; does not exist yet.
    pub(super) staging: &'a Path,
    /// Variables of kiln's environment that apt and mmdebstrap know.
    pub(super) variables: &'a [(OsString, OsString)],
    /// Starts the makers.
    pub(super) spawner: &'a Spawner,
}

/// The exit status of a shell that does not find a program.
const NOT_FOUND: i32 = 127;
/// A jail starts in milliseconds.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

impl ImageBuild<'_> {
    /// Fills the image; the output of the makers becomes events.
    pub(super) async fn run(&self, sink: &mut dyn Sink) -> Result<()> {
        match &self.recipe.source {
            // The user's own tree: none of its programs run.
            Source::Directory(path) => return self.pack_directory(path, sink).await,
            Source::Tar(_) | Source::Debian(_) => {}
            Source::Apk(_) => bail!("a root of apk's packages is composed, not built"),
        }
        let staging = Staging::make(self.staging, self.spawner)?;
        let made = match &self.recipe.source {
            Source::Directory(_) | Source::Apk(_) => Ok(()),
            Source::Tar(path) => self.unpack_tar(path, &staging, sink).await,
            Source::Debian(root) => self.install_debian(root, &staging, sink).await,
        };
        made.and(staging.remove())
    }

    async fn pack_directory(&self, root: &Path, sink: &mut dyn Sink) -> Result<()> {
        let mut command = Command::new("mkfs.erofs").arg("--quiet");
        command = command.args(["--exclude-regex", &format!("^({})/", EMPTY.join("|"))]);
        if !geteuid().is_root() {
            note(sink, "the image's files belong to root: an ordinary user cannot set other owners");
            command = command.arg("--all-root");
        }
        let command = command.arg("/proc/self/fd/3").arg(root).fd(copy(self.image)?, 3);
        self.maker("mkfs.erofs", command, sink).await
    }

    async fn unpack_tar(&self, tar: &Path, staging: &Staging, sink: &mut dyn Sink) -> Result<()> {
        // A jail's root may not be allowed to open the file: it gets a descriptor.
        let file = File::open(tar).with_context(|| format!("open {}", tar.display()))?;
        let mut head = [0; 6];
        let read = file.read_at(&mut head, 0).with_context(|| format!("read {}", tar.display()))?;
        let script = format!("{ROOT}{UNPACK}{PACK}");
        let command = match (self.try_jail(staging).await, geteuid().is_root()) {
            (Ok(()), _) => jailed(staging, JailNetwork::None, &script),
            (Err(error), true) => return Err(error),
            (Err(_), false) => {
                note(
                    sink,
                    "the tar is unpacked under fakeroot: this user has no user namespace with a range of ids",
                );
                let script = format!("cd \"$1\"\nshift\n{script}");
                sh(Command::new("fakeroot").args(["--", "sh"]), &script).arg(staging.path())
            }
        };
        let command = command.args(decompressor(&head[..read])).stdin(Stdio::File(file.into()));
        self.maker("tar", command.fd(copy(self.image)?, 3), sink).await
    }

    async fn install_debian(&self, root: &DebianRoot, staging: &Staging, sink: &mut dyn Sink) -> Result<()> {
        self.try_jail(staging).await?;
        let sources = debian::sources(root, &debian::Mirror::of_host());
        let (arch, work) = (self.recipe.arch.as_str(), Path::new(JAIL_DIRECTORY));
        note(sink, "fetch the packages");
        let arguments = debian::fetching(root, arch, &work.join("seed"), &sources);
        let command = jailed(staging, JailNetwork::Host, &format!("{IN_RELEASE}{MMDEBSTRAP}{RELEASE}"));
        let command = command.args(arguments).fd(copy(self.details)?, 4);
        self.maker("mmdebstrap", command.envs(self.variables.iter().cloned()), sink).await?;
        let arguments = debian::installing(root, arch, &work.join("root"), &sources);
        let command = jailed(staging, JailNetwork::None, MMDEBSTRAP).args(arguments);
        let epoch = self.variables.iter().filter(|(name, _)| name == "SOURCE_DATE_EPOCH");
        self.maker("mmdebstrap", command.envs(epoch.cloned()), sink).await?;
        note(sink, "pack the image");
        let command = jailed(staging, JailNetwork::None, &format!("{TIDY}{PACK}"));
        self.maker("mkfs.erofs", command.fd(copy(self.image)?, 3).fd(copy(self.details)?, 4), sink).await
    }

    /// Tries to start a jail.
    pub(super) async fn try_jail(&self, staging: &Staging) -> Result<()> {
        let output = self.spawner.output(jailed(staging, JailNetwork::None, "exit"), PROBE_LIMIT).await?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let way_out = match geteuid().is_root() {
            true => {
                "Allow user namespaces (sysctl user.max_user_namespaces), in a container also its seccomp profile and \
                     AppArmor; or make the root elsewhere and give its directory with --image."
            }
            false => {
                "Give the user a range (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, package \
                      uidmap), allow user namespaces, or make the image as root."
            }
        };
        let what =
            "an image cannot be made here: its packages' scripts run in a user namespace with a range of ids";
        Err(Failure::host(format!("{what}, and {why}"), way_out).into())
    }

    /// Runs a maker; its lines become events, the last ones the text of an error.
    pub(super) async fn maker(&self, name: &str, command: Command, sink: &mut dyn Sink) -> Result<()> {
        let (read, write) = std::io::pipe().context("make a pipe")?;
        let second = write.try_clone().context("make a pipe")?;
        let command = command.stdout(Stdio::File(write.into())).stderr(Stdio::File(second.into()));
        let mut child = self.spawner.spawn(command)?;
        let mut last = LastLines::default();
        let pipe = Receiver::from_owned_fd(read.into()).context("read the output of a maker")?;
        let mut lines = BufReader::new(pipe).split(b'\n');
        let say = async {
            while let Some(line) =
                lines.next_segment().await.with_context(|| format!("read the output of {name}"))?
            {
                last.push(&line, sink);
            }
            Ok(())
        };
        // A process that a maker leaves behind holds the pipe; it ends with the maker.
        let ((), status) = tokio::try_join!(say, child.wait())?;
        if status.success() {
            return Ok(());
        }
        if status == ExitStatus::Code(NOT_FOUND) {
            let what =
                format!("image {} cannot be made: a program is missing: {}", self.recipe, last.joined());
            return Err(Failure::host(what, "apt-get install mmdebstrap erofs-utils").into());
        }
        Err(Failure::host(
            format!("image {} cannot be made: {name}: {status}: {}", self.recipe, last.joined()),
            "Its output has the reason; names of packages and suites are Debian's.",
        )
        .into())
    }
}

pub(super) fn note(sink: &mut dyn Sink, text: &str) {
    sink.emit(Event::Note { text: text.into() });
}

pub(super) fn copy(file: &File) -> Result<OwnedFd> {
    file.try_clone().map(Into::into).context("duplicate a descriptor")
}

/// tar recognises compression by itself only where it can seek.
fn decompressor(head: &[u8]) -> Option<&'static str> {
    match Compression::of(head) {
        Some(Compression::Gzip) => Some("--gzip"),
        Some(Compression::Xz) => Some("--xz"),
        Some(Compression::Zstd) => Some("--zstd"),
        None => None,
    }
}

/// `sh` with a script in the writable directory of a jail; the next argument is its `$1`.
pub(super) fn jailed(staging: &Staging, network: JailNetwork, script: &str) -> Command {
    let jail = Jail {
        staging: staging.path().into(),
        read_only: READ_ONLY.map(PathBuf::from).into(),
        empty: HIDDEN.map(PathBuf::from).into(),
        network,
    };
    let command = sh(Command::new("sh"), &format!("cd {JAIL_DIRECTORY}\n{script}"));
    command.env("HOME", JAIL_DIRECTORY).env("LC_ALL", "C.UTF-8").jail(jail)
}

fn sh(command: Command, script: &str) -> Command {
    command.args(["-euc", script, "sh"])
}

/// A warning of mmdebstrap that would alarm for nothing: it runs in a jail, which does not see the host's files.
const JAILED: &str = "W: running chrootless mode as root might damage the host system";

/// The last lines of a maker.
#[derive(Default)]
struct LastLines(VecDeque<String>);

impl LastLines {
    /// Enough to see why.
    const COUNT: usize = 8;

    fn push(&mut self, line: &[u8], sink: &mut dyn Sink) {
        let line = String::from_utf8_lossy(line);
        // Progress bars rewrite their line.
        let text = line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default().trim_end();
        if text.is_empty() {
            return;
        }
        if self.0.len() == Self::COUNT {
            self.0.pop_front();
        }
        self.0.push_back(text.into());
        if text != JAILED {
            note(sink, text);
        }
    }

    fn joined(self) -> String {
        Vec::from(self.0).join("\n")
    }
}

/// A request to a distribution, without an installation.
pub(super) struct AptQuery<'a> {
    pub(super) root: &'a DebianRoot,
    pub(super) arch: &'a str,
    /// A staging directory; does not exist yet.
    pub(super) staging: &'a Path,
    /// Variables of kiln's environment that apt knows.
    pub(super) variables: &'a [(OsString, OsString)],
    pub(super) spawner: &'a Spawner,
}

impl AptQuery<'_> {
    /// One hash over the distribution's InRelease files of now, as an [`ImageBuild`] notes it: apt fetches and verifies them in a
    /// jail.
    pub(super) async fn in_release(&self) -> Result<String> {
        let output = self.run(&format!("{IN_RELEASE}{APT}{UPDATE}"), None).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let hash = text.lines().find_map(|line| line.strip_prefix("inrelease "));
        match hash {
            Some(hash) if output.status.success() => Ok(hash.to_owned()),
            Some(_) | None => Err(no_answer(&output)),
        }
    }

    /// The names of all packages and of all that they provide, in a file: apt fetches and verifies the indexes in a jail.
    pub(super) async fn names(&self) -> Result<File> {
        let file = tempfile::tempfile().context("make a file for the names of packages")?;
        let output = self.run(&format!("{APT}{NAMES}"), Some(copy(&file)?)).await?;
        if output.status.success() { Ok(file) } else { Err(no_answer(&output)) }
    }

    async fn run(&self, script: &str, names: Option<OwnedFd>) -> Result<Output> {
        let Self { root, arch, staging, variables, spawner } = self;
        let staging = Staging::make(staging, spawner)?;
        let sources = debian::sources(root, &debian::Mirror::of_host());
        let command = jailed(&staging, JailNetwork::Host, script);
        let command = command.arg(arch).arg(debian::KEYRING).args(sources);
        let command = command.envs(variables.iter().cloned());
        let command = match names {
            Some(names) => command.fd(names, 4),
            None => command,
        };
        let output = spawner.output(command, APT_LIMIT).await;
        staging.remove()?;
        output
    }
}

fn no_answer(output: &Output) -> anyhow::Error {
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let way_out = "Check the network, or leave --refresh out to use the image as it is.";
    Failure::host(format!("the distribution does not answer: {said}"), way_out).into()
}

/// Some hundred KB, or ten MB; apt has its own time-outs and retries within.
const APT_LIMIT: Duration = Duration::from_secs(180);

/// The lines about a root's origin that the jails wrote, up to a limit.
pub(super) fn read_details(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).context("read the details")?;
    file.take(DETAILS_LIMIT_BYTES).read_to_end(&mut bytes).context("read the details")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// All of Debian's packages take 2 MB.
const DETAILS_LIMIT_BYTES: u64 = 16 << 20;
