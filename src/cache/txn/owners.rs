//! The users whose files may lie in a cache: the user that runs kiln, and the owner of the directory.

use anyhow::{Context, Result};
use nix::{
    sys::stat::FileStat,
    unistd::{getegid, geteuid, getgroups},
};

use crate::cache::dir::BeneathDir;

/// A user and a group.
type Ids = (u32, u32);

/// The users and groups whose files may be there.
pub(in crate::cache) struct Owners {
    user: Ids,
    owner: Ids,
    /// The other groups of the user, which a set-gid directory gives to what is made in it.
    groups: Vec<u32>,
}

impl Owners {
    /// Those of a cache.
    pub(in crate::cache) fn of(cache: &BeneathDir) -> Result<Self> {
        let stat = cache.itself().context("look at the cache")?;
        Self::with((stat.st_uid, stat.st_gid))
    }

    /// Those of a cache that has, or had, this owner.
    pub(in crate::cache) fn with(owner: Ids) -> Result<Self> {
        let groups =
            getgroups().context("ask for the user's groups")?.into_iter().map(|group| group.as_raw());
        let user = (geteuid().as_raw(), getegid().as_raw());
        Ok(Self { user, owner, groups: groups.collect() })
    }

    /// The user of a file that neither of them owns.
    pub(in crate::cache) fn foreign(&self, stat: &FileStat) -> Option<u32> {
        (![self.user.0, self.owner.0].contains(&stat.st_uid)).then_some(stat.st_uid)
    }

    /// The user and group that a file has to be given to; `None` if it may keep its own.
    pub(in crate::cache) fn right(&self, stat: &FileStat) -> Option<Ids> {
        let is_group =
            [self.user.1, self.owner.1].contains(&stat.st_gid) || self.groups.contains(&stat.st_gid);
        let user = self.foreign(stat).map_or(stat.st_uid, |_| self.user.0);
        let group = if is_group { stat.st_gid } else { self.user.1 };
        ((user, group) != (stat.st_uid, stat.st_gid)).then_some((user, group))
    }

    /// Gives an entry to the owner of the cache.
    pub(in crate::cache) fn give(&self, parent: &BeneathDir, name: &[u8]) -> Result<()> {
        Ok(parent.give(name, self.owner)?)
    }
}
