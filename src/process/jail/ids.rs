//! The ids of a jail's user namespace: none of them is a user's of the host.
//!
//! As root, root's range of subuid(5) and subgid(5), else one from [`UNASSIGNED`] on. For an ordinary user unshare(1) has made a
//! namespace with the user as its root, and the user's range as the other ids, which are the jail's.

use std::fs::{self, File};

use anyhow::{Context, Result};

use super::super::namespace::{self, IdMap, IdRange};

/// How many ids Debian uses: all of 16 bits.
const COUNT: u32 = 65_536;
/// The smallest sufficient number: the last of 16 bits is not a valid id (-1), and one id of an ordinary user is the user.
const ENOUGH: u32 = COUNT - 1;
/// Above the ids that systemd assigns to containers, below those that are negative as signed numbers: no distribution assigns these.
const UNASSIGNED: u32 = 0x7000_0000;

/// The ids of a jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JailIds {
    uids: IdRange,
    gids: IdRange,
}

impl JailIds {
    pub(super) fn choose() -> Result<Self> {
        let choose = |map: &str, ranges: &str| {
            let text = fs::read_to_string(ranges).unwrap_or_default();
            let wanted = of_root(&text).into_iter().chain([(UNASSIGNED, COUNT)]);
            range(&namespace::existing(map)?, wanted).with_context(|| {
                format!("{map} has no {ENOUGH} ids besides its first: too few for a distribution's users")
            })
        };
        Ok(Self {
            uids: choose("/proc/self/uid_map", "/etc/subuid")?,
            gids: choose("/proc/self/gid_map", "/etc/subgid")?,
        })
    }

    /// User and group of the jail's root, as ids outside.
    pub(super) fn root(&self) -> (u32, u32) {
        (self.uids.outside, self.gids.outside)
    }

    pub(super) fn namespace(&self) -> Result<File> {
        let Self { uids, gids } = self.clone();
        namespace::user_namespace(IdMap::of(uids, gids)).context("unshare the user namespace")
    }
}

/// The sufficient ranges of root in subuid(5): `root:first:count`, where the name may be a number.
fn of_root(text: &str) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, first, count] = fields[..] else { return None };
        let (first, count): (u32, u32) = (first.trim().parse().ok()?, count.trim().parse().ok()?);
        // A first of 0 would be root itself.
        (["root", "0"].contains(&user) && first > 0 && count >= ENOUGH).then_some((first, count.min(COUNT)))
    };
    text.lines().filter_map(range).collect()
}

/// The first of `wanted` that exists; else the last range of the existing ids besides the first, which is the user.
fn range(existing: &[(u32, u32)], wanted: impl IntoIterator<Item = (u32, u32)>) -> Option<IdRange> {
    let exists = |&(first, count): &(u32, u32)| {
        let end = u64::from(first) + u64::from(count);
        existing.iter().any(|&(start, len)| start <= first && end <= u64::from(start) + u64::from(len))
    };
    // The kernel lists adjacent ranges separately if they are mapped separately.
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let mut sorted = existing.to_vec();
    sorted.sort_unstable();
    for (first, count) in sorted {
        let (first, count) = if first == 0 { (1, count.saturating_sub(1)) } else { (first, count) };
        match runs.last_mut() {
            Some((start, len)) if start.checked_add(*len) == Some(first) => *len = len.saturating_add(count),
            Some(_) | None => runs.push((first, count)),
        }
    }
    let mut rest = runs.into_iter().filter(|&(_, count)| count >= ENOUGH).map(|(first, count)| {
        let taken = count.min(COUNT);
        (first + (count - taken), taken)
    });
    let found = wanted.into_iter().find(exists).or_else(|| rest.next_back());
    found.map(|(outside, count)| IdRange { inside: 0, outside, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(existing: &[(u32, u32)], subuid: &str) -> Option<(u32, u32)> {
        let wanted = of_root(subuid).into_iter().chain([(UNASSIGNED, COUNT)]);
        range(existing, wanted).map(|IdRange { inside, outside, count }| {
            assert_eq!(inside, 0);
            (outside, count)
        })
    }

    #[test]
    fn root_gets_its_range_or_an_unassigned_one() {
        let machine = [(0, u32::MAX)];
        assert_eq!(chosen(&machine, ""), Some((UNASSIGNED, COUNT)));
        assert_eq!(chosen(&machine, "a:1:65536\nroot:200000:100000\n"), Some((200_000, COUNT)));
        assert_eq!(chosen(&machine, "0:200000:65536"), Some((200_000, COUNT)));
        for useless in ["root:0:65536", "root:200000:10", "root:x:65536", "root:1", "root:4294967290:65536"] {
            assert_eq!(chosen(&machine, useless), Some((UNASSIGNED, COUNT)), "{useless}");
        }
    }

    #[test]
    fn a_user_gets_the_range_without_the_users_own_id() {
        assert_eq!(chosen(&[(0, 1), (1, 65_536)], "root:100000:65536"), Some((1, COUNT)));
        assert_eq!(chosen(&[(0, 1), (1, 65_535)], ""), Some((1, ENOUGH)));
        assert_eq!(chosen(&[(0, 65_536)], ""), Some((1, ENOUGH)));
        assert_eq!(chosen(&[(0, 1), (1, 1000), (1001, 70_000)], ""), Some((5465, COUNT)));
        assert_eq!(chosen(&[(0, 1)], ""), None);
        assert_eq!(chosen(&[(0, 1), (1, 1000)], ""), None);
    }
}
