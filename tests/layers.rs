//! The rules of the source: which module may import which, the length of files and functions, words, and the files that pages
//! name. The code is read as text.

#[path = "layers/exceptions.rs"]
mod exceptions;
#[path = "layers/floors.rs"]
mod floors;
#[path = "layers/functions.rs"]
mod functions;
#[path = "layers/imports.rs"]
mod imports;
#[path = "layers/pages.rs"]
mod pages;
#[path = "layers/words.rs"]
mod words;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules of `src/`, each with the modules that it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("agent", &[]),
    ("apk", &["exit", "input"]),
    (
        "backend",
        &[
            "agent", "cache", "env", "event", "exit", "files", "guest", "home", "host", "image", "logfile",
            "plan", "process", "rundir", "share",
        ],
    ),
    // The harness needs few of these; the suites measure the others.
    (
        "bench",
        &[
            "backend", "build", "cache", "compile", "engine", "env", "event", "exit", "files", "home",
            "host", "image", "input", "plan", "process", "rundir", "share",
        ],
    ),
    (
        "build",
        &[
            "apk",
            "cache",
            "compile",
            "ecosystem",
            "engine",
            "env",
            "event",
            "exit",
            "files",
            "guest",
            "home",
            "host",
            "image",
            "input",
            "logfile",
            "manifest",
            "package",
            "plan",
            "process",
            "report",
            "rundir",
            "backend",
            "secret",
            "share",
            "sources",
            "trust",
        ],
    ),
    ("cache", &["ecosystem", "event", "exit", "files", "home", "package", "plan", "process", "rundir"]),
    (
        "cli",
        &[
            "bench",
            "cache",
            "compile",
            "ecosystem",
            "exit",
            "manifest",
            "plan",
            "report",
            "secret",
            "sources",
        ],
    ),
    ("commands", ALL),
    ("compile", &["ecosystem", "exit", "manifest", "pipelines"]),
    ("ecosystem", &[]),
    ("console", &["engine", "exit", "process", "backend"]),
    ("control", &[]),
    ("engine", &["agent", "cache", "control", "event", "exit", "package", "plan", "backend"]),
    ("env", &["exit"]),
    // An event names what the plan has decided by the plan's own enums: two of each would be kept alike by hand.
    ("event", &["exit", "plan"]),
    ("exit", &[]),
    ("files", &[]),
    ("guest", &[]),
    ("home", &["env", "exit", "files"]),
    ("host", &["env", "exit"]),
    (
        "image",
        &[
            "apk", "env", "event", "exit", "files", "home", "host", "login", "plan", "process", "rundir",
            "trust",
        ],
    ),
    ("input", &[]),
    ("jobs", &["exit"]),
    ("logfile", &[]),
    ("login", &[]),
    ("manifest", &["exit", "input"]),
    ("package", &["apk", "event", "exit", "input", "manifest", "plan"]),
    ("pipelines", &["compile", "manifest"]),
    ("plan", &["compile", "ecosystem", "exit", "host", "login", "manifest"]),
    ("process", &["exit", "logfile", "login"]),
    ("report", &["control", "event", "exit", "logfile", "plan"]),
    ("rundir", &["env", "exit", "home", "process"]),
    ("secret", &["env", "exit", "input", "plan"]),
    ("sources", &["cache", "compile", "event", "exit", "process"]),
    ("share", &["env", "exit", "home", "host", "plan", "process", "rundir"]),
    ("trust", &["env", "exit", "input"]),
];

/// Any module.
const ALL: &[&str] = &["*"];

/// Words that the code of a module must not contain.
const MUST_NOT_NAME: &[(&str, &[&str])] = &[
    ("plan", &["tokio::", "std::fs", "std::process", "fs::"]),
    ("compile", &["tokio::", "std::process"]),
    ("manifest", &["tokio::", "std::process"]),
    ("event", &["tokio::", "std::fs"]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Each Rust file below `src/` with the module it belongs to.
fn files() -> Vec<(String, PathBuf)> {
    let module = |path: PathBuf| {
        let inside = path.strip_prefix(source()).expect("it is below src");
        let first = inside.components().next().expect("it has a name").as_os_str().to_string_lossy();
        (first.trim_end_matches(".rs").to_owned(), path)
    };
    let found = rust_files(&["src"]).into_iter().map(module);
    found.filter(|(module, _)| module != "lib" && module != "main").collect()
}

/// The code of a file, without comments and without the tests at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("the source can be read");
    let code: Vec<&str> = text
        .lines()
        .take_while(|line| *line != "#[cfg(test)]" || !text.contains("mod tests {"))
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    code.join("\n")
}

/// The modules that stand behind `crate::` in a text, groups (`crate::{a, b::c}`) included.
fn imports(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => names.extend(first_word(&std::mem::take(&mut word))),
                    c if depth == 1 || c == ':' => word.push(c),
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            names.extend(first_word(&word));
        } else {
            names.extend(first_word(rest));
        }
    }
    names
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for (module, path) in files() {
        if path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
        {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{module}: is not in the table"));
            continue;
        };
        let code = code(&path);
        if *allowed != ALL {
            for import in imports(&code) {
                if import != module && !allowed.contains(&import.as_str()) {
                    wrong.push(format!("{}: {module} must not import {import}", path.display()));
                }
            }
        }
        let words = MUST_NOT_NAME.iter().filter(|(name, _)| *name == module).flat_map(|(_, words)| *words);
        wrong.extend(
            words.filter(|word| code.contains(*word)).map(|word| format!("{}: names {word}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_backend_does_not_know_its_siblings() {
    let siblings = ["qemu", "docker", "bubblewrap", "fake"];
    for (module, path) in files() {
        let inside = path.strip_prefix(source()).expect("it is below src").to_string_lossy().into_owned();
        let own = siblings.iter().find(|name| inside.starts_with(&format!("backend/{name}")));
        let Some(own) = own.filter(|_| module == "backend") else { continue };
        for other in siblings.iter().filter(|name| *name != own) {
            let code = code(&path);
            assert!(!code.contains(&format!("super::{other}")), "{inside} knows {other}");
            assert!(!code.contains(&format!("backend::{other}")), "{inside} knows {other}");
        }
    }
}

#[test]
fn processes_start_in_one_place() {
    for (module, path) in files() {
        let code = code(&path);
        let starts =
            ["process::Command::new", "Command as Std", "std::process::Command", "tokio::process::Command"];
        let found = starts.iter().any(|word| code.contains(word));
        assert!(!found || module == "process", "{} starts processes", path.display());
    }
}

/// Who may write to the standard streams besides `report`, by the beginning of the file's name, and why.
const MAY_WRITE: &[(&str, &str)] = &[
    ("report", "it is the printer"),
    ("console", "the bytes of an interactive step go to the user's terminal as they are: they are no report"),
    ("process/confined", "a confined server has no reporter: its parent reads its stderr"),
    ("share/embedded/log.rs", "the device is a process of its own: its parent reads its stderr"),
    ("process/jail", "a jailed child has no reporter: its parent reads its stderr"),
    ("commands/doctor/fix.rs", "the descriptor is a child's stderr"),
    ("commands/log.rs", "the log of tracing goes to stderr"),
];

#[test]
fn only_report_prints() {
    let mut unused: BTreeSet<&str> = MAY_WRITE.iter().map(|(name, _)| *name).collect();
    for (_, path) in files() {
        let inside = path.strip_prefix(source()).expect("it is below src").to_string_lossy().into_owned();
        if !prints(&code(&path)) {
            continue;
        }
        let allowed = MAY_WRITE.iter().find(|(name, _)| inside.starts_with(name));
        let (name, _) = allowed.unwrap_or_else(|| panic!("{inside} prints"));
        unused.remove(name);
    }
    assert!(unused.is_empty(), "they print no longer: {unused:?}");
}

/// Whether some code can write to stdout or stderr of kiln, by a macro or by the stream itself. To ask whether that is a terminal
/// writes nothing.
fn prints(code: &str) -> bool {
    let macros = ["println!(", "eprintln!(", "print!(", "eprint!(", "dbg!("];
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut imported = false;
    let mut used = false;
    for name in ["stdout", "stderr"] {
        let code = code.replace(&format!("{name}().is_terminal()"), "");
        for (at, _) in code.match_indices(name) {
            let (before, after) = (&code[..at], &code[at + name.len()..]);
            if before.ends_with(|c: char| is_word(c) || c == '.') || after.starts_with(is_word) {
                continue;
            }
            let statement = before.rsplit(';').next().unwrap_or_default();
            let is_import = statement.trim_start().starts_with("use ") && statement.contains("io::");
            imported |= is_import;
            used |= after.starts_with("()") || before.ends_with("io::") && !is_import;
            used |= is_import && after.trim_start().starts_with("as ");
            // The function as a value.
            used |= imported && !is_import && after.starts_with([')', ',', ';']) && before.ends_with('(');
        }
    }
    used || macros.iter().any(|word| code.contains(word))
}

#[test]
fn a_stream_is_seen_however_it_is_named() {
    for (text, expected) in [
        ("use std::io::{Write, stdout};\nfn f() { write(stdout(), b\"x\"); }", true),
        ("use std::io::{Write, stderr as err};\nfn f() { err(); }", true),
        ("use std::io::stderr;\nfn f() { printer(stderr) }", true),
        ("fn f() { printer(io::stderr) }", true),
        ("fn f() { std::io::stdout().lock(); }", true),
        ("fn f() { eprintln!(\"x\"); }", true),
        ("use std::io::{IsTerminal, stdout};\nfn f() -> bool { stdout().is_terminal() }", false),
        (
            "fn f(output: Output) { let Output { stdout, stderr } = output; run.take_stdout(); run.stdout(stderr); }",
            false,
        ),
    ] {
        assert_eq!(prints(text), expected, "{text}");
    }
}

#[test]
fn the_import_reader_sees_groups_and_paths() {
    let code = "use crate::{a::{x, y}, b, c::d as e};\nlet z = crate::f::g();";
    assert_eq!(imports(code), ["a", "b", "c", "f"].map(String::from).into());
}

/// Names of files in an earlier plan of the source, which explain nothing.
const OLD_FILES: &[&str] = &[
    "wishes",
    "gifts",
    "gift",
    "supplies",
    "desk",
    "turn",
    "attend",
    "mend",
    "live",
    "fit",
    "renew",
    "times",
    "renumbered",
    "tally",
    "unused",
    "intruders",
    "broken",
    "same",
    "hashed",
    "bring",
    "making",
    "slim",
    "locate",
    "ask",
    "opened",
    "view",
    "layer",
    "memo",
    "words",
    "clean",
    "work",
    "mask",
    "forms",
];
/// Names of types in that plan.
const OLD_TYPES: &[&str] = &[
    "Wishes",
    "Gifts",
    "Supplies",
    "Desk",
    "Turn",
    "Attendance",
    "Shelf",
    "Seat",
    "Outlet",
    "Typed",
    "Wake",
    "Conversation",
    "Passage",
    "Eventually",
    "Placed",
    "Strength",
    "World",
    "Parted",
    "Mask",
    "Tally",
    "Broken",
    "Intruder",
    "Claim",
    "Should",
];

#[test]
fn old_words_are_no_names() {
    let mut wrong = Vec::new();
    for path in rust_files(&["src", "guest-init"]) {
        let stem = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        if OLD_FILES.contains(&stem.as_str()) {
            wrong.push(path.display().to_string());
        }
        let words: Vec<String> = code(&path)
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        for pair in words.windows(2).filter(|pair| ["struct", "enum", "trait", "type"].contains(&&*pair[0])) {
            if OLD_TYPES.contains(&&*pair[1]) {
                wrong.push(format!("{}: {}", path.display(), pair[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The most lines of code in a file, without comments and tests.
const MOST_LINES: usize = 300;

#[test]
fn a_file_can_be_read_at_once() {
    let mut long = BTreeSet::new();
    for path in rust_files(&["src", "guest-init"]) {
        let name = name_of(&path);
        let lines = code(&path).lines().filter(|line| !line.trim().is_empty()).count();
        if lines > MOST_LINES && !name.contains("/tests") && !name.ends_with("_tests.rs") {
            long.insert(name);
        }
    }
    exceptions::check(&format!("a file has at most {MOST_LINES} lines of code"), &long, &[]);
}

/// The Rust files below these directories of the repository, in any depth.
fn rust_files(directories: &[&str]) -> Vec<PathBuf> {
    let mut files = files_below(directories);
    files.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    files
}

/// The files below these directories of the repository, in any depth, and those of them that are files.
fn files_below(places: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> = places.iter().map(|name| root.join(name)).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if !path.is_dir() {
            found.push(path);
        } else if path.file_name().is_none_or(|name| name != "target") {
            let entries = fs::read_dir(&path).expect("the source can be listed");
            open.extend(entries.map(|entry| entry.expect("the source can be listed").path()));
        }
    }
    found
}

/// A path as the repository names it.
fn name_of(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    path.strip_prefix(root).expect("it is below the root").display().to_string()
}
