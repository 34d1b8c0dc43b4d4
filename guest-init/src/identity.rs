//! Has the groups and users that the build file names in `/etc/group`, `/etc/passwd` and `/etc/shadow`.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result};
use kiln_protocol::{Group, Identity, IfGroupExists};

use crate::path_change::Mounts;

/// Writes a line for each, in place of the one that its name has.
pub(crate) fn set(groups: &[Group], identities: &[Identity]) -> Result<()> {
    for Group { name, gid, members, if_exists } in groups {
        let line = format!("{name}:x:{gid}:{}", members.join(","));
        edit("/etc/group", name, |known| match if_exists {
            IfGroupExists::Keep if has_number(known, *gid) => None,
            IfGroupExists::Keep if has_name(known, name) => None,
            IfGroupExists::Keep | IfGroupExists::Replace => Some(with_line(known, name, &line)),
        })?;
    }
    for Identity { name, uid, gid, home, shell } in identities {
        let line = format!("{name}:x:{uid}:{gid}:{name}:{home}:{shell}");
        edit("/etc/passwd", name, |known| Some(with_line(known, name, &line)))?;
        // Locked, without an age. A root without the file does without the line.
        if Path::new("/etc/shadow").exists() {
            let line = format!("{name}:!:::::::");
            edit("/etc/shadow", name, |known| {
                (!has_name(known, name)).then(|| with_line(known, name, &line))
            })?;
        }
    }
    Ok(())
}

/// Gives a file the content that `change` makes of its own, if it makes one.
fn edit(path: &str, name: &str, change: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Result<()> {
    let context = || format!("set {name} in {path}");
    Mounts::refuse_detour(Path::new(path)).with_context(context)?;
    let known = match fs::read(path) {
        Ok(known) => known,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(context),
    };
    let Some(changed) = change(&known).filter(|changed| *changed != known) else { return Ok(()) };
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    // In place, so that mode and owner stay.
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).open(path).with_context(context)?;
    file.write_all(&changed).with_context(context)
}

fn lines(known: &[u8]) -> impl Iterator<Item = &[u8]> {
    known.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn is_of(line: &[u8], name: &str) -> bool {
    line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
}

fn has_name(known: &[u8], name: &str) -> bool {
    lines(known).any(|line| is_of(line, name))
}

/// Whether a line of `/etc/group` has this number.
fn has_number(known: &[u8], gid: u32) -> bool {
    let number = gid.to_string();
    lines(known).any(|line| line.split(|byte| *byte == b':').nth(2) == Some(number.as_bytes()))
}

/// A file of `name:…` lines with this one for `name`: where its first was, or at the end.
fn with_line(known: &[u8], name: &str, line: &str) -> Vec<u8> {
    let mut line = Some(line.as_bytes());
    let mut all: Vec<&[u8]> =
        lines(known).filter_map(|other| if is_of(other, name) { line.take() } else { Some(other) }).collect();
    all.extend(line);
    let mut text = all.join(&b'\n');
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_replaces_the_first_of_its_name_and_drops_the_others() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"", b"build:new\n"),
            (b"root:x\n", b"root:x\nbuild:new\n"),
            (b"root:\xff", b"root:\xff\nbuild:new\n"),
            (b"builder:x\n", b"builder:x\nbuild:new\n"),
            (b"root:x\nbuild:y\ngames:z\n", b"root:x\nbuild:new\ngames:z\n"),
            (b"build:1\nroot:x\nbuild:2", b"build:new\nroot:x\n"),
        ];
        for (known, expected) in cases {
            assert_eq!(with_line(known, "build", "build:new"), expected, "{}", known.escape_ascii());
        }
    }

    #[test]
    fn a_group_is_known_by_its_name_and_by_its_number() {
        let known = b"root:x:0:\nusers:x:100:\nbroken\n";
        assert!(has_number(known, 100) && !has_number(known, 10) && !has_number(known, 1000));
        assert!(has_name(known, "users") && !has_name(known, "user"));
    }
}
