//! A virtiofsd of this host as the server of a directory.

use std::ffi::OsString;

use anyhow::Result;

use super::{
    Directory, Owner, Sandbox,
    arguments::arguments,
    server::Daemon,
    virtiofsd::{DaemonKind, Virtiofsd},
};
use crate::{exit::Failure, process::IdMap};

impl Daemon for Virtiofsd {
    fn name(&self) -> &'static str {
        "virtiofsd"
    }

    fn argv(&self, directory: &Directory, owner: Owner, sandbox: Sandbox) -> Result<Vec<OsString>, Failure> {
        let arguments = arguments(self, directory, owner, sandbox)?;
        Ok(std::iter::once(self.path.clone().into()).chain(arguments).collect())
    }

    /// The C daemon cannot translate ids. A user namespace does: the step's user in the guest is root on the host.
    fn ids(&self, directory: &Directory, owner: Owner) -> Result<Option<IdMap>> {
        let (uid, gid) = directory.inside;
        match self.kind {
            DaemonKind::C if (uid, gid) != (owner.uid, owner.gid) => {
                Ok(Some(IdMap::swap(uid, gid)?.with_all_rights()))
            }
            DaemonKind::C | DaemonKind::Rust { .. } => Ok(None),
        }
    }
}
