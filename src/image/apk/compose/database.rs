//! apk's database of installed packages: what real apk reads in the guest. Pure.

use std::{collections::BTreeMap, fmt::Write};

use data_encoding::BASE64;

use crate::{
    apk::ustar::{Entry, Writer},
    plan::ApkPackage,
};

use super::{super::package::Package, install::Listed, root::Fault};

/// The text of `installed`: per package its record and its files.
pub(super) fn installed(chosen: &[ApkPackage], packages: &[Package], lists: &[Vec<Listed>]) -> String {
    let mut text = String::new();
    for ((chosen, package), list) in chosen.iter().zip(packages).zip(lists) {
        record(&mut text, chosen, package);
        files(&mut text, list);
        text.push('\n');
    }
    text
}

fn record(text: &mut String, chosen: &ApkPackage, package: &Package) {
    let info = &package.control.info;
    let first_license = info.licenses.first().map_or("", String::as_str);
    let mut line = |letter: char, value: &str| {
        text.push(letter);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    };
    line('P', &info.name);
    line('V', &info.version);
    line('A', &info.arch);
    line('L', first_license);
    line('T', &info.description);
    line('o', &info.origin);
    line('m', &info.maintainer);
    line('U', &info.url);
    line('D', &info.depends.join(" "));
    line('p', &info.provides.join(" "));
    if !info.replaces.is_empty() {
        line('r', &info.replaces.join(" "));
    }
    line('c', &info.commit);
    // As apko writes it; apk reads names that no package has.
    line('i', &format!("[{}]", info.install_if.join(" ")));
    line('t', &info.build_date.to_string());
    line('S', &chosen.size.to_string());
    line('I', &info.installed_size.to_string());
    line('k', &info.provider_priority_number().to_string());
    line('C', &chosen.checksum);
}

/// The files of one directory.
#[derive(Default)]
struct Directory<'l> {
    own: Option<&'l Listed>,
    files: BTreeMap<&'l [u8], &'l Listed>,
}

fn files(text: &mut String, list: &[Listed]) {
    // A path's parts as the key: a directory's files come before its subdirectories, each level by name.
    let mut directories: BTreeMap<Vec<&[u8]>, Directory<'_>> = BTreeMap::new();
    for one in list {
        let mut parts: Vec<&[u8]> = one.path.split(|byte| *byte == b'/').collect();
        if one.directory {
            directories.entry(parts).or_default().own = Some(one);
        } else if let Some(name) = parts.pop() {
            directories.entry(parts).or_default().files.insert(name, one);
        }
    }
    for (parts, directory) in directories {
        let path = parts.join(&b'/');
        let mut line = |letter: char, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{letter}:{value}");
        };
        line('F', &String::from_utf8_lossy(&path));
        if let Some(Listed { mode, uid, gid, .. }) = directory.own
            && (*mode, *uid, *gid) != (0o755, 0, 0)
        {
            line('M', &format!("{uid}:{gid}:{mode:04o}"));
        }
        for (name, Listed { mode, uid, gid, checksum, .. }) in directory.files {
            line('R', &String::from_utf8_lossy(name));
            if (*mode, *uid, *gid) != (0o644, 0, 0) {
                line('a', &format!("{uid}:{gid}:{mode:04o}"));
            }
            if let Some(checksum) = checksum {
                line('Z', &format!("Q1{}", BASE64.encode(checksum)));
            }
        }
    }
}

/// `triggers`: per package with a trigger the paths that it watches.
pub(super) fn triggers(chosen: &[ApkPackage], packages: &[Package]) -> String {
    let mut text = String::new();
    for (chosen, package) in chosen.iter().zip(packages) {
        let triggers = &package.control.info.triggers;
        if !triggers.is_empty() {
            text += &format!("{} {}\n", chosen.checksum, triggers.join(" "));
        }
    }
    text
}

/// `scripts.tar`: the scripts of all packages, which did not run.
pub(super) fn scripts(chosen: &[ApkPackage], packages: &[Package]) -> Result<Vec<u8>, Fault> {
    let mut tar = Writer::new(Vec::new());
    let failed = |error: std::io::Error| format!("scripts.tar: {error}");
    for (chosen, package) in chosen.iter().zip(packages) {
        let ApkPackage { name, version, checksum, .. } = chosen;
        for script in &package.control.scripts {
            let path = String::from_utf8_lossy(&script.entry.path);
            let path = format!("{name}-{version}.{checksum}{path}");
            let (mode, size) = (u32::from(script.entry.mode), script.entry.size);
            let mtime = i64::try_from(script.entry.mtime).unwrap_or(0);
            tar.entry(&Entry::plain(path.as_bytes(), mode, size, mtime)).map_err(failed)?;
            tar.content(&script.content).map_err(failed)?;
        }
    }
    tar.finish().map_err(failed)
}
