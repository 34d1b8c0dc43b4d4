//! Commands: those that a package has, and those that its scripts are run by.

use super::{analysis::Package, note::Note};
use crate::package::facts::{base_name, is_script_place, parent};

/// Directories of commands that every shell searches.
const DIRECTORIES: [&str; 4] = ["bin", "sbin", "usr/bin", "usr/sbin"];
/// Readable and executable for all.
const EXECUTABLE: u32 = 0o555;
/// Interpreters that no package provides as a regular file, or of which there are several.
const IGNORED: [&[u8]; 5] = [b"python3", b"python", b"sh", b"awk", b"luajit"];
const ENV: &[u8] = b"/usr/bin/env";

/// Each command is provided.
pub(super) fn of_files(package: &mut Package<'_>) {
    for file in package.walk.iter() {
        let directory = parent(&file.path);
        let is_command = file.is_regular()
            && file.mode & EXECUTABLE == EXECUTABLE
            && DIRECTORIES.iter().any(|known| known.as_bytes() == directory);
        if is_command && let Some(name) = package.text(&file.path, base_name(&file.path)) {
            let entry = format!("cmd:{name}={}", package.analysis.version);
            package.found.provides.insert(entry);
        }
    }
}

/// Scripts need their interpreters.
pub(super) fn of_scripts(package: &mut Package<'_>) {
    for file in package.walk.iter().filter(|file| file.is_regular() && is_script_place(&file.path)) {
        let Some(line) = file.special.as_ref().and_then(|special| special.shebang.as_deref()) else {
            continue;
        };
        match interpreter(line) {
            Ok(Some(name)) => {
                if let Some(name) = package.text(&file.path, name) {
                    package.depend("cmd", name);
                }
            }
            Ok(None) => {}
            Err(Unclear) => package.notes.add(|| Note::unclear_interpreter(&file.path, line)),
        }
    }
}

/// The first words of a line. Blanks beyond ASCII part words, too.
fn words(line: &[u8]) -> [Option<&[u8]>; 3] {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let words: Vec<&[u8]> = match str::from_utf8(line) {
        Ok(text) => text.split_whitespace().map(str::as_bytes).take(3).collect(),
        Err(_) => line.split(is_blank).filter(|word| !word.is_empty()).take(3).collect(),
    };
    [words.first().copied(), words.get(1).copied(), words.get(2).copied()]
}

/// The form of a first line with `env` is not known.
struct Unclear;

/// The command that a first line names, if there is one that a package could provide.
fn interpreter(line: &[u8]) -> Result<Option<&[u8]>, Unclear> {
    let words = words(line);
    let program = match words {
        [None, ..] => return Ok(None),
        [Some(ENV), Some(program), None] if !program.starts_with(b"-") => program,
        [Some(ENV), Some(b"-S"), Some(program)] if !program.starts_with(b"-") => program,
        [Some(ENV), ..] => return Err(Unclear),
        [Some(program), ..] => program,
    };
    let end = program.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let name = base_name(program.get(..end).unwrap_or_default());
    Ok((!name.is_empty() && !IGNORED.contains(&name)).then_some(name))
}
