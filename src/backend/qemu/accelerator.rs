//! The accelerator: KVM where it really runs a guest, else TCG, QEMU's own translation.
//!
//! There are hosts whose `/dev/kvm` opens, and even runs a hand-made program in long mode, and on which no kernel gets
//! through its start (module `kvm_pvm`: QEMU aborts over an MSR with `-cpu host`, and stands still with `-cpu qemu64`). So the
//! probe boots the kernel that builds use, without a root: it has to come as far as missing that, within a deadline.
//! The verdict holds until the next boot of this host or another QEMU.

use std::{
    fs,
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
    plan::{Accelerator, AcceleratorOption},
    process::{Command, ExitStatus, Output, Spawner},
};

/// What a kernel says at the end of its start, when there is no root and no initrd.
const BOOTED: &str = "Unable to mount root fs";

/// Under KVM that takes a fraction of a second, and 2 s even under TCG: what is not there by now never comes.
const BOOT_LIMIT: Duration = Duration::from_secs(8);

/// The directory of [`Home`] for verdicts.
const VERDICTS: &str = "accelerator";

/// Which accelerator is taken, and in one line why it is not the faster one.
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

/// Chooses. `vmlinux` is an uncompressed kernel with a PVH entry, as builds boot it.
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
            format!("--accel kvm cannot be had: {why}"),
            "Leave --accel out, and builds run under TCG: slower, with the same results.",
        )
        .into()),
        _ => Ok(verdict),
    }
}

async fn stored_or_probed(home: &Home, spawner: &Spawner, qemu: &Qemu, vmlinux: &Path) -> Result<Verdict> {
    // Rights are asked anew each time: a user who has been given them must not meet the old verdict.
    if let Some(why) = why_unusable(Path::new("/dev/kvm")) {
        return Ok(Verdict::tcg(why));
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the boot id")?;
    let key = VerdictKey {
        boot_id: boot.trim().into(),
        qemu: qemu.path.display().to_string(),
        version: qemu.version,
    };
    let name = "verdict.json";
    let stored = home.read(VERDICTS, name)?;
    // One that cannot be read is of another version of kiln, and is made anew.
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

/// What a verdict depends on.
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

/// Why `/dev/kvm` cannot even be opened, if so.
pub fn why_unusable(kvm: &Path) -> Option<String> {
    if !kvm.exists() {
        return Some(format!("there is no {}", kvm.display()));
    }
    let error = access(kvm, AccessFlags::R_OK | AccessFlags::W_OK).err()?;
    Some(format!("{} cannot be opened: {}", kvm.display(), error.desc()))
}

/// Boots, and looks how far it came. Under KVM alone, so that nothing falls back silently.
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

/// A machine with a console on which the kernel says that it has no root, and ends.
fn argv(qemu: &Qemu, vmlinux: &Path) -> Vec<String> {
    let firmware = qemu.firmware.iter().flat_map(|path| ["-bios".into(), path.display().to_string()]);
    [
        ["-M", "microvm,x-option-roms=off,isa-serial=on,auto-kernel-cmdline=off,acpi=off"],
        ["-accel", "kvm"],
        // As builds run it.
        ["-cpu", "host"],
        ["-m", "256"],
        ["-display", "none"],
        ["-serial", "stdio"],
        // Without ACPI the kernel ends QEMU by a reset.
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
        // A triple fault resets, and QEMU ends with 0 as after a clean end.
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
