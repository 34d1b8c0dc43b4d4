//! The user namespace around an ordinary user's sandbox, made by unshare(1).

use super::Ids;

/// The command that runs bwrap in a user namespace, in which bwrap and the agent are root, and the step's user is the user that
/// runs kiln. Empty if none is needed.
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
