//! Chooses a virtiofs daemon of this machine that can serve this user.
//!
//! After it: [`crate::share`], which starts it. The Rust daemon serves any user; QEMU's old C daemon (up to QEMU 7.2) only root.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Result;
use kiln_protocol::Access;

use crate::{
    env::Env,
    exit::Failure,
    home::Home,
    host::{VERSION_LIMIT, find_program, is_executable, parse_version},
    process::{Command, Spawner},
};

/// The variable with the directory of a daemon.
const VARIABLE: &str = "QEMU_VIRTIOFS_PATH";

/// The program's name.
const PROGRAM: &str = "virtiofsd";

/// The paths of distributions, which are examined in this order, before `$PATH`.
const PATHS: [&str; 2] = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/// The oldest Rust daemon that works.
const MIN_VERSION: (u32, u32, u32) = (1, 10, 0);

/// The first Rust daemon with `--translate-uid`.
const TRANSLATES_FROM: (u32, u32, u32) = (1, 13, 0);

/// A daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Virtiofsd {
    /// The program.
    pub path: PathBuf,
    /// Its kind.
    pub kind: DaemonKind,
}

/// The two daemons of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonKind {
    /// <https://gitlab.com/virtio-fs/virtiofsd>.
    Rust {
        /// Major, minor, patch.
        version: (u32, u32, u32),
    },
    /// QEMU's own, removed with QEMU 8.0.
    C,
}

impl fmt::Display for DaemonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rust { version: (major, minor, patch) } => write!(f, "{major}.{minor}.{patch}"),
            Self::C => f.write_str("QEMU's old C daemon"),
        }
    }
}

impl DaemonKind {
    /// Whether it can map the invoking user on the host to the step's user in the guest, for any two users.
    pub fn translates_ids(self) -> bool {
        matches!(self, Self::Rust { version } if version >= TRANSLATES_FROM)
    }

    /// Whether files that the guest writes belong to the invoking user, even if the guest changes their owner. Without a translation
    /// this is so for an ordinary user, who has no other ids, and not for root.
    pub fn keeps_owners(self, service: Service) -> bool {
        match (self, service) {
            (Self::Rust { .. }, _) if self.translates_ids() => true,
            (_, Service { access: Access::ReadOnly, .. }) => true,
            (Self::Rust { .. } | Self::C, Service { uid, .. }) => uid != 0,
        }
    }
}

/// The user and the access that a daemon must serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The user that starts the daemon.
    pub uid: u32,
    /// The access of the guest.
    pub access: Access,
}

/// A daemon, and the reasons why daemons before it were skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The one to use.
    pub virtiofsd: Virtiofsd,
    /// One line for each skipped daemon.
    pub skipped: Vec<String>,
    /// A note for the user on the daemon to use.
    pub note: Option<String>,
}

/// Looks in `$QEMU_VIRTIOFS_PATH` (a directory), the two paths of distributions, `$PATH` and `$KILN_HOME/bin`. A daemon that lets
/// the guest choose owners on the host is used only if the variable names it, or if there is no other.
pub async fn find(env: &Env, home: &Home, spawner: &Spawner, service: Service) -> Result<Found> {
    let is_named = env.path(VARIABLE).is_some();
    let mut examined = Vec::new();
    for path in candidates(env, home)? {
        let kind = examine(&path, spawner, service).await;
        examined.push((path, kind));
        if is_best(&examined, service, is_named) {
            break;
        }
    }
    choose(&examined, service, is_named).ok_or_else(|| {
        let lines: Vec<String> = examined.iter().map(|(path, kind)| skipped(path, kind)).collect();
        Failure::host(
            format!("no virtiofsd can be used ({})", lines.join("; ")),
            "apt-get install virtiofsd (Debian 13, Ubuntu 24.04), or images/setup.sh virtiofsd, or name the directory of another in QEMU_VIRTIOFS_PATH.",
        )
        .into()
    })
}

/// A program, and its kind, or the reason why it cannot serve.
type Examined = (PathBuf, Result<DaemonKind, String>);

/// Whether the last daemon is to be used without a look at later ones.
fn is_best(examined: &[Examined], service: Service, is_named: bool) -> bool {
    let is_first = examined.len() == 1;
    let last = examined.last().and_then(|(_, kind)| kind.as_ref().ok());
    last.is_some_and(|kind| kind.keeps_owners(service) || (is_named && is_first))
}

/// The last daemon if it is the best, else the first that can serve.
fn choose(examined: &[Examined], service: Service, is_named: bool) -> Option<Found> {
    let can_serve = |(_, kind): &Examined| kind.is_ok();
    let at = if is_best(examined, service, is_named) {
        examined.len() - 1
    } else {
        examined.iter().position(can_serve)?
    };
    let (path, Ok(kind)) = &examined[at] else { return None };
    let skipped = examined[..at].iter().map(|(path, kind)| skipped(path, kind)).collect();
    let note = (!kind.keeps_owners(service)).then(|| {
        format!(
            "{} ({kind}) lets the guest change owners of files on the host: kiln changes them back at the end of the build",
            path.display()
        )
    });
    Some(Found { virtiofsd: Virtiofsd { path: path.clone(), kind: *kind }, skipped, note })
}

fn skipped(path: &Path, kind: &Result<DaemonKind, String>) -> String {
    match kind {
        Ok(kind) => {
            format!("{}: {kind} lets the guest change owners of files on the host", path.display())
        }
        Err(why) => format!("{}: {why}", path.display()),
    }
}

/// Every existing daemon in the order of the search, with its kind, or the reason why it cannot serve.
///
/// # Errors
/// For a `QEMU_VIRTIOFS_PATH` without a daemon.
pub async fn find_all(
    env: &Env,
    home: &Home,
    spawner: &Spawner,
    service: Service,
) -> Result<Vec<(PathBuf, Result<DaemonKind, String>)>> {
    let mut all = Vec::new();
    for path in candidates(env, home)?.into_iter().filter(|path| path.exists()) {
        let kind = examine(&path, spawner, service).await;
        all.push((path, kind));
    }
    Ok(all)
}

fn candidates(env: &Env, home: &Home) -> Result<Vec<PathBuf>, Failure> {
    let mut candidates = Vec::new();
    if let Some(dir) = env.path(VARIABLE) {
        let program = dir.join(PROGRAM);
        if dir.is_file() {
            return Err(Failure::host(
                format!("QEMU_VIRTIOFS_PATH names the program {}, and takes its directory", dir.display()),
                format!("Set it to {}.", dir.parent().unwrap_or(Path::new("/")).display()),
            ));
        }
        if !program.exists() {
            return Err(Failure::host(
                format!("QEMU_VIRTIOFS_PATH names {}, where there is no {PROGRAM}", dir.display()),
                "Set it to the directory that has virtiofsd, or unset it.",
            ));
        }
        candidates.push(program);
    }
    candidates.extend(PATHS.map(PathBuf::from));
    candidates.push(find_program(env, PROGRAM).unwrap_or_else(|| Path::new("$PATH").join(PROGRAM)));
    candidates.push(home.root().join("bin").join(PROGRAM));
    Ok(candidates)
}

async fn examine(path: &Path, spawner: &Spawner, service: Service) -> Result<DaemonKind, String> {
    if !path.exists() {
        return Err("is not there".into());
    }
    if !is_executable(path) {
        return Err("cannot be executed".into());
    }
    let output = spawner.output(Command::new(path).arg("--version"), VERSION_LIMIT).await;
    let output = output.map_err(|error| format!("{error:#}"))?;
    let text = [output.stdout, output.stderr].concat();
    classify(&String::from_utf8_lossy(&text), service)
}

/// The kind of a daemon with this output of `--version`, or the reason why it cannot serve.
fn classify(output: &str, service: Service) -> Result<DaemonKind, String> {
    let line = output.lines().next().unwrap_or_default();
    match parse_version(output) {
        // Only the C daemon names the QEMU project.
        Some(_) if output.contains("QEMU") => match service {
            Service { uid: 0, access: Access::ReadWrite } => Ok(DaemonKind::C),
            Service { uid: 0, access: Access::ReadOnly } => {
                Err("is QEMU's old C daemon, which cannot serve read-only".into())
            }
            Service { .. } => Err("is QEMU's old C daemon, which serves root only".into()),
        },
        Some(version) if line.starts_with(PROGRAM) && version >= MIN_VERSION => {
            Ok(DaemonKind::Rust { version })
        }
        Some((major, minor, _)) if line.starts_with(PROGRAM) => {
            Err(format!("is version {major}.{minor}, older than {}.{}", MIN_VERSION.0, MIN_VERSION.1))
        }
        Some(_) | None => Err(format!("does not say what it is: {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: &str = "virtiofsd version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022 Fabrice Bellard and \
                     the QEMU Project developers\nusing FUSE kernel interface version 7.36\n";

    #[test]
    fn daemons_are_classified_by_their_version_output() {
        let as_uid = |uid| Service { uid, access: Access::ReadWrite };
        assert_eq!(
            classify("virtiofsd 1.14.0\n", as_uid(1000)),
            Ok(DaemonKind::Rust { version: (1, 14, 0) })
        );
        assert_eq!(classify("virtiofsd 1.10.0\n", as_uid(0)), Ok(DaemonKind::Rust { version: (1, 10, 0) }));
        assert_eq!(classify(C, as_uid(0)), Ok(DaemonKind::C));
        assert_eq!(
            classify(C, Service { uid: 0, access: Access::ReadOnly }),
            Err("is QEMU's old C daemon, which cannot serve read-only".into())
        );
        for (output, uid, why) in [
            (C, 1000, "is QEMU's old C daemon, which serves root only"),
            ("virtiofsd 1.9.2\n", 0, "is version 1.9, older than 1.10"),
            ("hello\n", 0, "does not say what it is: \"hello\""),
            ("", 0, "does not say what it is: \"\""),
        ] {
            assert_eq!(classify(output, as_uid(uid)), Err(why.into()));
        }
    }

    #[test]
    fn ids_are_translated_from_1_13_on() {
        assert!(DaemonKind::Rust { version: (1, 13, 0) }.translates_ids());
        assert!(!DaemonKind::Rust { version: (1, 12, 9) }.translates_ids());
        assert!(!DaemonKind::C.translates_ids());
        assert!(
            DaemonKind::C.keeps_owners(Service { uid: 0, access: Access::ReadOnly }),
            "nothing is written"
        );
    }

    #[test]
    fn a_daemon_that_lets_the_guest_choose_owners_is_used_only_if_named_or_alone() {
        let rust = |minor| Ok(DaemonKind::Rust { version: (1, minor, 0) });
        let absent = || Err("is not there".to_owned());
        for (kinds, uid, is_named, chosen, lines) in [
            (vec![absent(), Ok(DaemonKind::C), absent(), rust(14)], 0, false, Some((3, false)), 3),
            (vec![rust(12), rust(13)], 0, false, Some((1, false)), 1),
            (vec![Ok(DaemonKind::C), rust(14)], 0, true, Some((0, true)), 0),
            (vec![absent(), Ok(DaemonKind::C), rust(10)], 0, true, Some((1, true)), 1),
            (vec![absent(), Ok(DaemonKind::C), rust(10)], 0, false, Some((1, true)), 1),
            // An ordinary user has one id.
            (vec![rust(10), rust(14)], 1000, false, Some((0, false)), 0),
            (vec![absent()], 0, false, None, 0),
        ] {
            let service = Service { uid, access: Access::ReadWrite };
            let mut examined = Vec::new();
            for (at, kind) in kinds.into_iter().enumerate() {
                examined.push((PathBuf::from(format!("/{at}")), kind));
                if is_best(&examined, service, is_named) {
                    break;
                }
            }
            let found = choose(&examined, service, is_named);
            let path = |at: usize| PathBuf::from(format!("/{at}"));
            assert_eq!(
                found.as_ref().map(|found| (found.virtiofsd.path.clone(), found.note.is_some())),
                chosen.map(|(at, note)| (path(at), note)),
                "{examined:?}"
            );
            assert_eq!(found.map_or(0, |found| found.skipped.len()), lines, "{examined:?}");
        }
    }

    #[test]
    fn the_directory_of_the_variable_comes_first_and_must_have_a_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let env: Env = [("QEMU_VIRTIOFS_PATH", dir.path())].into_iter().collect();
        let home = Home::at("/home");
        let failure = candidates(&env, &home).unwrap_err();
        assert!(failure.what.contains(&dir.path().display().to_string()), "{}", failure.what);
        std::fs::write(dir.path().join("virtiofsd"), "").unwrap();
        let paths = candidates(&env, &home).unwrap();
        let others =
            ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "$PATH/virtiofsd", "/home/bin/virtiofsd"];
        assert_eq!(paths[0], dir.path().join("virtiofsd"));
        assert_eq!(paths[1..], others.map(PathBuf::from));
        let env: Env = [("QEMU_VIRTIOFS_PATH", dir.path().join("virtiofsd"))].into_iter().collect();
        let failure = candidates(&env, &home).unwrap_err();
        assert!(failure.what.ends_with("and takes its directory"), "{}", failure.what);
        assert_eq!(failure.way_out, format!("Set it to {}.", dir.path().display()));
    }
}
