//! The isolation of a microVM.

use crate::backend::isolation::{GIVEN, Isolation};

/// With KVM the processor holds the guest, without it QEMU's translator.
pub fn isolation(with_kvm: bool) -> Isolation {
    let own = [
        "kernel",
        "processes",
        "users",
        "devices",
        "memory and processors (limited)",
        "network (a packet filter of kiln's keeps it from the host's loopback)",
        "a seccomp filter around QEMU",
    ];
    let mut isolation = Isolation::new(&own, &[GIVEN]);
    if !with_kvm {
        let weak =
            "under TCG what holds a guest is QEMU's translator, which its developers do not call a boundary";
        isolation.shared.push(weak.into());
    }
    isolation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_microvm_without_kvm_is_weaker() {
        let shared = |with_kvm| isolation(with_kvm).shared.len();
        assert_eq!((shared(true), shared(false)), (1, 2));
    }
}
