//! `environment.accounts` and `environment.paths`: users, groups and files that the guest has besides those of its image. Pure.
//!
//! They have the meaning that apko gives them. apko makes them once in an image. Here the agent makes them in each guest, since
//! one image serves many build files.

use kiln_protocol::{Group, Identity, IfGroupExists, Mount, PathChange, PathKind, User};

use super::{BUILD_ID, Ids, Owner, WORKSPACE};
use crate::{
    compile::Recipe,
    exit::Failure,
    host::Host,
    manifest::{self, PathMutation, Text},
};

/// The user that builds run as, and the group of that name.
const BUILD: &str = "build";

/// The number of ids in a user namespace of an ordinary user: the size of a range of /etc/subuid.
const SUBUID_COUNT: u32 = 65_536;

/// The users and groups of the guest.
pub(super) struct Accounts {
    pub(super) identities: Vec<Identity>,
    pub(super) groups: Vec<Group>,
}

impl Accounts {
    /// The users and groups of a recipe, and `build`.
    pub(super) fn of(recipe: &Recipe) -> Self {
        let accounts = &recipe.environment.accounts;
        let mut identities: Vec<Identity> = Vec::new();
        for user in &accounts.users {
            if identities.iter().all(|known| *known.name != *user.username) {
                identities.push(identity(user));
            }
        }
        if identities.iter().all(|known| known.name != BUILD) {
            let user = manifest::User { username: BUILD.into(), uid: BUILD_ID, ..manifest::User::default() };
            identities.push(identity(&user));
        }
        let mut groups: Vec<Group> = Vec::new();
        for manifest::Group { groupname, gid, members } in &accounts.groups {
            if groups.iter().all(|known| *known.name != **groupname) {
                let members = members.iter().map(ToString::to_string).collect();
                let (name, if_exists) = (groupname.to_string(), IfGroupExists::Replace);
                groups.push(Group { name, gid: *gid, members, if_exists });
            }
        }
        // Each primary group has a name: that of its user if the recipe has none.
        for Identity { name, gid, .. } in &identities {
            if groups.iter().all(|group| group.name != *name && group.gid != *gid) {
                let (name, members) = (name.clone(), Vec::new());
                groups.push(Group { name, gid: *gid, members, if_exists: IfGroupExists::Keep });
            }
        }
        Self { identities, groups }
    }

    /// The uid and gid of the user and the group `build`: their files belong to root in packages.
    pub(super) fn build_ids(&self) -> (u32, u32) {
        let uid = self.identities.iter().find(|user| user.name == BUILD).map(|user| user.uid);
        let gid = self.groups.iter().find(|group| group.name == BUILD).map(|group| group.gid);
        (uid.unwrap_or(BUILD_ID), gid.unwrap_or(BUILD_ID))
    }

    /// The user of the steps in the guest, and the invoking user on the host.
    pub(super) fn owner(&self, user: &User, host: &Host, notes: &mut Vec<String>) -> Owner {
        let ids = match user {
            User::Root => Some((0, 0)),
            User::Uid(uid) => {
                let known = self.identities.iter().find(|identity| identity.uid == *uid);
                Some((*uid, known.map_or(*uid, |identity| identity.gid)))
            }
            User::Name(name) => {
                let known = self.identities.iter().find(|identity| identity.name == *name);
                known.map(|identity| (identity.uid, identity.gid))
            }
        };
        if let (None, User::Name(name)) = (ids, user) {
            notes.push(format!(
                "run-as: {name} is not in environment.accounts; source and cache belong to root inside"
            ));
        }
        let (guest_uid, guest_gid) = ids.unwrap_or((0, 0));
        Owner { guest_uid, guest_gid, uid: host.uid, gid: host.gid }
    }

    /// The home directories of the users, for the agent to make if they are missing.
    fn homes(&self, ids: impl Fn((u32, u32)) -> (u32, u32)) -> Vec<Mount> {
        let mut mounts = Vec::new();
        for Identity { uid, gid, home, .. } in &self.identities {
            let (parent, name) = home.rsplit_once('/').unwrap_or_default();
            if home == WORKSPACE || home.starts_with("/dev/") || name.is_empty() {
                continue;
            }
            if !parent.is_empty() {
                mounts.push(Mount::EnsureDir { path: parent.into(), mode: 0o755, uid: 0, gid: 0 });
            }
            let (uid, gid) = ids((*uid, *gid));
            mounts.push(Mount::EnsureDir { path: home.clone(), mode: 0o700, uid, gid });
        }
        mounts
    }
}

fn identity(user: &manifest::User) -> Identity {
    let manifest::User { username, uid, gid, shell, homedir } = user;
    let or = |text: &Text, otherwise: String| if text.is_empty() { otherwise } else { text.to_string() };
    Identity {
        name: username.to_string(),
        uid: *uid,
        gid: gid.unwrap_or(*uid),
        home: or(homedir, format!("/home/{username}")),
        shell: or(shell, "/bin/sh".into()),
    }
}

/// The changes of the guest's root: home directories, then `environment.paths` in their order. In a sandbox with one user all of
/// them belong to root.
pub(super) fn changes(recipe: &Recipe, accounts: &Accounts, ids: Option<Ids>) -> Vec<Mount> {
    let guest_ids = |owner| if ids == Some(Ids::SingleUid) { (0, 0) } else { owner };
    let paths = recipe.environment.paths.iter().filter_map(|mutation| change(mutation, guest_ids));
    accounts.homes(guest_ids).into_iter().chain(paths.map(Mount::Path)).collect()
}

/// One change; `None` for a type that the compiler has refused.
fn change(mutation: &PathMutation, guest_ids: impl Fn((u32, u32)) -> (u32, u32)) -> Option<PathChange> {
    let PathMutation { path, kind, uid, gid, permissions, source, recursive } = mutation;
    let kind = match kind.as_str() {
        "directory" => PathKind::Directory { recursive: *recursive },
        "empty-file" => PathKind::EmptyFile,
        "hardlink" => PathKind::HardLink { source: source.to_string() },
        "symlink" => PathKind::Symlink { target: source.to_string() },
        "permissions" => PathKind::Permissions { recursive: *recursive },
        _ => return None,
    };
    // As in apko: one of both is root's if only the other one is given, and without any the owner of what is there stays.
    let is_given = uid.is_some() || gid.is_some();
    let owner = is_given.then(|| guest_ids((uid.unwrap_or(0), gid.unwrap_or(0))));
    let mode = (*permissions != 0).then_some(*permissions);
    Some(PathChange { path: path.to_string(), kind, mode, owner })
}

/// Checks that a sandbox of an ordinary user has the ids of all users and paths.
///
/// # Errors
/// Names the first user or path with a higher id.
pub(super) fn check_range(recipe: &Recipe, accounts: &Accounts, owner: Owner) -> Result<(), Failure> {
    let users =
        accounts.identities.iter().map(|user| (format!("the user {}", user.name), user.uid, user.gid));
    let paths = recipe.environment.paths.iter();
    let paths = paths.map(|path| (path.path.to_string(), path.uid.unwrap_or(0), path.gid.unwrap_or(0)));
    let beyond = |id: u32, own: u32| id >= SUBUID_COUNT && id != own;
    match users
        .chain(paths)
        .find(|(_, uid, gid)| beyond(*uid, owner.guest_uid) || beyond(*gid, owner.guest_gid))
    {
        None => Ok(()),
        Some((what, uid, gid)) => Err(Failure::host(
            format!("{what} ({uid}:{gid}): an ordinary user's sandbox has the ids below {SUBUID_COUNT} only"),
            "use another --runner, or a smaller uid and gid",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::resolve::tests::recipe;

    fn lines(text: &str) -> (Vec<String>, Vec<String>) {
        let Accounts { identities, groups } = Accounts::of(&recipe(text));
        let users = identities
            .into_iter()
            .map(|Identity { name, uid, gid, home, shell }| format!("{name}:{uid}:{gid}:{home}:{shell}"));
        let groups = groups.into_iter().map(|Group { name, gid, members, if_exists }| {
            format!("{name}:{gid}:{} {if_exists:?}", members.join(","))
        });
        (users.collect(), groups.collect())
    }

    #[test]
    fn accounts_are_those_of_the_recipe_and_build() {
        for (text, users, groups) in [
            ("{}", &["build:1000:1000:/home/build:/bin/sh"][..], &["build:1000:build Replace"][..]),
            (
                "{users: [{username: build, uid: 1234, gid: 100, shell: /bin/bash, homedir: /srv/b}]}",
                &["build:1234:100:/srv/b:/bin/bash"],
                &["build:1000:build Replace"],
            ),
            (
                "{users: [{username: app, uid: 7}, {username: app, uid: 8}], groups: [{groupname: g, gid: 9, members: [app, build]}]}",
                &["app:7:7:/home/app:/bin/sh", "build:1000:1000:/home/build:/bin/sh"],
                &["g:9:app,build Replace", "build:1000:build Replace", "app:7: Keep"],
            ),
            (
                "{users: [{username: app, uid: 7, gid: 100}]}",
                &["app:7:100:/home/app:/bin/sh", "build:1000:1000:/home/build:/bin/sh"],
                &["build:1000:build Replace", "app:100: Keep"],
            ),
        ] {
            let text = format!("environment: {{accounts: {text}}}");
            let (found_users, found_groups) = lines(&text);
            assert_eq!(found_users, users, "{text}");
            assert_eq!(found_groups, groups, "{text}");
        }
    }

    #[test]
    fn homes_are_made_except_below_dev_and_at_the_root() {
        let text = "environment: {accounts: {users: [{username: a, uid: 7, gid: 8, homedir: /srv/x/a}, \
                    {username: d, uid: 9, homedir: /dev/null}, {username: r, uid: 0, homedir: /}]}}";
        let recipe = recipe(text);
        let accounts = Accounts::of(&recipe);
        let home = |uid, gid| {
            let missing = |path: &str, mode, uid, gid| Mount::EnsureDir { path: path.into(), mode, uid, gid };
            vec![missing("/srv/x", 0o755, 0, 0), missing("/srv/x/a", 0o700, uid, gid)]
        };
        assert_eq!(changes(&recipe, &accounts, None), home(7, 8));
        assert_eq!(changes(&recipe, &accounts, Some(Ids::Range)), home(7, 8));
        assert_eq!(changes(&recipe, &accounts, Some(Ids::SingleUid)), home(0, 0));
    }

    #[test]
    fn ids_beyond_the_subuid_range_are_refused_except_those_of_the_steps_user() {
        let check = |text: &str, guest_id| {
            let recipe = recipe(text);
            let owner = Owner { guest_uid: guest_id, guest_gid: guest_id, uid: 1, gid: 1 };
            check_range(&recipe, &Accounts::of(&recipe), owner).map_err(|failure| failure.what)
        };
        let user = "environment: {accounts: {users: [{username: a, uid: 70000}]}}";
        assert_eq!(check(user, 70_000), Ok(()));
        assert!(check(user, 1000).is_err_and(|what| what.starts_with("the user a (70000:70000): ")));
        let path = "environment: {paths: [{path: /x, type: empty-file, gid: 65536}]}";
        assert!(check(path, 1000).is_err_and(|what| what.starts_with("/x (0:65536): ")));
        assert_eq!(check("environment: {paths: [{path: /x, type: empty-file, gid: 65535}]}", 1000), Ok(()));
    }
}
