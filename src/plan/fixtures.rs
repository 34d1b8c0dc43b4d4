//! Inputs for the tests of the plans of containers and sandboxes.

use std::path::Path;

use super::{CacheMode, CacheMount, CacheShare, CacheSharing, Network, Owner, guest_config::GuestInput};

/// A cache that is shared by a bind.
pub(crate) fn cache(mode: CacheMode) -> CacheMount {
    CacheMount::new("/c".into(), mode, CacheShare::Bind, Some(CacheSharing::Shared))
}

/// A guest with a source and that cache, without a network.
pub(crate) fn guest(cache: &CacheMount, uid: u32) -> GuestInput<'_> {
    GuestInput {
        source: Some(Path::new("/s")),
        hidden: vec!["packages".into()],
        cache: Some(cache),
        owner: Owner { guest_uid: uid, guest_gid: uid, uid: 0, gid: 0 },
        network: Network::Off,
        identities: Vec::new(),
        groups: Vec::new(),
        changes: Vec::new(),
        package: "p",
        capabilities: Vec::new(),
        names: Default::default(),
    }
}
