//! Linters of permissions, of regular files only.

use super::subject::{Details, Items, Outcome, Permissions, Subject, path_of};
use crate::package::facts::FileFacts;

const SPECIAL: [(u32, &str); 3] = [(0o4000, "setuid"), (0o2000, "setgid"), (0o1000, "sticky")];
const WRITABLE_FOR_ALL: u32 = 0o002;
const EXECUTABLE: u32 = 0o111;

pub(super) fn setuidgid(subject: &Subject<'_>) -> Option<Outcome> {
    let special = |mode: u32| SPECIAL.iter().filter(move |(bit, _)| mode & bit != 0).map(|(_, name)| *name);
    let items = permissions(subject, |mode| special(mode).collect())?;
    let (count, files) = (items.count, items.word("file", "files"));
    let message =
        format!("{} contains {count} {files} with special permissions (setuid/setgid)", subject.name);
    Some(Outcome::new(message, Details::Permissions { files: items.list }))
}

pub(super) fn worldwrite(subject: &Subject<'_>) -> Option<Outcome> {
    let items = permissions(subject, |mode| match (mode & WRITABLE_FOR_ALL, mode & EXECUTABLE) {
        (0, _) => Vec::new(),
        (_, 0) => vec!["world-writable"],
        _ => vec!["world-writable", "executable"],
    })?;
    let (count, files) = (items.count, items.word("file", "files"));
    let message = format!("{} contains {count} world-writeable {files}", subject.name);
    Some(Outcome::new(message, Details::Permissions { files: items.list }))
}

/// The files whose mode has names.
fn permissions(
    subject: &Subject<'_>,
    names: impl Fn(u32) -> Vec<&'static str>,
) -> Option<Items<Permissions>> {
    let of_file = |file: &FileFacts| {
        let permissions = names(file.mode);
        let is_found = file.is_regular() && !permissions.is_empty();
        is_found.then(|| Permissions { path: path_of(file), mode: format!("{:o}", file.mode), permissions })
    };
    Items::of(subject.files().filter_map(of_file)).if_any()
}
