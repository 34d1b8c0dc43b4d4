//! Making an erofs image: a root is put together in a staging directory, then packed.
//!
//! Before it: [`super::store`] holds the entry's lock and gives an empty file to fill. After it: the store keeps the
//! file. Ownership must be right without root: an ordinary user's root is put together in a user namespace of
//! `mmdebstrap`'s (`--unshare-helper`), or, for a tar where there is none, under `fakeroot`. The file to fill is handed
//! over as descriptor 3, since the namespace's root cannot enter the store.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::unistd::geteuid;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe::Receiver,
};

use super::{debian, locate::Compression};
use crate::{
    event::{Event, Sink},
    exit::Failure,
    plan::{ImageRecipe, ImageSource as Source},
    process::{Command, Spawner, Stdio},
};

/// Directories that are empty in every image: the agent mounts over them.
pub(super) const EMPTY: [&str; 5] = ["dev", "proc", "sys", "run", "tmp"];

/// Packs the working directory into descriptor 3. Not compressed: a guest without KVM would pay for it at each read.
/// Times are kept (Python's caches are valid for one modification time); the UUID is fixed, nothing looks at it.
const PACK: &str = r#"
for directory in dev proc sys run tmp; do rm -rf "./$directory"; mkdir -m 755 "./$directory"; done
chmod 1777 tmp
mkfs.erofs --quiet -U 6b696c6e-0000-4000-8000-000000000000 /proc/self/fd/3 .
"#;

/// Unpacks the tar `$1` below the working directory. GNU tar refuses `..`, strips leading slashes, and makes links that
/// lead elsewhere only when all else is unpacked, so that no entry passes through one.
const UNPACK: &str = r#"
tar --extract --file - "$@" --numeric-owner --same-owner --same-permissions --xattrs --xattrs-include='*' --exclude='./dev/*' --anchored --exclude='dev/*'
"#;

/// Takes a Debian root apart from what belongs to the host or to apt; says to descriptor 4 what it was made of.
const TIDY: &str = r#"
in_release var/lib/apt/lists >&4
dpkg-query --admindir=./var/lib/dpkg --show --showformat '${Package} ${Version}\n' >&4
rm -rf var/lib/apt/lists var/cache/apt var/log/apt var/log/bootstrap.log var/log/dpkg.log var/log/alternatives.log
mkdir -p var/lib/apt/lists var/cache/apt
rm -f etc/resolv.conf etc/hostname etc/machine-id etc/hosts
: > etc/machine-id
printf '127.0.0.1 localhost\n::1 localhost\n' > etc/hosts
"#;

/// One hash over the InRelease files below `$1`, in the order of their names.
const IN_RELEASE: &str = r#"
in_release() { for file in "$1"/*_InRelease; do sha256sum < "$file"; done | sha256sum | sed 's/^/inrelease /; s/ *-$//'; }
"#;

/// What a maker writes to, and where it works.
pub(super) struct Job<'a> {
    /// The recipe.
    pub(super) recipe: &'a ImageRecipe,
    /// The empty file that becomes the image.
    pub(super) image: &'a File,
    /// An empty file for what the root was made of, a line each: `inrelease HASH`, then `package version`.
    pub(super) details: &'a File,
    /// The staging directory; does not exist yet.
    pub(super) staging: &'a Path,
    /// Starts the makers.
    pub(super) spawner: &'a Spawner,
}

/// How files get owners other than the one who makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ownership {
    /// kiln is root.
    Root,
    /// In a user namespace with the user's range of `/etc/subuid`.
    Namespace,
    /// `fakeroot` remembers them.
    Fake,
}

impl Ownership {
    /// What goes before a command.
    fn prefix(self) -> &'static [&'static str] {
        match self {
            Self::Root => &[],
            Self::Namespace => &["mmdebstrap", "--unshare-helper"],
            Self::Fake => &["fakeroot", "--"],
        }
    }

    /// What this user has here: asks by trying.
    async fn find(spawner: &Spawner) -> Result<Self> {
        if geteuid().is_root() {
            return Ok(Self::Root);
        }
        let trial = Command::new("mmdebstrap").args(["--unshare-helper", "true"]);
        match spawner.output(trial, PROBE_LIMIT).await {
            Ok(output) if output.status.success() => Ok(Self::Namespace),
            // Whatever the reason, the other way is the answer to it.
            Ok(_) | Err(_) => Ok(Self::Fake),
        }
    }
}

/// A namespace is made at once, or not at all.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

impl Job<'_> {
    /// Fills the image; what the makers print becomes events.
    pub(super) async fn run(&self, sink: &mut dyn Sink) -> Result<()> {
        match &self.recipe.source {
            Source::Directory(path) => self.pack_directory(path, sink).await,
            Source::Tar(path) => self.unpack_tar(path, sink).await,
            Source::Debian { suite } => self.install_debian(suite, sink).await,
        }
    }

    async fn pack_directory(&self, root: &Path, sink: &mut dyn Sink) -> Result<()> {
        let mut command = Command::new("mkfs.erofs").arg("--quiet");
        command = command.args(["--exclude-regex", &format!("^({})/", EMPTY.join("|"))]);
        if !geteuid().is_root() {
            note(sink, "the image's files belong to root: an ordinary user cannot know whom else");
            command = command.arg("--all-root");
        }
        self.maker(command.arg("/proc/self/fd/3").arg(root), sink).await
    }

    async fn unpack_tar(&self, tar: &Path, sink: &mut dyn Sink) -> Result<()> {
        let ownership = Ownership::find(self.spawner).await?;
        let root = self.make_staging(ownership).await?;
        // The namespace's root may not be allowed to open the file: it is handed over, too.
        let file = File::open(tar).with_context(|| format!("open {}", tar.display()))?;
        let mut head = [0; 6];
        let read = file.read_at(&mut head, 0).with_context(|| format!("read {}", tar.display()))?;
        let command = shell(ownership, &format!("{UNPACK}{PACK}"), &root).args(decompressor(&head[..read]));
        let made = self.maker(command.stdin(Stdio::File(file.into())), sink).await;
        let removed = remove_tree(self.spawner, self.staging).await;
        made.and(removed)
    }

    async fn install_debian(&self, suite: &str, sink: &mut dyn Sink) -> Result<()> {
        let ownership = Ownership::find(self.spawner).await?;
        if ownership == Ownership::Fake {
            return Err(Failure::host(
                "an ordinary user cannot make a Debian image here: no user namespace with a range of ids",
                "Give the user one (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, package uidmap), \
                 allow user namespaces, or make the image as root.",
            )
            .into());
        }
        let root = self.make_staging(ownership).await?;
        let mode = if ownership == Ownership::Root { "root" } else { "unshare" };
        let made = self.install_and_pack(suite, mode, ownership, &root, sink).await;
        let removed = remove_tree(self.spawner, self.staging).await;
        made.and(removed)
    }

    async fn install_and_pack(
        &self,
        suite: &str,
        mode: &str,
        ownership: Ownership,
        root: &Path,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let sources = debian::sources(suite, &self.recipe.repositories, &debian::Mirror::of_host());
        let arguments = debian::arguments(self.recipe, suite, mode, root, &sources);
        // Its own temporary files, too, shall go when the staging directory goes.
        let command = Command::new("mmdebstrap").args(arguments).env("TMPDIR", self.staging);
        self.maker(command, sink).await?;
        note(sink, "pack the image");
        let details = self.details.try_clone().context("hand over the file for details")?;
        let command = shell(ownership, &format!("{TIDY}{PACK}"), root).fd(details.into(), 4);
        self.maker(command, sink).await
    }

    /// Makes the staging directory and `root` in it, owned by who will fill it.
    async fn make_staging(&self, ownership: Ownership) -> Result<PathBuf> {
        // Root's staging may hold set-uid programs of root; a namespace's root must be able to pass.
        let mode = if ownership == Ownership::Namespace { 0o711 } else { 0o700 };
        let context = || format!("make {}", self.staging.display());
        DirBuilder::new().mode(mode).create(self.staging).with_context(context)?;
        let root = self.staging.join("root");
        DirBuilder::new().mode(0o755).create(&root).with_context(context)?;
        if ownership == Ownership::Namespace {
            // The user's own id does not exist in the namespace: there, everyone may write for a moment.
            fs::set_permissions(self.staging, PermissionsExt::from_mode(0o1777)).with_context(context)?;
            fs::remove_dir(&root).with_context(context)?;
            let mut command = prefixed(ownership);
            command = command.args(["mkdir", "-m", "755"]).arg(&root);
            let output = self.spawner.output(command, PROBE_LIMIT).await?;
            anyhow::ensure!(output.status.success(), "make {} in a user namespace", root.display());
        }
        Ok(root)
    }

    /// Runs a maker with the image as descriptor 3; its lines become events, its last ones the error.
    async fn maker(&self, command: Command, sink: &mut dyn Sink) -> Result<()> {
        let name = command.program_name();
        let image = self.image.try_clone().context("hand over the image")?;
        let (read, write) = std::io::pipe().context("make a pipe")?;
        let second = write.try_clone().context("make a pipe")?;
        let command =
            command.fd(image.into(), 3).stdout(Stdio::File(write.into())).stderr(Stdio::File(second.into()));
        let mut child = self.spawner.spawn(command)?;
        let mut last = LastLines::default();
        let pipe = Receiver::from_owned_fd(read.into()).context("read what makers say")?;
        let mut lines = BufReader::new(pipe).split(b'\n');
        let say = async {
            while let Some(line) =
                lines.next_segment().await.with_context(|| format!("read what {name} says"))?
            {
                last.push(&line, sink);
            }
            Ok(())
        };
        // What a maker leaves behind holds the pipe: its end ends that, too.
        let ((), status) = tokio::try_join!(say, child.wait())?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::host(
            format!("image {} cannot be made: {name}: {status}: {}", self.recipe, last.joined()),
            "Its output says why; names of packages and suites are Debian's.",
        )
        .into())
    }
}

fn note(sink: &mut dyn Sink, text: &str) {
    sink.emit(Event::Note { text: text.into() });
}

fn prefixed(ownership: Ownership) -> Command {
    match ownership.prefix() {
        [] => Command::new("env").arg("--"),
        [program, rest @ ..] => Command::new(*program).args(rest.iter().copied()),
    }
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

/// `sh -c script` in `root`; the next argument is its `$1`.
fn shell(ownership: Ownership, script: &str, root: &Path) -> Command {
    let script = format!("set -eu\n{IN_RELEASE}cd {}\n{script}", debian::quoted(root));
    prefixed(ownership).args(["sh", "-c"]).arg(OsString::from(script)).arg("sh")
}

/// Removes a staging directory, whoever owns what is in it; one that is not there is no error.
pub(super) async fn remove_tree(spawner: &Spawner, staging: &Path) -> Result<()> {
    match fs::remove_dir_all(staging) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {} // Files of other ids: those that the namespace knows.
    }
    let command = prefixed(Ownership::Namespace)
        .args(["rm", "-rf", "--one-file-system", "--"])
        .arg(staging.join("root"));
    spawner.output(command, REMOVAL_LIMIT).await.with_context(|| format!("remove {}", staging.display()))?;
    fs::remove_dir_all(staging).with_context(|| format!("remove {}", staging.display()))
}

/// Some 100,000 files on a slow disk.
const REMOVAL_LIMIT: Duration = Duration::from_secs(300);

/// The end of what a maker said.
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
        note(sink, text);
    }

    fn joined(self) -> String {
        Vec::from(self.0).join("\n")
    }
}

/// One hash over what the distribution's InRelease files say now, as a [`Job`] writes it down: apt fetches and verifies
/// them into a directory of its own.
pub(super) async fn in_release(
    suite: &str,
    recipe: &ImageRecipe,
    scratch: &Path,
    spawner: &Spawner,
) -> Result<String> {
    let directory = tempfile::Builder::new()
        .prefix("kiln-apt-")
        .tempdir_in(scratch)
        .with_context(|| format!("make a directory in {}", scratch.display()))?;
    let root = directory.path();
    let sources = debian::sources(suite, &recipe.repositories, &debian::Mirror::of_host());
    fs::write(root.join("sources.list"), sources.join("\n") + "\n").context("write sources.list")?;
    let script = format!("{APT_UPDATE}in_release lists");
    let command = shell(Ownership::Root, &script, root).arg(&recipe.arch).arg(debian::KEYRING);
    let output = spawner.output(command, APT_LIMIT).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = text.lines().find_map(|line| line.strip_prefix("inrelease "));
    match hash {
        Some(hash) if output.status.success() => Ok(hash.to_owned()),
        Some(_) | None => Err(Failure::host(
            format!("the distribution cannot be asked: {}", String::from_utf8_lossy(&output.stderr).trim()),
            "Check the network, or leave --refresh out to use the image as it is.",
        )
        .into()),
    }
}

/// Some hundred KB; apt has its own time-outs and retries within.
const APT_LIMIT: Duration = Duration::from_secs(180);

/// apt-get in the working directory, without indexes: only the InRelease files of `sources.list`.
const APT_UPDATE: &str = r#"
mkdir -p lists/partial cache state
apt-get -o Dir="$PWD" -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
  -o Dir::State="$PWD/state" -o Dir::State::Lists="$PWD/lists" -o Dir::State::Status=/dev/null -o Dir::Cache="$PWD/cache" \
  -o Dir::Etc::Trusted="$2" -o Dir::Etc::TrustedParts=/dev/null -o APT::Architecture="$1" -o APT::Architectures="$1" \
  -o Acquire::Languages=none -o Acquire::IndexTargets::deb::Packages::DefaultEnabled=false -o APT::Sandbox::User= \
  -o APT::Update::Error-Mode=any update >&2
"#;
