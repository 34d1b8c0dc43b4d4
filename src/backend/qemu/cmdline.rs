//! The guest kernel's arguments, each with its reason.

use crate::plan::{Accelerator, Machine};

/// What every guest gets.
const ALWAYS: &[&str] = &[
    // The console is a log on virtio; the kernel says only what is wrong.
    "console=hvc0",
    "loglevel=4",
    // A panic, like the agent's own end, reboots by triple fault, and QEMU (-no-reboot) ends.
    "panic=-1",
    "reboot=t",
    // No device behind these is there: do not wait for one.
    "8250.nr_uarts=0",
    "i8042.noaux",
    "i8042.nokbd",
    // Isolation is the machine's: the guest need not defend itself against its own processes.
    "mitigations=off",
    "audit=0",
    // Self-tests of ciphers take tens of milliseconds.
    "cryptomgr.notests",
    "random.trust_cpu=on",
    "rcupdate.rcu_expedited=1",
    "net.ifnames=0",
    // melange's users look for it.
    "melange_qemu_runner=1",
];

/// What a guest under TCG gets besides.
const TCG: &[&str] = &["no_timer_check", "nokaslr"];

/// The whole line.
pub(super) fn kernel_arguments(machine: &Machine) -> String {
    let mut words: Vec<&str> = ALWAYS.to_vec();
    match machine.accelerator {
        Accelerator::Tcg => words.extend(TCG),
        Accelerator::Kvm => {}
    }
    // Told, the kernel need not measure it: under TCG, on a busy host, it may measure for ever.
    let frequency = machine.tsc_khz.filter(|_| machine.accelerator == Accelerator::Tcg);
    let frequency = frequency.map(|khz| format!("tsc_early_khz={khz}"));
    words.extend(frequency.as_deref());
    let own = machine.kernel_arguments.trim();
    if !own.is_empty() {
        words.push(own);
    }
    words.join(" ")
}
