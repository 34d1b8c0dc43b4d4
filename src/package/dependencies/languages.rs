//! Modules of Perl, Python and Ruby need the interpreter they are installed for, documentation needs its reader.

use super::{analysis::Package, note::Note};
use crate::package::facts::{base_name, parent};

/// Documentation needs a reader of manual pages, of info files, or both.
pub(super) fn documentation(package: &mut Package<'_>) {
    if !package.walk.package.ends_with("-doc") {
        return;
    }
    for (directory, reader) in [("usr/share/man", "man-db"), ("usr/share/info", "texinfo")] {
        if package.walk.iter().any(|file| parent(&file.path) == directory.as_bytes()) {
            note_declared(package, |declared| declared == reader);
            package.found.depends.insert(reader.to_owned());
        }
    }
}

/// Modules in `perlN/*_perl` need perl of the same version.
pub(super) fn perl(package: &mut Package<'_>) {
    let version = first_of(package, |path| {
        let (directory, name) = (parent(path), base_name(path));
        let version = base_name(directory).strip_prefix(b"perl")?;
        let is_module = name.ends_with(b"_perl") && version.first().is_some_and(u8::is_ascii_digit);
        is_module.then_some((parent(directory), version))
    });
    let Some((path, version)) = version else { return };
    if note_declared(package, |declared| declared == "perl") {
        return;
    }
    if let Some(version) = package.text(path, version) {
        package.found.depends.insert(format!("perl~{version}"));
    }
}

/// Modules in `pythonX.Y/site-packages` need python of the same version. If there are several versions, the last counts.
pub(super) fn python(package: &mut Package<'_>) {
    let versions = package.walk.iter().filter(|file| file.is_directory()).filter_map(|file| {
        let is_modules = base_name(&file.path) == b"site-packages";
        let version = base_name(parent(&file.path)).strip_prefix(b"python")?;
        is_modules.then_some((&file.path, version))
    });
    let Some((path, version)) = versions.last().filter(|(_, version)| !version.is_empty()) else { return };
    if note_declared(package, |declared| declared.starts_with("python")) {
        return;
    }
    if let Some(version) = package.text(path, version) {
        package.found.depends.insert(format!("python-{version}-base"));
    }
}

/// Gems in `ruby/gems/X.Y.Z/gems` need ruby X.Y.
pub(super) fn ruby(package: &mut Package<'_>) {
    let version = first_of(package, |path| {
        let gems = path.strip_suffix(b"/gems").and_then(|path| path.strip_suffix(base_name(path)));
        let version = base_name(parent(path));
        let directory = gems?.strip_suffix(b"/ruby/gems/")?;
        is_ruby(version).then_some((directory, version))
    });
    let Some((path, version)) = version else { return };
    let last_dot = version.iter().rposition(|&byte| byte == b'.').unwrap_or(version.len());
    let version = version.get(..last_dot).unwrap_or_default();
    if note_declared(package, |declared| declared == "ruby" || declared.starts_with("ruby-")) {
        return;
    }
    if let Some(version) = package.text(path, version) {
        package.found.depends.insert(format!("ruby-{version}"));
    }
}

/// The shell pattern `[0-9]*.[0-9]*.[0.9]*`. The last bracket is melange's: versions such as 3.4.1 do not fit.
fn is_ruby(version: &[u8]) -> bool {
    let Some((b'0'..=b'9', rest)) = version.split_first() else { return false };
    let mut pairs = rest.windows(2);
    let minor = pairs.position(|pair| matches!(pair, [b'.', b'0'..=b'9']));
    minor.is_some() && pairs.any(|pair| matches!(pair, [b'.', b'0' | b'.' | b'9']))
}

/// The first entry that `matches`, below `usr/lib` before `lib`: its path and its version.
fn first_of<'a>(
    package: &Package<'a>,
    matches: impl Fn(&'a [u8]) -> Option<(&'a [u8], &'a [u8])>,
) -> Option<(&'a [u8], &'a [u8])> {
    let walk = package.walk;
    ["usr/lib", "lib"].iter().find_map(|wanted| {
        walk.iter().find_map(|file| {
            let (directory, version) = matches(&file.path)?;
            (directory == wanted.as_bytes()).then_some((&file.path[..], version))
        })
    })
}

/// Whether the build file declares a dependency in place of the generated one. A note says so.
fn note_declared(package: &mut Package<'_>, is_meant: impl Fn(&str) -> bool) -> bool {
    let declared = package.declared.runtime.iter().find(|declared| is_meant(declared));
    if let Some(declared) = declared {
        package.notes.add(|| Note::AlreadyDeclared { dependency: declared.clone() });
    }
    declared.is_some()
}
