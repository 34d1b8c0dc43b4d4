//! `kiln doctor`: what this host can do, what it lacks, and the command that mends it.
//!
//! Before it: the command line, and the kernel that builds would boot. After it: whoever prints the lines. It changes nothing
//! but the accelerator's verdict unless it is to mend what it can ([`fix`]), and each of its probes has a deadline.

mod fix;
mod isolation;
mod rights;

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use kiln_protocol::Access;
use serde::Serialize;

pub use isolation::Isolation;

use crate::{
    backend::{
        docker::probe::{self as docker, Docker},
        qemu::{accelerator, probe::Qemu},
    },
    cli::DoctorArgs,
    env::Env,
    exit::{Code, way_out_of},
    home::Home,
    host::{Host, allow_namespaces, find_program},
    image::Kernel,
    plan::AcceleratorOption,
    process::{Command, Spawner, user_namespaces_usable},
    report,
    share::virtiofsd::{self, Kind, Service},
};

/// For a program that prints its version.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is there and works.
    Ok,
    /// Builds run without it: slower, or with fewer choices.
    Warning,
    /// Builds cannot run.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What mends it.
    pub mend: Option<String>,
    /// Of a backend: what it keeps apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

impl Finding {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), mend: None, isolation: None }
    }

    fn gap(name: &'static str, state: State, detail: impl Into<String>, mend: &str) -> Self {
        let mend = (!mend.is_empty()).then(|| mend.into());
        Self { name, state, detail: detail.into(), mend, isolation: None }
    }

    fn of_error(name: &'static str, state: State, error: &anyhow::Error) -> Self {
        Self::gap(name, state, format!("{error:#}"), way_out_of(error).unwrap_or_default())
    }
}

/// Where to look.
#[derive(Debug)]
pub struct Examination<'a> {
    /// The variables.
    pub env: &'a Env,
    /// kiln's directory.
    pub home: &'a Home,
    /// The machine.
    pub host: &'a Host,
    /// What asks programs.
    pub spawner: &'a Spawner,
}

/// Looks at everything; `kernel` is the one that builds would boot, or why there is none.
pub async fn examine(examination: &Examination<'_>, kernel: Result<Kernel>) -> Vec<Finding> {
    let Examination { env, home, host, spawner } = examination;
    let qemu = Qemu::find(env, spawner, &host.arch).await;
    let mut findings = vec![qemu_finding(&qemu)];
    findings.extend(firmware_finding(&qemu));
    findings.push(match &kernel {
        Ok(Kernel { version, vmlinux, modules: _ }) => {
            Finding::ok("kernel", format!("{version} ({})", vmlinux.display()))
        }
        Err(error) => Finding::of_error("kernel", State::Missing, error),
    });
    findings.push(match (&qemu, &kernel) {
        (Ok(qemu), Ok(kernel)) => accelerator_finding(home, spawner, qemu, &kernel.vmlinux).await,
        _ => Finding::gap("kvm", State::Warning, "not probed: that takes QEMU and a kernel", ""),
    });
    findings.push(virtiofsd_finding(examination).await);
    for tool in tools(host.uid) {
        findings.push(tool.look(env, spawner).await);
    }
    let docker = docker::find(env, spawner).await;
    findings.push(docker_finding(&docker));
    findings.push(namespaces_finding(host.uid));
    if qemu.is_ok() {
        findings.push(isolation::qemu(findings.iter().any(|f| f.name == "kvm" && f.state == State::Ok)));
    }
    findings.extend(docker.iter().map(isolation::docker));
    findings.extend(isolation::bubblewrap(examination).await);
    findings.extend(rights::findings(env, home, host));
    findings
}

/// Whether a build can run.
pub fn can_build(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.state != State::Missing)
}

/// For a person: a line each, and one more with what mends a gap.
pub fn as_text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    // What is isolated stands in the detail.
    for Finding { name, state, detail, mend, isolation: _ } in findings {
        let state = match state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Missing => "missing",
        };
        writeln!(text, "{state:<7}  {name:<width$}  {detail}").expect("a string takes everything");
        if let Some(mend) = mend {
            writeln!(text, "{:7}  {:width$}  -> {mend}", "", "").expect("a string takes everything");
        }
    }
    text
}

/// For a program: one object.
pub fn as_json(findings: &[Finding]) -> String {
    serde_json::json!({ "can_build": can_build(findings), "findings": findings }).to_string()
}

fn qemu_finding(qemu: &Result<Qemu>) -> Finding {
    match qemu {
        Ok(Qemu { path, version: (major, minor, patch), firmware: _ }) => {
            Finding::ok("qemu", format!("{} {major}.{minor}.{patch}", path.display()))
        }
        Err(error) => Finding::of_error("qemu", State::Missing, error),
    }
}

fn firmware_finding(qemu: &Result<Qemu>) -> Option<Finding> {
    let firmware = qemu.as_ref().ok()?.firmware.as_ref()?;
    Some(Finding::ok("firmware", firmware.display().to_string()))
}

async fn accelerator_finding(home: &Home, spawner: &Spawner, qemu: &Qemu, kernel: &Path) -> Finding {
    match accelerator::choose(AcceleratorOption::Auto, home, spawner, qemu, kernel)
        .await
        .map(|verdict| verdict.why)
    {
        Ok(None) => Finding::ok("kvm", "a kernel starts with it"),
        Ok(Some(why)) => {
            let mend = match &why {
                why if why.contains("cannot be opened") => "usermod -aG kvm $USER, then log in anew",
                why if why.contains("there is no") => {
                    "modprobe kvm_intel || modprobe kvm_amd (in a virtual machine: allow nested ones on its host)"
                }
                // One that is there and does not work is its host's affair.
                _ => "",
            };
            Finding::gap("kvm", State::Warning, format!("builds run under TCG: {why}"), mend)
        }
        Err(error) => Finding::of_error("kvm", State::Warning, &error),
    }
}

/// Which daemon is taken, and what else is there.
async fn virtiofsd_finding(Examination { env, home, host, spawner }: &Examination<'_>) -> Finding {
    let service = Service { uid: host.uid, access: Access::ReadWrite };
    let found = match virtiofsd::find(env, home, spawner, service).await {
        Ok(found) => {
            virtiofsd::survey(env, home, spawner, service).await.map(|all| (found.virtiofsd.path, all))
        }
        Err(error) => Err(error),
    };
    let (taken, mut all) = match found {
        Ok(found) => found,
        Err(error) => return Finding::of_error("virtiofsd", State::Warning, &error),
    };
    all.sort_by_key(|(path, kind)| (*path != taken, kind.is_err()));
    let each = |(path, kind): &(PathBuf, Result<Kind, String>)| match kind {
        Ok(kind) if !kind.keeps_owners(service) => {
            format!("{} ({kind}, which gives files on the host to whomever the guest names)", path.display())
        }
        Ok(kind) => format!("{} ({kind})", path.display()),
        Err(why) => format!("{} {why}", path.display()),
    };
    let all: Vec<String> = all.iter().map(each).collect();
    Finding::ok("virtiofsd", all.join(", then "))
}

/// Whether `--runner docker` works here.
fn docker_finding(docker: &Result<Docker>) -> Finding {
    match docker {
        Ok(Docker { version, driver, .. }) => Finding::ok("docker", format!("daemon {version} ({driver})")),
        Err(error) => Finding::of_error("docker", State::Warning, error),
    }
}

/// A program that is asked for its version, and what it is for.
#[derive(Debug)]
struct Tool {
    program: &'static str,
    version: &'static str,
    without: State,
    purpose: &'static str,
    package: &'static str,
}

impl Tool {
    async fn look(&self, env: &Env, spawner: &Spawner) -> Finding {
        let Self { program, version, without, purpose, package } = *self;
        let Some(path) = find_program(env, program) else {
            let mend = format!("apt-get install {package}");
            return Finding::gap(program, without, format!("not installed; {purpose}"), &mend);
        };
        if version.is_empty() {
            return Finding::ok(program, path.display().to_string());
        }
        match spawner.output(Command::new(&path).arg(version), VERSION_LIMIT).await {
            Ok(said) => {
                let said = [said.stdout, said.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                Finding::ok(program, format!("{} ({})", path.display(), up_to_version(&said)))
            }
            Err(error) => Finding::of_error(program, without, &error),
        }
    }
}

/// `curl 7.88.1 (x86_64-pc-linux-gnu) …` without what follows the number.
fn up_to_version(said: &str) -> String {
    let line = said.lines().next().unwrap_or("no version");
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = words.iter().position(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    words[..number.map_or(words.len(), |at| at + 1)].join(" ")
}

fn tools(uid: u32) -> Vec<Tool> {
    let tool =
        |program, version, without, purpose, package| Tool { program, version, without, purpose, package };
    let mut tools = vec![
        tool("mkfs.erofs", "--version", State::Missing, "images are made with it", "erofs-utils"),
        tool("mmdebstrap", "--version", State::Missing, "Debian images are made with it", "mmdebstrap"),
        tool("bwrap", "--version", State::Warning, "--runner bubblewrap needs it", "bubblewrap"),
        tool("curl", "--version", State::Warning, "kiln update-cache needs it for fetch", "curl"),
        tool("git", "--version", State::Warning, "kiln update-cache needs it for git-checkout", "git"),
    ];
    if uid != 0 {
        let purpose = "an ordinary user makes images with it";
        tools.push(tool("newuidmap", "", State::Warning, purpose, "uidmap"));
        tools.push(tool("fakeroot", "", State::Warning, purpose, "fakeroot"));
    }
    tools
}

fn namespaces_finding(uid: u32) -> Finding {
    let name = "user namespaces";
    match user_namespaces_usable() {
        Ok(()) => Finding::ok(name, "can be made"),
        Err(why) if uid == 0 => Finding::gap(name, State::Warning, why, ""),
        Err(why) => {
            let mend = allow_namespaces(Path::new("/proc/sys"));
            Finding::gap(
                name,
                State::Warning,
                format!("{why}; QEMU, virtiofs and bubblewrap need them"),
                &mend,
            )
        }
    }
}

/// Examines this host, mends what is to be mended, and prints what was found.
pub(super) async fn run(args: &DoctorArgs, env: &Env) -> Result<Code> {
    let home = Home::find(env)?;
    let host = Host::probe();
    let spawner = Spawner::start()?;
    let examination = Examination { env, home: &home, host: &host, spawner: &spawner };
    let mut findings = examine(&examination, Kernel::find(&home, env)).await;
    let parts = fix::parts(&findings);
    let mut mended = Ok(());
    if args.fix && !parts.is_empty() {
        mended = fix::set_up(&spawner, &parts).await;
        findings = examine(&examination, Kernel::find(&home, env)).await;
    }
    spawner.finish()?;
    report::print(&if args.json { as_json(&findings) + "\n" } else { as_text(&findings) })?;
    mended?;
    Ok(if can_build(&findings) { Code::Success } else { Code::Host })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("qemu", "/usr/bin/qemu-system-x86_64 7.2.22"),
            Finding::gap("docker", State::Warning, "not installed", "apt-get install docker.io"),
        ]
    }

    #[test]
    fn a_warning_does_not_stop_a_build_and_a_gap_does() {
        let mut findings = findings();
        assert!(can_build(&findings));
        findings.push(Finding::gap("kernel", State::Missing, "none", ""));
        assert!(!can_build(&findings));
    }

    #[test]
    fn text_is_aligned_and_names_what_mends() {
        assert_eq!(
            as_text(&findings()),
            "ok       qemu    /usr/bin/qemu-system-x86_64 7.2.22\n\
             warning  docker  not installed\n                 -> apt-get install docker.io\n"
        );
    }

    #[test]
    fn what_follows_a_version_is_left_out() {
        for (said, version) in [
            (
                "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 zlib/1.2.13\nRelease-Date: x\n",
                "curl 7.88.1",
            ),
            ("git version 2.39.5\n", "git version 2.39.5"),
            ("hello\n", "hello"),
            ("", "no version"),
        ] {
            assert_eq!(up_to_version(said), version);
        }
    }

    #[test]
    fn json_is_one_object() {
        assert_eq!(
            as_json(&findings()[1..]),
            r#"{"can_build":true,"findings":[{"name":"docker","state":"warning","detail":"not installed","mend":"apt-get install docker.io"}]}"#
        );
    }
}
