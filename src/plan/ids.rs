//! As whom a sandbox is made, and the user namespace that goes around it.

use serde::Serialize;

/// As whom a sandbox is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ids {
    /// By root of the machine, in a range of ids that nobody outside has.
    Own,
    /// By root of the machine, on a file system that cannot show its files as those of other users: every user inside is that user
    /// outside, but for the rights.
    Root,
    /// In a user namespace with the user's range of `/etc/subuid`.
    Range,
    /// In a user namespace with one user: everybody inside is the one who runs kiln.
    SingleUid,
}

/// What goes before bwrap: the user namespace in which it and the agent are root, and the step's user is who runs kiln.
pub fn user_namespace(ids: Ids, (uid, gid): (u32, u32)) -> Vec<String> {
    let (user, group, root) =
        (format!("--map-user={uid}"), format!("--map-group={gid}"), ["--setuid=0", "--setgid=0"]);
    match ids {
        Ids::Own | Ids::Root => Vec::new(),
        Ids::Range => ["unshare", "--user", &user, &group, "--map-auto", root[0], root[1], "--"]
            .map(str::to_owned)
            .into(),
        Ids::SingleUid => {
            ["unshare", "--user", "--map-user=0", "--map-group=0", "--"].map(str::to_owned).into()
        }
    }
}
