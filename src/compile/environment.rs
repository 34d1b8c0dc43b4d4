//! Additions to every guest: the user `build`, and the variables by which tools find the cache.

use std::collections::BTreeMap;

use crate::{
    ecosystem::{self, Ecosystem},
    manifest::{Accounts, Environment, Group, Map, Text, User},
};

/// The name of the user and the group.
const BUILD: &str = "build";
/// Their number.
const BUILD_ID: u32 = 1000;

/// Variables that are set, like those of the ecosystems, unless the build file sets them to something; always, whether
/// there is a cache or not.
const DEFAULTS: [(&str, &str); 2] = [("HOME", "/home/build"), ("GOPATH", "/home/build/.cache/go")];

/// Adds the user and the group `build`, unless there are some of that name.
pub(crate) fn add_accounts(accounts: &mut Accounts) {
    if !accounts.groups.iter().any(|group| group.groupname == BUILD) {
        accounts.groups.push(Group { groupname: BUILD.into(), gid: BUILD_ID, members: vec![BUILD.into()] });
    }
    if !accounts.users.iter().any(|user| user.username == BUILD) {
        let user = User { username: BUILD.into(), uid: BUILD_ID, gid: Some(BUILD_ID), ..User::default() };
        accounts.users.push(user);
    }
}

/// Adds the variables of the `--env-file`s, then the defaults: the build file wins over both, an earlier file over a later.
///
/// `also` are the ecosystems that `--cache-also` named, besides those of every build.
pub(crate) fn add_variables(
    environment: &mut Environment,
    env_files: &[BTreeMap<String, String>],
    also: &[&'static Ecosystem],
) {
    let variables = &mut environment.variables;
    for file in env_files {
        for (name, value) in file {
            put(variables, name, value);
        }
    }
    let ecosystems = ecosystem::always().chain(also.iter().copied());
    for &(name, value) in DEFAULTS.iter().chain(ecosystems.flat_map(|ecosystem| ecosystem.variables)) {
        if variables.get(name).is_none_or(|value| value.is_empty()) {
            variables.insert(name.into(), value.into());
        }
    }
}

fn put(variables: &mut Map, name: &str, value: &str) {
    variables.entry(Text::from(name)).or_insert_with(|| Text::from(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect()
    }

    #[test]
    fn the_build_file_wins_over_files_and_files_over_defaults() {
        let mut environment = Environment {
            variables: map(&[("A", "yaml"), ("HOME", ""), ("EMPTY", "")]),
            ..Environment::default()
        };
        let file =
            |pairs: &[(&str, &str)]| pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let files = [
            file(&[("A", "1"), ("B", "1"), ("GOPATH", "/go"), ("EMPTY", "1")]),
            file(&[("B", "2"), ("C", "2")]),
        ];
        add_variables(&mut environment, &files, &[ecosystem::named("gocache").expect("it is in the table")]);
        let at = |name: &str| environment.variables.get(name).map(Text::as_str);
        assert_eq!(at("A"), Some("yaml"));
        assert_eq!(at("B"), Some("1"));
        assert_eq!(at("C"), Some("2"));
        assert_eq!(at("GOPATH"), Some("/go"));
        assert_eq!(at("HOME"), Some("/home/build"));
        assert_eq!(at("EMPTY"), Some(""));
        assert_eq!(at("PIP_CACHE_DIR"), Some("/var/cache/melange/pip"));
        assert_eq!(at("CARGO_HOME"), Some("/var/cache/melange/cargo"));
        assert_eq!(at("GOCACHE"), Some("/var/cache/melange/gocache"));
        assert_eq!(at("CCACHE_DIR"), None);
    }

    #[test]
    fn an_account_called_build_is_kept() {
        let own = User { username: BUILD.into(), uid: 7, ..User::default() };
        let mut accounts = Accounts { users: vec![own.clone()], ..Accounts::default() };
        add_accounts(&mut accounts);
        assert_eq!(accounts.users, [own]);
        assert_eq!(accounts.groups.len(), 1);
        add_accounts(&mut accounts);
        assert_eq!(accounts.groups.len(), 1);
    }
}
