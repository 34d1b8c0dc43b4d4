//! Chooses the accelerator: KVM if it can boot a guest, else TCG, QEMU's translator.
//!
//! On some hosts `/dev/kvm` opens, and even runs a small program in long mode, and no kernel boots (module `kvm_pvm`: QEMU aborts
//! on an MSR with `-cpu host`, and hangs with `-cpu qemu64`). So the probe boots the kernel that builds use, without a root: it must
//! reach the panic over the missing root within a deadline. The verdict is valid until the next boot of this host, or until another
//! QEMU is installed.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::probe::Qemu;
use crate::{
    exit::{Code, Failure, code_of},
    home::Home,
    host,
    plan::{Accelerator, AcceleratorOption},
    process::{Command, ExitStatus, Output, Spawner},
};

/// The kernel's panic at the end of its boot, without a root and an initrd.
const BOOTED: &str = "Unable to mount root fs";

/// The limit for a boot, which takes a fraction of a second under KVM, and 2 s under TCG.
const BOOT_LIMIT: Duration = Duration::from_secs(8);

/// The directory of [`Home`] for verdicts.
const VERDICTS: &str = "accelerator";

/// The chosen accelerator, and the reason if it is not KVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// `None` for KVM.
    pub why: Option<String>,
}

impl Verdict {
    fn kvm() -> Self {
        Self { accelerator: Accelerator::Kvm, why: None }
    }

    fn tcg(why: impl Into<String>) -> Self {
        Self { accelerator: Accelerator::Tcg, why: Some(why.into()) }
    }
}

/// Chooses the accelerator. `vmlinux` is an uncompressed kernel with a PVH entry, as builds boot it.
pub async fn choose(
    option: AcceleratorOption,
    home: &Home,
    spawner: &Spawner,
    qemu: &Qemu,
    vmlinux: &Path,
) -> Result<Verdict> {
    if option == AcceleratorOption::Tcg {
        return Ok(Verdict::tcg("--accel tcg"));
    }
    let verdict = stored_or_probed(home, spawner, qemu, vmlinux).await?;
    match (option, &verdict.why) {
        (AcceleratorOption::Kvm, Some(why)) => Err(Failure::host(
            format!("--accel kvm is not possible: {why}"),
            "Leave --accel out, and builds run under TCG: slower, with the same results.",
        )
        .into()),
        _ => Ok(verdict),
    }
}

async fn stored_or_probed(home: &Home, spawner: &Spawner, qemu: &Qemu, vmlinux: &Path) -> Result<Verdict> {
    // Rights are checked each time, since they may have been granted after the stored verdict.
    if let Some(why) = why_unusable(Path::new("/dev/kvm")) {
        return Ok(Verdict::tcg(why));
    }
    let key = VerdictKey {
        boot_id: host::boot_id()?,
        qemu: qemu.path.display().to_string(),
        version: qemu.version,
    };
    let name = "verdict.json";
    let stored = home.read(VERDICTS, name)?;
    // An invalid verdict is from another version of kiln, and is replaced.
    if let Some(StoredVerdict { key: stored, verdict }) =
        stored.and_then(|bytes| serde_json::from_slice(&bytes).ok())
        && stored == key
    {
        return Ok(verdict);
    }
    let verdict = probe(spawner, qemu, vmlinux).await?;
    let stored =
        serde_json::to_vec(&StoredVerdict { key, verdict: verdict.clone() }).context("write a verdict")?;
    home.write(VERDICTS, name, &stored)?;
    Ok(verdict)
}

/// Everything that a verdict depends on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct VerdictKey {
    boot_id: String,
    qemu: String,
    version: (u32, u32, u32),
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredVerdict {
    key: VerdictKey,
    verdict: Verdict,
}

/// Why `/dev/kvm` cannot be opened; `None` if it can.
pub fn why_unusable(kvm: &Path) -> Option<String> {
    if !kvm.exists() {
        return Some(format!("there is no {}", kvm.display()));
    }
    let error = access(kvm, AccessFlags::R_OK | AccessFlags::W_OK).err()?;
    Some(format!("{} cannot be opened: {}", kvm.display(), error.desc()))
}

/// Boots a kernel, and examines its output. QEMU has no other accelerator to fall back to.
async fn probe(spawner: &Spawner, qemu: &Qemu, vmlinux: &Path) -> Result<Verdict> {
    let start = Instant::now();
    let output = spawner.output(Command::new(&qemu.path).args(argv(qemu, vmlinux)), BOOT_LIMIT).await;
    debug!(took = ?start.elapsed(), ?output, "kvm probe");
    match output {
        Ok(output) => Ok(judge(&output)),
        Err(error) if code_of(&error) == Code::Timeout => {
            let limit = BOOT_LIMIT.as_secs();
            Ok(Verdict::tcg(format!(
                "/dev/kvm is there, but a kernel does not start with it within {limit} s"
            )))
        }
        Err(error) => Err(error).context("probe KVM"),
    }
}

fn judge(Output { status, stdout, stderr }: &Output) -> Verdict {
    if String::from_utf8_lossy(stdout).contains(BOOTED) {
        return Verdict::kvm();
    }
    let said = String::from_utf8_lossy(stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    match status {
        ExitStatus::Signal(_) => {
            Verdict::tcg(format!("/dev/kvm is there, but QEMU dies with it ({status}: {last})"))
        }
        ExitStatus::Code(_) => {
            Verdict::tcg(format!("/dev/kvm is there, but no kernel starts with it ({status}: {last})"))
        }
    }
}

/// A machine with a serial console, which ends when the kernel panics.
fn argv(qemu: &Qemu, vmlinux: &Path) -> Vec<String> {
    let firmware = qemu.firmware.iter().flat_map(|path| ["-bios".into(), path.display().to_string()]);
    [
        ["-M", "microvm,x-option-roms=off,isa-serial=on,auto-kernel-cmdline=off,acpi=off"],
        ["-accel", "kvm"],
        // The model that builds use.
        ["-cpu", "host"],
        ["-m", "256"],
        ["-display", "none"],
        ["-serial", "stdio"],
        // Without ACPI a reset ends QEMU.
        ["-append", "console=ttyS0 reboot=t panic=-1"],
    ]
    .into_iter()
    .flatten()
    .chain(["-nodefaults", "-no-user-config", "-no-reboot"])
    .map(String::from)
    .chain(firmware)
    .chain(["-kernel".into(), vmlinux.display().to_string()])
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(status: ExitStatus, stdout: &str, stderr: &str) -> Output {
        Output { status, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn only_a_complete_boot_selects_kvm() {
        let through =
            "[ 0.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n";
        assert_eq!(judge(&output(ExitStatus::Code(0), through, "")), Verdict::kvm());
        let aborted = output(ExitStatus::Signal(6), "", "warning\nkvm_buf_set_msrs: Assertion failed.\n");
        let why = judge(&aborted).why.unwrap();
        assert_eq!(
            why,
            "/dev/kvm is there, but QEMU dies with it (SIGABRT: kvm_buf_set_msrs: Assertion failed.)"
        );
        // After a triple fault QEMU exits with 0, as after an orderly end.
        let reset = judge(&output(ExitStatus::Code(0), "Probing EDD", ""));
        assert_eq!(reset.accelerator, Accelerator::Tcg);
    }

    #[test]
    fn a_missing_device_is_named() {
        assert_eq!(why_unusable(Path::new("/no/kvm")).unwrap(), "there is no /no/kvm");
        assert_eq!(why_unusable(Path::new("/dev/null")), None);
    }

    #[test]
    fn the_probe_has_one_accelerator_and_no_fallback() {
        let qemu = Qemu { path: "q".into(), version: (7, 2, 0), firmware: Some("/fw".into()) };
        let argv = argv(&qemu, Path::new("/k")).join(" ");
        assert_eq!(
            argv,
            "-M microvm,x-option-roms=off,isa-serial=on,auto-kernel-cmdline=off,acpi=off -accel kvm -cpu host -m 256 -display none \
             -serial stdio -append console=ttyS0 reboot=t panic=-1 -nodefaults -no-user-config -no-reboot -bios /fw -kernel /k"
        );
    }
}
