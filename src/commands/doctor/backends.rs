//! QEMU with its accelerator, virtiofsd, and docker.

use std::path::{Path, PathBuf};

use anyhow::Result;
use kiln_protocol::Access;

use super::{Examination, Finding, State};
use crate::{
    backend::{
        docker::probe::Docker,
        qemu::{accelerator, plan::spreads_requests, probe::Qemu},
    },
    env::Env,
    home::Home,
    image,
    plan::AcceleratorOption,
    process::Spawner,
    share::{
        self, Sandbox,
        virtiofsd::{self, DaemonKind, Service},
    },
};

/// The version of QEMU.
pub(super) fn qemu(qemu: &Result<Qemu>) -> Finding {
    match qemu {
        Ok(Qemu { path, version: (major, minor, patch), firmware: _ }) => {
            Finding::ok("qemu", format!("{} {major}.{minor}.{patch}", path.display()))
        }
        Err(error) => Finding::of_error("qemu", State::Missing, error),
    }
}

/// Its firmware, where it lies apart.
pub(super) fn firmware(qemu: &Result<Qemu>) -> Option<Finding> {
    let firmware = qemu.as_ref().ok()?.firmware.as_ref()?;
    Some(Finding::ok("firmware", firmware.display().to_string()))
}

/// Whether a guest really runs with KVM.
pub(super) async fn accelerator(home: &Home, spawner: &Spawner, qemu: &Qemu, kernel: &Path) -> Finding {
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
                // One that exists and does not work can only be fixed on its host.
                _ => "",
            };
            Finding::gap("kvm", State::Warning, format!("builds run under TCG: {why}"), mend)
        }
        Err(error) => Finding::of_error("kvm", State::Warning, &error),
    }
}

/// The virtiofsd that kiln takes, and the others of this host.
pub(super) async fn virtiofsd(Examination { env, home, host, spawner }: &Examination<'_>) -> Finding {
    let service = Service { uid: host.uid, access: Access::ReadWrite };
    let found = match virtiofsd::find(env, home, spawner, service).await {
        Ok(found) => {
            virtiofsd::find_all(env, home, spawner, service).await.map(|all| (found.virtiofsd.path, all))
        }
        Err(error) => Err(error),
    };
    let (taken, mut all) = match found {
        Ok(found) => found,
        Err(error) => return Finding::of_error("virtiofsd", State::Warning, &error),
    };
    all.sort_by_key(|(path, kind)| (*path != taken, kind.is_err()));
    let each = |(path, kind): &(PathBuf, Result<DaemonKind, String>)| match kind {
        Ok(kind) if !kind.keeps_owners(service) => {
            format!(
                "{} ({kind}, which gives files on the host to the owners that the guest names)",
                path.display()
            )
        }
        Ok(kind) => format!("{} ({kind})", path.display()),
        Err(why) => format!("{} {why}", path.display()),
    };
    let all: Vec<String> = all.iter().map(each).collect();
    Finding::ok("virtiofsd", all.join(", then "))
}

/// The command that stores a kernel which uses several queues of a virtiofs device.
pub(super) const KERNEL_BACKPORTS: &str = "images/setup.sh kernel-backports";

/// Whether builds use several queues of a virtiofs device. That depends on the guest's kernel.
pub(super) fn queues(version: &str, env: &Env) -> Finding {
    const NAME: &str = "virtiofs queues";
    if spreads_requests(version) {
        return Finding::ok(NAME, format!("one for each processor (kernel {version})"));
    }
    let mend = match env.path(image::IMAGE_VARIABLE) {
        None => KERNEL_BACKPORTS,
        Some(_) => "name a newer kernel in QEMU_KERNEL_IMAGE, and its modules in QEMU_KERNEL_MODULES",
    };
    let detail =
        format!("one: kernel {version} uses no more; Linux 6.11 and later use one for each processor");
    Finding::gap(NAME, State::Warning, detail, mend)
}

/// kiln's own virtiofs device.
pub(super) fn embedded() -> Finding {
    match share::sandbox() {
        Ok(sandbox) => {
            let confined = match sandbox {
                Sandbox::Namespace => "namespaces",
                Sandbox::Chroot => "a root directory of its own",
            };
            Finding::ok("embedded", format!("kiln's own virtiofs device, confined by {confined}"))
        }
        Err(error) => Finding::of_error("embedded", State::Warning, &error),
    }
}

/// Whether `--runner docker` works here.
pub(super) fn docker(docker: &Result<Docker>) -> Finding {
    match docker {
        Ok(Docker { version, driver, .. }) => Finding::ok("docker", format!("daemon {version} ({driver})")),
        Err(error) => Finding::of_error("docker", State::Warning, error),
    }
}
