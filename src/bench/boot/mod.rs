//! `kiln bench boot`: the start of a guest. A whole build of one step `true`, from fork to exit, booted and restored from a template, with
//! shares by 9p and by virtiofs, against a bare boot of the same kernel in the same machine, and against virtme-ng's `-- true` with that kernel.

mod init;
mod phases;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{
    machine::Machine,
    model::{Measured, Scenario, Suite, Unit, Variant},
    program::{Scratch, timed, version},
};
use crate::{
    backend::{BoxFuture, qemu::TCG_MODEL},
    env::Env,
    home::Home,
    host::{find_program, tsc},
    plan::{Accelerator, AcceleratorOption},
    process::{Command, Spawner},
};

/// The memory and processors of each machine.
const MEMORY_MIB: u32 = 1024;
const CPUS: u32 = 2;
/// A bare kernel that has not come up after this time never does.
const BARE_LIMIT_SECONDS: &str = "60";

/// The scenario that all variants have.
const START: &str = "start";
const BARE: &str = "bare";
const COLD: &str = "cold";
const WARM: &str = "warm";
const COLD_VIRTIOFS: &str = "cold-virtiofs";
const WARM_VIRTIOFS: &str = "warm-virtiofs";
const VNG: &str = "virtme-ng";

/// The arguments of a build whose source and cache come by kiln's own virtiofs device.
const BY_VIRTIOFS: &[&str] = &["--virtiofsd", "embedded", "--source-share", "virtiofs"];

/// A build file with one step, and nothing to do in it.
pub(super) const BUILD_FILE: &str =
    "package:\n  name: nothing\n  version: \"1\"\n  epoch: 0\npipeline:\n  - runs: \"true\"\n";

/// What the user chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootOptions {
    /// Whether the phases of the build are measured, too.
    pub phases: bool,
    /// The accelerator of all machines.
    pub accelerator: AcceleratorOption,
}

/// The benchmark.
#[derive(Debug)]
pub struct Boot<'a> {
    spawner: &'a Spawner,
    machine: Machine,
    /// virtme-ng, its version, and the kernel as it takes it.
    vng: Option<(PathBuf, String, PathBuf)>,
    phases: bool,
    variants: Vec<Variant>,
    scenarios: Vec<Scenario>,
    scratch: Scratch,
}

impl<'a> Boot<'a> {
    /// Finds what is compared. `directory` is where the benchmark works.
    ///
    /// # Errors
    /// A host failure without QEMU or a kernel.
    pub async fn new(
        env: &Env,
        home: &Home,
        spawner: &'a Spawner,
        directory: &Path,
        options: BootOptions,
    ) -> Result<Self> {
        let machine = Machine::find(env, home, spawner, options.accelerator).await?;
        let scratch = Scratch::new(directory, spawner)?;
        fs::write(scratch.path().join("true.yaml"), BUILD_FILE).context("write the build file")?;
        fs::write(scratch.path().join("bare.cpio"), init::initramfs()).context("write the initramfs")?;
        let vng = match find_program(env, "vng").zip(bzimage(home, &machine)) {
            Some((vng, kernel)) => {
                let version = version(spawner, &vng).await;
                Some((vng, version, kernel))
            }
            None => None,
        };
        let variant =
            |id: &str, title: &str| Variant { id: id.into(), title: title.into(), reference: id == BARE };
        let mut variants = vec![
            variant(BARE, "bare QEMU boot"),
            variant(COLD, "kiln build, booted"),
            variant(WARM, "kiln build, restored"),
            variant(COLD_VIRTIOFS, "kiln build, virtiofs, booted"),
            variant(WARM_VIRTIOFS, "kiln build, virtiofs, restored"),
        ];
        if vng.is_some() {
            variants.push(variant(VNG, "virtme-ng -- true"));
        }
        let start = Scenario {
            id: START.into(),
            title: "start to end".into(),
            group: "Start of a guest".into(),
            unit: Unit::Seconds,
        };
        let of_phases = options.phases.then(phases::scenarios).unwrap_or_default();
        let scenarios = [start].into_iter().chain(of_phases).collect();
        Ok(Self { spawner, machine, vng, phases: options.phases, variants, scenarios, scratch })
    }

    /// What this host lacks for a comparison that is left out; `None` if nothing is.
    pub fn left_out(&self) -> Option<&'static str> {
        self.vng.is_none().then_some(
            "virtme-ng is left out: it takes `vng` in $PATH (pip install virtme-ng), busybox-static, udev, and the guest's kernel \
             in the store",
        )
    }

    async fn sample(&self, variant: &str) -> Result<Vec<Measured>> {
        let start = |seconds| vec![Measured { scenario: START.into(), value: seconds }];
        match (variant, &self.vng) {
            (BARE, _) => Ok(start(timed(self.spawner, self.bare()).await?.seconds)),
            (COLD | WARM | COLD_VIRTIOFS | WARM_VIRTIOFS, _) => {
                let done = timed(self.spawner, self.build(variant)).await?;
                let mut measured = start(done.seconds);
                if self.phases {
                    measured.extend(phases::measured(&done.stdout, done.seconds)?);
                }
                Ok(measured)
            }
            (VNG, Some((vng, _, kernel))) => {
                Ok(start(timed(self.spawner, self.virtme_ng(vng, kernel)).await?.seconds))
            }
            (variant, _) => bail!("there is no variant {variant}"),
        }
    }

    fn bare(&self) -> Command {
        let (accelerator, cpu) = match self.machine.accelerator {
            Accelerator::Kvm => ("kvm", "host"),
            Accelerator::Tcg => ("tcg,thread=multi,tb-size=512", TCG_MODEL),
        };
        // As kiln's guests have it, the processor lacks ERMS, and memory is not cleared twice: else the kernel would be slower. Told the
        // frequency, it does not measure it; on a busy host it may measure for ever.
        let clock = tsc::measure_khz().map_or(String::new(), |khz| format!(" tsc_early_khz={khz}"));
        Command::new("timeout")
            .arg(BARE_LIMIT_SECONDS)
            .arg(&self.machine.qemu.path)
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-machine", "microvm,pit=on,pic=on,rtc=on,isa-serial=off,x-option-roms=off"])
            .args(["-accel", accelerator, "-cpu", cpu])
            .args(["-m", &format!("{MEMORY_MIB}M"), "-smp", &CPUS.to_string()])
            .arg("-kernel")
            .arg(&self.machine.kernel.vmlinux)
            .arg("-initrd")
            .arg("bare.cpio")
            .args(["-append", &format!("reboot=t panic=-1 quiet init_on_alloc=0{clock}")])
            .current_dir(self.scratch.path())
    }

    /// As a user has it: with network, source and cache. The warm-up makes the template.
    fn build(&self, variant: &str) -> Command {
        let (start, shares) = match variant {
            COLD_VIRTIOFS => (COLD, BY_VIRTIOFS),
            WARM_VIRTIOFS => (WARM, BY_VIRTIOFS),
            start => (start, &[][..]),
        };
        let progress = if self.phases { "json" } else { "quiet" };
        Command::new(self.spawner.program())
            .args(["build", "--accel", &self.machine.accelerator.to_string(), "--progress", progress])
            .args(["--memory", &format!("{MEMORY_MIB}Mi"), "--cpu", &CPUS.to_string(), "--start", start])
            .args(shares)
            .arg("true.yaml")
            .current_dir(self.scratch.path())
    }

    /// It wants a terminal, which script(1) gives it.
    fn virtme_ng(&self, vng: &Path, kernel: &Path) -> Command {
        let without_kvm = match self.machine.accelerator {
            Accelerator::Kvm => "",
            Accelerator::Tcg => "--disable-kvm ",
        };
        let line =
            format!("\"$VNG\" {without_kvm}--memory {MEMORY_MIB}M --cpus {CPUS} --run \"$KERNEL\" -- true");
        Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("VNG", vng)
            .env("KERNEL", kernel)
            .current_dir(self.scratch.path())
    }
}

/// The kernel as a bzImage, which virtme-ng takes: that of the store, or the host's.
fn bzimage(home: &Home, machine: &Machine) -> Option<PathBuf> {
    let version = &machine.kernel.version;
    let stored = home.root().join("kernels").join(version).join("vmlinuz");
    let of_host = PathBuf::from(format!("/boot/vmlinuz-{version}"));
    [stored, of_host].into_iter().find(|path| path.is_file())
}

impl Suite for Boot<'_> {
    fn name(&self) -> &'static str {
        "boot"
    }

    fn variants(&self) -> &[Variant] {
        &self.variants
    }

    fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = self.machine.facts();
        facts.push(("guest".into(), format!("{MEMORY_MIB} MiB, {CPUS} processors")));
        if let Some((_, version, _)) = &self.vng {
            facts.push((VNG.into(), version.clone()));
        }
        facts
    }

    fn seconds_per_round(&self) -> f64 {
        let (each, vng) = match self.machine.accelerator {
            Accelerator::Kvm => (0.5, 5.0),
            Accelerator::Tcg => (2.0, 15.0),
        };
        4.0 * each + if self.vng.is_some() { vng } else { 0.0 }
    }

    fn visit<'a>(
        &'a mut self,
        variant: &'a str,
        _round: u32,
        _seed: u64,
    ) -> BoxFuture<'a, Result<Vec<Measured>>> {
        Box::pin(self.sample(variant))
    }
}
