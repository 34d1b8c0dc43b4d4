//! What the tests of containers and sandboxes plan with.

use std::path::Path;

use super::{
    CacheMode, CacheMount, CacheShare, CacheSharing, Network, Owner, accounts::Accounts, world::Parts,
};

/// A cache that is bound.
pub(super) fn cache(mode: CacheMode) -> CacheMount {
    CacheMount::new("/c".into(), mode, CacheShare::Bind, Some(CacheSharing::Shared))
}

/// A source and that cache, without a network.
pub(super) fn parts<'a>(cache: &'a CacheMount, inside: u32) -> Parts<'a> {
    Parts {
        source: Some(Path::new("/s")),
        hidden: vec!["packages".into()],
        cache: Some(cache),
        owner: Owner { inside, inside_gid: inside, uid: 0, gid: 0 },
        network: Network::Off,
        accounts: Accounts { identities: Vec::new(), groups: Vec::new() },
        changes: Vec::new(),
        package: "p",
        capabilities: Vec::new(),
        names: Default::default(),
    }
}
