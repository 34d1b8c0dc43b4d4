//! Linters of places where packages must not have files.

use super::subject::{Details, Items, Outcome, Subject, path_of};
use crate::package::facts::{FileFacts, parent};

/// Directories that are links to others of `/usr` in a merged layout.
const MERGED: [&[u8]; 5] = [b"sbin", b"bin", b"usr/sbin", b"lib", b"lib64"];
/// Where the SBOM of a package lies, which kiln writes.
const SBOM_DIRECTORY: &[u8] = b"var/lib/db/sbom";

pub(super) fn dev(subject: &Subject<'_>) -> Option<Outcome> {
    subject.paths(|path| path.starts_with(b"dev/"), |name, _| format!("{name} writes to /dev"))
}

pub(super) fn opt(subject: &Subject<'_>) -> Option<Outcome> {
    unless_compat(subject)?;
    subject.paths(|path| path.starts_with(b"opt/"), |name, _| format!("{name} writes to /opt"))
}

pub(super) fn srv(subject: &Subject<'_>) -> Option<Outcome> {
    unless_compat(subject)?;
    subject.paths(|path| path.starts_with(b"srv/"), |name, _| format!("{name} writes to /srv"))
}

pub(super) fn usrlocal(subject: &Subject<'_>) -> Option<Outcome> {
    unless_compat(subject)?;
    let message = |name: &str, _: &Items<_>| format!("{name} contains /usr/local path in non-compat package");
    subject.paths(|path| path.starts_with(b"usr/local/"), message)
}

pub(super) fn varempty(subject: &Subject<'_>) -> Option<Outcome> {
    subject.paths(|path| path.starts_with(b"var/empty/"), |name, _| format!("{name} writes to /var/empty"))
}

pub(super) fn sbom(subject: &Subject<'_>) -> Option<Outcome> {
    let is_stray = |path: &[u8]| parent(path) == SBOM_DIRECTORY && !path.ends_with(b".spdx.json");
    subject.paths(is_stray, |name, _| format!("{name} writes to var/lib/db/sbom"))
}

/// melange looks below the file `dir` only, as if it were a directory; the file itself is what `split/infodir` removes.
pub(super) fn infodir(subject: &Subject<'_>) -> Option<Outcome> {
    let message = |name: &str, _: &Items<_>| format!("{name} writes to /usr/share/info/dir/");
    let below = subject.paths(|path| path.starts_with(b"usr/share/info/dir/"), message);
    let itself = || subject.paths(|path| path == b"usr/share/info/dir", message);
    below.or_else(|| itself().map(|outcome| Outcome { is_warning_only: true, ..outcome }))
}

pub(super) fn tempdir(subject: &Subject<'_>) -> Option<Outcome> {
    let has_snippet = subject.files().any(|file| file.path.starts_with(b"usr/lib/tmpfiles.d/"));
    let is_found = |file: &&FileFacts| {
        let (path, is_directory) = (&file.path, file.is_directory());
        let is_temporary = path.starts_with(b"tmp/") || path.starts_with(b"var/tmp/");
        let is_of_run = path.starts_with(b"run/") && (!is_directory || !has_snippet);
        is_temporary && !is_directory || path.starts_with(b"var/run/") || is_of_run
    };
    let items = Items::of(subject.files().filter(is_found).map(path_of)).if_any()?;
    let message = format!("{} writes to a temp dir", subject.name);
    Some(Outcome::new(message, Details::Paths { paths: items.list }))
}

/// What is in places that a merged layout has links for, and all below. The links are found, too: they belong to the one package
/// that makes the layout, which disables this linter.
pub(super) fn usrmerge(subject: &Subject<'_>) -> Option<Outcome> {
    let is_found = |file: &&FileFacts| is_merged(&file.path);
    let found = Items::of(subject.files().filter(is_found).map(path_of)).if_any()?;
    let is_warning_only = !seen_by_melange(subject).any(|file| is_found(&file));
    let message = "Package contains paths in violation of usrmerge:".to_owned();
    let lines = found.list.clone();
    Some(Outcome { message, lines, details: Details::Paths { paths: found.list }, is_warning_only })
}

/// A file in `/` or `/usr` keeps melange from seeing what comes after it in that directory.
fn seen_by_melange<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a FileFacts> + use<'a> {
    let mut stopped_in_root = false;
    let mut stopped_in_usr = false;
    subject.files().filter(move |file| {
        let is_below_usr = file.path.starts_with(b"usr/");
        let is_hidden = stopped_in_root || (is_below_usr && stopped_in_usr);
        if !file.is_directory() && !is_merged(&file.path) {
            match parent(&file.path) {
                b"" => stopped_in_root = true,
                b"usr" => stopped_in_usr = true,
                _ => {}
            }
        }
        !is_hidden
    })
}

fn is_merged(path: &[u8]) -> bool {
    MERGED.iter().any(|directory| {
        path.strip_prefix(*directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

fn unless_compat(subject: &Subject<'_>) -> Option<()> {
    (!subject.name.ends_with("-compat")).then_some(())
}
