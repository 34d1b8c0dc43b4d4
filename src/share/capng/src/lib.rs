//! Capabilities of the calling thread, with the interface of the `capng` crate as far as `virtiofsd` uses it.
//!
//! The original binds libcap-ng, a C library that must be there when kiln is built and when it runs. The workspace's
//! `[patch.crates-io]` puts this crate in its place: the same two system calls, capget(2) and capset(2), by `rustix`.
//!
//! As there, changes are collected for the calling thread ([`clear`], [`update`]) and take effect with [`apply`].

use std::{cell::Cell, error, fmt};

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// The number of a capability (`linux/capability.h`).
pub type Capability = u32;

/// Why capabilities could not be read or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The kernel refused the new sets.
    ApplyCapabilities,
    /// There is no capability of this name.
    GetCapabilityId(String),
    /// The kernel did not give the thread's sets.
    GetProcessCapabilities,
    /// There is no capability with this number.
    UpdateCapability(Capability),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApplyCapabilities => f.write_str("the kernel refused the capabilities"),
            Self::GetCapabilityId(name) => write!(f, "there is no capability {name}"),
            Self::GetProcessCapabilities => f.write_str("the kernel did not give the capabilities"),
            Self::UpdateCapability(number) => write!(f, "there is no capability {number}"),
        }
    }
}

impl error::Error for Error {}

/// The result of a call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

bitflags::bitflags! {
    /// Which of a thread's sets are meant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Type: u32 {
        /// The capabilities that the kernel checks.
        const EFFECTIVE = 1;
        /// The capabilities that can become effective.
        const PERMITTED = 2;
        /// The capabilities that exec may keep.
        const INHERITABLE = 4;
    }

    /// What [`clear`] and [`apply`] act on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Set: u32 {
        /// The effective, permitted and inheritable sets.
        const CAPS = 16;
        /// The bounding set.
        const BOUNDS = 32;
        /// All sets.
        const BOTH = 48;
    }
}

/// What [`update`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Removes a capability.
    DROP,
    /// Adds a capability.
    ADD,
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CUpdate {
    /// What is done.
    pub action: Action,
    /// In which sets.
    pub cap_type: Type,
    /// To which capability.
    pub capability: Capability,
}

/// Changes that wait for [`apply`].
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    sets: Option<CapabilitySets>,
    clear_bounds: bool,
}

thread_local! {
    static PENDING: Cell<Pending> = Cell::default();
}

/// Empties the sets.
pub fn clear(set: Set) {
    let mut pending = PENDING.get();
    if set.contains(Set::CAPS) {
        let none = CapabilitySet::empty();
        pending.sets = Some(CapabilitySets { effective: none, permitted: none, inheritable: none });
    }
    pending.clear_bounds |= set.contains(Set::BOUNDS);
    PENDING.set(pending);
}

/// Starts from the thread's present sets; changes that were not applied are forgotten.
pub fn get_caps_process() -> Result<()> {
    PENDING.set(Pending { sets: Some(current()?), clear_bounds: false });
    Ok(())
}

/// Adds and removes capabilities.
pub fn update(updates: Vec<CUpdate>) -> Result<()> {
    let mut pending = PENDING.get();
    let mut sets = pending.sets.map_or_else(current, Ok)?;
    for CUpdate { action, cap_type, capability } in updates {
        let one = one(capability)?;
        let chosen = [
            (Type::EFFECTIVE, &mut sets.effective),
            (Type::PERMITTED, &mut sets.permitted),
            (Type::INHERITABLE, &mut sets.inheritable),
        ];
        for (_, set) in chosen.into_iter().filter(|(kind, _)| cap_type.contains(*kind)) {
            set.set(one, action == Action::ADD);
        }
    }
    pending.sets = Some(sets);
    PENDING.set(pending);
    Ok(())
}

/// Makes the changes of `set` take effect for the calling thread.
pub fn apply(set: Set) -> Result<()> {
    let mut pending = PENDING.get();
    if set.contains(Set::BOUNDS) && std::mem::take(&mut pending.clear_bounds) {
        for number in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            // The kernel knows fewer numbers than there are bits: the others are in no set.
            if capability_is_in_bounding_set(one).unwrap_or(false) {
                remove_capability_from_bounding_set(one).map_err(|_| Error::ApplyCapabilities)?;
            }
        }
    }
    if set.contains(Set::CAPS)
        && let Some(sets) = pending.sets.take()
    {
        set_capabilities(None, sets).map_err(|_| Error::ApplyCapabilities)?;
    }
    PENDING.set(pending);
    Ok(())
}

/// Whether the thread has a capability in the set `which`.
pub fn have_capability(which: Type, capability: Capability) -> bool {
    let (Ok(sets), Ok(one)) = (current(), one(capability)) else { return false };
    let set = match which {
        Type::EFFECTIVE => sets.effective,
        Type::PERMITTED => sets.permitted,
        Type::INHERITABLE => sets.inheritable,
        _ => return false,
    };
    set.contains(one)
}

/// The number of a capability's name, with or without `CAP_`.
pub fn name_to_capability(name: &str) -> Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CapabilitySet::from_name(short)
        .map(|set| set.bits().trailing_zeros())
        .ok_or_else(|| Error::GetCapabilityId(name.into()))
}

fn current() -> Result<CapabilitySets> {
    capabilities(None).map_err(|_| Error::GetProcessCapabilities)
}

fn one(capability: Capability) -> Result<CapabilitySet> {
    1_u64
        .checked_shl(capability)
        .map(CapabilitySet::from_bits_retain)
        .ok_or(Error::UpdateCapability(capability))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSETID: Capability = 4;

    fn change(action: Action) -> Vec<CUpdate> {
        vec![CUpdate { action, cap_type: Type::EFFECTIVE, capability: FSETID }]
    }

    #[test]
    fn names_are_those_of_the_kernel() {
        for (name, number) in [("FSETID", Ok(4)), ("CAP_CHOWN", Ok(0)), ("dac_override", Ok(1))] {
            assert_eq!(name_to_capability(name), number);
        }
        assert_eq!(name_to_capability("FLY"), Err(Error::GetCapabilityId("FLY".into())));
        assert_eq!(one(64), Err(Error::UpdateCapability(64)));
    }

    #[test]
    fn a_change_takes_effect_when_it_is_applied_and_in_this_thread_only() {
        let before = current().expect("a thread has sets");
        update(change(Action::DROP)).expect("a known capability");
        assert_eq!(current(), Ok(before), "nothing was applied");
        apply(Set::CAPS).expect("a capability can be dropped");
        assert!(!have_capability(Type::EFFECTIVE, FSETID));
        let of_another = std::thread::spawn(|| have_capability(Type::EFFECTIVE, FSETID)).join();
        // The new thread has the sets of its parent: the drop before.
        assert_eq!(of_another.ok(), Some(false));
        // Only a permitted capability can become effective again.
        update(change(Action::ADD)).expect("a known capability");
        let restored = apply(Set::CAPS);
        let permitted = before.permitted.contains(CapabilitySet::FSETID);
        assert_eq!(restored.is_ok(), permitted);
        assert_eq!(have_capability(Type::EFFECTIVE, FSETID), permitted);
    }
}
