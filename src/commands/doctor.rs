//! `kiln doctor`: the abilities of this host, the missing parts, and the command that installs each.
//!
//! It changes nothing but the recorded verdict on the accelerator, unless `--fix` installs the missing parts ([`fix`]). Each probe
//! has a deadline.

mod backends;
mod examination;
mod finding;
mod fix;
mod isolation;
mod rights;
mod tools;

use anyhow::Result;

pub use examination::Examination;
pub use finding::{Finding, State, as_json, as_text, can_build};

use crate::{
    backend::{docker::probe as docker, qemu::probe::Qemu},
    cli::DoctorArgs,
    env::Env,
    exit::Code,
    home::Home,
    host::Host,
    image::Kernel,
    process::Spawner,
    report,
};

/// Examines this host, installs missing parts with `--fix`, and prints the findings.
pub(super) async fn run(args: &DoctorArgs, env: &Env) -> Result<Code> {
    let home = Home::find(env)?;
    let host = Host::probe();
    let spawner = Spawner::start()?;
    let examination = Examination { env, home: &home, host: &host, spawner: &spawner };
    let mut findings = examine(&examination, Kernel::find(&home, env)).await;
    let parts = fix::parts(&findings);
    let mut fixed = Ok(());
    if args.fix && !parts.is_empty() {
        fixed = fix::set_up(&spawner, &parts).await;
        findings = examine(&examination, Kernel::find(&home, env)).await;
    }
    spawner.finish()?;
    report::print(&if args.json { as_json(&findings) + "\n" } else { as_text(&findings) })?;
    fixed?;
    Ok(if can_build(&findings) { Code::Success } else { Code::Host })
}

/// Examines everything. `kernel` is the kernel that builds would boot, or the reason why there is none.
pub async fn examine(examination: &Examination<'_>, kernel: Result<Kernel>) -> Vec<Finding> {
    let Examination { env, home, host, spawner } = examination;
    let qemu = Qemu::find(env, spawner, &host.arch).await;
    let mut findings = vec![backends::qemu(&qemu)];
    findings.extend(backends::firmware(&qemu));
    findings.push(match &kernel {
        Ok(Kernel { version, vmlinux, modules: _ }) => {
            Finding::ok("kernel", format!("{version} ({})", vmlinux.display()))
        }
        Err(error) => Finding::of_error("kernel", State::Missing, error),
    });
    findings.push(match (&qemu, &kernel) {
        (Ok(qemu), Ok(kernel)) => backends::accelerator(home, spawner, qemu, &kernel.vmlinux).await,
        _ => Finding::gap("kvm", State::Warning, "not probed: that takes QEMU and a kernel", ""),
    });
    findings.push(backends::virtiofsd(examination).await);
    findings.push(backends::embedded());
    findings.extend(kernel.iter().map(|kernel| backends::queues(&kernel.version, env)));
    for tool in tools::of_user(host.uid) {
        findings.push(tool.look(env, spawner).await);
    }
    let docker = docker::find(env, spawner).await;
    findings.push(backends::docker(&docker));
    findings.push(rights::namespaces(host.uid));
    if qemu.is_ok() {
        findings.push(isolation::qemu(findings.iter().any(|f| f.name == "kvm" && f.state == State::Ok)));
    }
    findings.extend(docker.iter().map(isolation::docker));
    findings.extend(isolation::bubblewrap(examination).await);
    findings.extend(rights::findings(env, home, host));
    findings
}
