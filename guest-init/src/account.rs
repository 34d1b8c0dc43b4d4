//! Looks users up in the guest's own `/etc/passwd` and `/etc/group`: a static program has no NSS.

use std::{fs, io::ErrorKind};

use anyhow::{Context, Result, anyhow};
use kiln_protocol::User;
use nix::unistd::{Gid, Uid};

/// The user and groups of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// User.
    pub(crate) uid: Uid,
    /// Primary group.
    pub(crate) gid: Gid,
    /// Supplementary groups, the primary one among them; sorted.
    pub(crate) groups: Vec<Gid>,
}

/// The account of a user that the protocol names.
pub(crate) fn find(user: &User) -> Result<Account> {
    lookup(user, &read("/etc/passwd")?, &read("/etc/group")?)
}

fn read(path: &str) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        // Without the file, root and numbers are known.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("read {path}")),
    }
}

fn lookup(user: &User, passwd: &str, group: &str) -> Result<Account> {
    let entries = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((name, uid, gid))
    });
    let mut entries = entries;
    let (name, uid, gid): (&str, u32, u32) = match user {
        User::Root => ("root", 0, 0),
        User::Name(name) => entries
            .find(|(known, ..)| known == name)
            .ok_or_else(|| anyhow!("no user {name} in /etc/passwd"))?,
        User::Uid(number) => entries.find(|(_, uid, _)| uid == number).unwrap_or(("", *number, *number)),
    };
    let mut groups: Vec<u32> = group.lines().filter_map(|line| membership(line, name)).collect();
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let groups = groups.into_iter().map(Gid::from_raw).collect();
    Ok(Account { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups })
}

/// The number of the group of a line of `/etc/group` (`name:password:gid:member,…`), if `name` is a member.
fn membership(line: &str, name: &str) -> Option<u32> {
    let mut fields = line.split(':').skip(2);
    let gid = fields.next()?.parse().ok()?;
    fields.next()?.split(',').any(|member| !member.is_empty() && member == name).then_some(gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nbroken\nbuild:x:1000:1001::/home/build:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nkvm:x:104:other,build\nwheel:x:10:root\nempty:x:7:\nbuild:x:1001:\n";

    fn account(uid: u32, gid: u32, groups: &[u32]) -> Account {
        let groups = groups.iter().copied().map(Gid::from_raw).collect();
        Account { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups }
    }

    #[test]
    fn accounts_come_from_the_files() {
        let cases = [
            (User::Root, account(0, 0, &[0, 10])),
            (User::Name("build".into()), account(1000, 1001, &[104, 1001])),
            (User::Uid(1000), account(1000, 1001, &[104, 1001])),
            (User::Uid(77), account(77, 77, &[77])),
        ];
        for (user, expected) in cases {
            assert_eq!(lookup(&user, PASSWD, GROUP).expect("it is known"), expected, "{user:?}");
        }
        assert_eq!(lookup(&User::Root, "", "").expect("root needs no file"), account(0, 0, &[0]));
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let error =
            lookup(&User::Name("nobody-here".into()), PASSWD, GROUP).expect_err("there is no such user");
        assert_eq!(error.to_string(), "no user nobody-here in /etc/passwd");
    }
}
