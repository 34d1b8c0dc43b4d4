//! Finds the records of a cache that had another key before the host was started again.
//!
//! A key is a device number and an inode. The host gives device numbers at each start, in the order in which it finds disks;
//! btrfs and NFS use any free one. A commit that was decided under the old key is still to be merged. The name of its staging
//! directory, which no other cache has, says which cache it is for.

use std::path::Path;

use anyhow::Result;

use super::{
    dir::lock::LockMode,
    lease::Lease,
    lease_table::{LEASES, LeaseTable},
    sweep,
    txn::{
        journal::{JOURNALS, Journal, Reading},
        staging,
    },
};
use crate::event::Event;

/// Takes over the records of keys that no cache has any more, if their staging directories lie in this cache. Under the lock
/// of commits.
pub(super) fn adopt(lease: &Lease, journal: &Journal) -> Result<()> {
    let (journals, leases) = (lease.home.dir(JOURNALS)?, lease.home.dir(LEASES)?);
    for key in sweep::names(&journals)? {
        let other = journals.join(&key);
        if key == lease.key.0 || !other.is_dir() || is_in_use(&leases.join(&key), &key) {
            continue;
        }
        let Some(lock) = LeaseTable::named(&lease.home, &key)?.try_lock(LockMode::Exclusive)? else {
            continue;
        };
        let old = Journal::at(other);
        old.sweep()?;
        for number in old.pending()? {
            let is_ours = match old.read(number)? {
                None => false,
                Some(Reading::Whole(record)) => staging::is_there(lease, &record.staging)?,
                // It cannot be read, so its staging directory is not known.
                Some(Reading::Unreadable(_)) => inode(&key) == inode(&lease.key.0),
            };
            if is_ours {
                let text = format!("takes over commit {number}: the device of the cache was {key} before");
                lease.remarks.add(Event::Note { text });
                journal.take_over(&old, number)?;
            }
        }
        drop(lock);
        sweep::forget(&lease.home, &key)?;
    }
    Ok(())
}

fn inode(key: &str) -> Option<&str> {
    key.split_once('-').map(|(_, inode)| inode)
}

/// Whether a cache has this key now. The path of that cache is not flushed, so a power cut may have left none.
fn is_in_use(lease: &Path, key: &str) -> bool {
    lease.join("path").exists() && !sweep::is_gone(lease, key)
}
