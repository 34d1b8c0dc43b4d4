//! The microVM of a benchmark: the emulator, the kernel and the accelerator that builds have, too.

use anyhow::Result;

use crate::{
    backend::qemu::{accelerator, probe::Qemu},
    env::Env,
    exit::Failure,
    home::Home,
    image::Kernel,
    plan::{Accelerator, AcceleratorOption},
    process::Spawner,
};

/// What a microVM is made of.
#[derive(Debug)]
pub struct Machine {
    /// The emulator.
    pub qemu: Qemu,
    /// The kernel.
    pub kernel: Kernel,
    /// The accelerator that was chosen.
    pub accelerator: Accelerator,
}

impl Machine {
    /// Finds it as a build does.
    ///
    /// # Errors
    /// A host failure when QEMU or a kernel is missing, or when the accelerator cannot be had.
    pub async fn find(env: &Env, home: &Home, spawner: &Spawner, option: AcceleratorOption) -> Result<Self> {
        if std::env::consts::ARCH != "x86_64" {
            let what = format!("this benchmark needs an x86_64 host, not {}", std::env::consts::ARCH);
            return Err(Failure::host(what, "run it on another machine").into());
        }
        let qemu = Qemu::find_once(env, home, spawner, "x86_64").await?;
        let kernel = Kernel::find(home, env)?;
        let verdict = accelerator::choose(option, home, spawner, &qemu, &kernel.vmlinux).await?;
        Ok(Self { qemu, kernel, accelerator: verdict.accelerator })
    }

    /// Its versions, for the fingerprint.
    pub fn facts(&self) -> Vec<(String, String)> {
        let (major, minor, patch) = self.qemu.version;
        let facts = [
            ("QEMU", format!("{major}.{minor}.{patch}")),
            ("accelerator", self.accelerator.to_string()),
            ("guest kernel", format!("Linux {}", self.kernel.version)),
        ];
        facts.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
