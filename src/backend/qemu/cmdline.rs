//! The guest kernel's arguments, each with its reason.

use super::share::Attached;
use crate::plan::{Accelerator, Machine};

/// The arguments of every guest.
const ALWAYS: &[&str] = &[
    // The console is a log on virtio; the kernel prints only errors.
    "console=hvc0",
    "loglevel=4",
    // A panic, like the end of the agent, reboots by triple fault, and QEMU (-no-reboot) exits.
    "panic=-1",
    "reboot=t",
    // These devices do not exist: do not wait for them.
    "8250.nr_uarts=0",
    "i8042.noaux",
    "i8042.nokbd",
    // The machine isolates the guest, which need not defend itself against its own processes.
    "mitigations=off",
    "audit=0",
    // Some kernels clear all memory that they allocate, also what they fill next.
    "init_on_alloc=0",
    // Self-tests of ciphers take tens of milliseconds.
    "cryptomgr.notests",
    "random.trust_cpu=on",
    "rcupdate.rcu_expedited=1",
    "net.ifnames=0",
    // melange's users look for it.
    "melange_qemu_runner=1",
];

/// More arguments of a guest under TCG.
const TCG: &[&str] = &["no_timer_check", "nokaslr"];

/// The argument of a guest with PCI slots: the agent has the kernel look into them. The kernel's own driver would wait for an
/// operator's button and for the power of the slot.
const SLOTS: &str = "pcie_ports=compat";

/// The whole line.
pub(super) fn kernel_arguments(machine: &Machine, attached: Attached) -> String {
    let mut words: Vec<&str> = ALWAYS.to_vec();
    match machine.accelerator {
        Accelerator::Tcg => words.extend(TCG),
        Accelerator::Kvm => {}
    }
    match attached {
        Attached::AtStart => {}
        Attached::Later => words.push(SLOTS),
    }
    // With this the kernel does not measure the frequency, which under TCG on a busy host may never end. It does not compare the
    // counters of the processors either, which are one under TCG, and takes the time from them: the ticks that it would count
    // instead stand still while an emulated processor waits for the host's.
    let frequency = machine.tsc_khz.filter(|_| machine.accelerator == Accelerator::Tcg);
    let frequency = frequency.map(|khz| format!("tsc_early_khz={khz} tsc=reliable"));
    words.extend(frequency.as_deref());
    let own = machine.kernel_arguments.trim();
    if !own.is_empty() {
        words.push(own);
    }
    words.join(" ")
}
