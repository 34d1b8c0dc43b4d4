//! The examination of a host: every part in turn.

use anyhow::Result;

use super::{Finding, State, backends, isolation, rights, tools};
use crate::{
    backend::{docker::probe as docker, qemu::probe::Qemu},
    env::Env,
    home::Home,
    host::Host,
    image::Kernel,
    process::Spawner,
};

/// The host to examine.
#[derive(Debug)]
pub struct Examination<'a> {
    /// The variables.
    pub env: &'a Env,
    /// kiln's directory.
    pub home: &'a Home,
    /// The machine.
    pub host: &'a Host,
    /// The spawner of probes.
    pub spawner: &'a Spawner,
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
