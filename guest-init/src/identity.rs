//! Adds the users and groups that steps need to what `/etc/passwd`, `/etc/group` and `/etc/shadow` have.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result};
use kiln_protocol::Identity;

/// Appends each identity where its name is missing.
pub(crate) fn add(identities: &[Identity]) -> Result<()> {
    for Identity { name, id, home, shell } in identities {
        let passwd = format!("{name}:x:{id}:{id}:{name}:{home}:{shell}");
        append("/etc/group", name, &format!("{name}:x:{id}:"))?;
        append("/etc/passwd", name, &passwd)?;
        // Locked, without an age. A root without the file does without the line.
        if Path::new("/etc/shadow").exists() {
            append("/etc/shadow", name, &format!("{name}:!::0:::::"))?;
        }
    }
    Ok(())
}

fn append(path: &str, name: &str, line: &str) -> Result<()> {
    let context = || format!("add {name} to {path}");
    let known = match fs::read(path) {
        Ok(known) => known,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(context),
    };
    let Some(addition) = addition(&known, name, line) else { return Ok(()) };
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).with_context(context)?;
    file.write_all(addition.as_bytes()).with_context(context)
}

/// What must be appended so that a file of `name:…` lines has one for `name`; nothing when it has.
fn addition(known: &[u8], name: &str, line: &str) -> Option<String> {
    let is_own = |line: &[u8]| line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
    if known.split(|byte| *byte == b'\n').any(is_own) {
        return None;
    }
    // A last line without its newline would swallow ours.
    let separator = if known.last().is_some_and(|byte| *byte != b'\n') { "\n" } else { "" };
    Some(format!("{separator}{line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_appended_where_the_name_is_missing() {
        let cases: [(&[u8], Option<&str>); 5] = [
            (b"", Some("build:x\n")),
            (b"root:x\n", Some("build:x\n")),
            (b"root:\xff", Some("\nbuild:x\n")),
            (b"builder:x\n", Some("build:x\n")),
            (b"root:x\nbuild:y", None),
        ];
        for (known, expected) in cases {
            assert_eq!(addition(known, "build", "build:x").as_deref(), expected, "{known:?}");
        }
    }
}
