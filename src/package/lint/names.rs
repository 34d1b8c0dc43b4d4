//! Linters of names: files that belong into other packages, or on other systems.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::subject::{Architecture, Details, Items, Outcome, Platform, Subject, extension, path_of};
use crate::package::facts::{base_name, parent};

/// The patterns are melange's. They are bytes, as paths are.
fn pattern(text: &str) -> Regex {
    Regex::new(&format!("(?-u){text}")).expect("the pattern is a constant that the tests use")
}

static DOCUMENTATION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:READ(?:\.?ME)?|TODO|CREDITS|\.(?:md|docx?|rst|[0-9][a-z]))$"));
static INFO: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^usr/(?:local/)?share/info/(?:dir|[^/]+\.info(?:\-[0-9]+)?(?:\.(?:gz|bz2|xz|lzma|Z))?)$")
});
static MANUAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^usr/(?:(?:local/)?share/)?man(?:/man[0-9][^/]*)?(?:/[^/]+\.[0-9][^/]*(?:\.(?:gz|bz2|xz|lzma|Z))?)?$",
    )
});
static CUDA: LazyLock<Regex> = LazyLock::new(|| pattern(r"^usr/lib/lib(cuda|nvidia-ml)\.so(\.[0-9]+)*$"));
static SHARED_OBJECT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\.so(?:\.[0-9]+)*$"));
static MACOS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)darwin|macos|mac_os|mac-os|osx|os_x|os-x"));
static WINDOWS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)windows|win32|win64"));
/// A path without any of these is not looked at further.
static ARCHITECTURE: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("(?i){}", ARCHITECTURES.join("|"))));

/// In the order in which they are looked for.
const ARCHITECTURES: [&str; 18] = [
    "i386", "i686", "x86_32", "x86-32", "ppc64", "ppc64le", "powerpc", "s390x", "s390", "mips", "mipsel",
    "mips64", "riscv", "riscv64", "sparc", "sparc64", "ia64", "m68k",
];
/// A path that names one of these is right, whatever else it names.
const SUPPORTED: [&str; 5] = ["aarch64", "arm64", "amd64", "x86_64", "x86-64"];

pub(super) fn la_files(subject: &Subject<'_>) -> Option<Outcome> {
    subject.paths(
        |path| extension(path) == b".la",
        |name, items| {
            let (count, files) = (items.count, items.word("file", "files"));
            format!(
                "{name} contains {count} libtool archive (.la) {files}. Remove them in the build pipeline; if this package \
                 legitimately needs to ship .la files, disable this linter via checks.disabled"
            )
        },
    )
}

pub(super) fn dll(subject: &Subject<'_>) -> Option<Outcome> {
    unless_named(subject, &["-dev"])?;
    subject.paths(
        |path| extension(path) == b".dll",
        |name, items| format!("{name} contains {} DLL {}", items.count, items.word("file", "files")),
    )
}

pub(super) fn dylib(subject: &Subject<'_>) -> Option<Outcome> {
    unless_named(subject, &["-dev"])?;
    subject.paths(
        |path| extension(path) == b".dylib",
        |name, items| format!("{name} contains {} dylib {}", items.count, items.word("file", "files")),
    )
}

pub(super) fn object(subject: &Subject<'_>) -> Option<Outcome> {
    subject.paths(
        |path| extension(path) == b".o",
        |name, items| {
            let (count, files) = (items.count, items.word("file", "files"));
            format!(
                "{name} contains {count} intermediate object {files}. This is usually wrong. In most cases they should be removed"
            )
        },
    )
}

pub(super) fn staticarchive(subject: &Subject<'_>) -> Option<Outcome> {
    unless_named(subject, &["-dev", "-static"])?;
    subject.paths(
        |path| extension(path) == b".a",
        |name, items| {
            let (count, archives) = (items.count, items.word("archive", "archives"));
            format!(
                "{name} contains {count} static {archives}. Static archives bloat packages and should typically be in -dev \
                 packages or removed"
            )
        },
    )
}

pub(super) fn documentation(subject: &Subject<'_>) -> Option<Outcome> {
    unless_named(subject, &["-doc"])?;
    subject.paths(
        |path| DOCUMENTATION.is_match(path),
        |name, items| {
            let (count, files) = (items.count, items.word("file", "files"));
            format!("{name} contains {count} documentation {files} but is not a documentation package")
        },
    )
}

pub(super) fn maninfo(subject: &Subject<'_>) -> Option<Outcome> {
    unless_named(subject, &["-doc"])?;
    subject.paths(
        |path| MANUAL.is_match(path) || INFO.is_match(path),
        |name, items| {
            let (count, files) = (items.count, items.word("file", "files"));
            format!("{name} contains {count} man/info {files} but is not a documentation package")
        },
    )
}

pub(super) fn cudaruntimelib(subject: &Subject<'_>) -> Option<Outcome> {
    let message = |name: &str, _: &Items<_>| format!("{name} contains CUDA driver-specific libraries");
    subject.paths(|path| CUDA.is_match(path), message)
}

pub(super) fn lddcheck(subject: &Subject<'_>) -> Option<Outcome> {
    (!subject.tests.has_ldd_check).then_some(())?;
    let why = missing(subject, "test/ldd-check is not configured");
    let message = |name: &str, _: &Items<_>| format!("{name} contains shared objects but {why}");
    subject.paths(|path| SHARED_OBJECT.is_match(path), message)
}

pub(super) fn pkgconf(subject: &Subject<'_>) -> Option<Outcome> {
    (!subject.tests.has_pkgconf).then_some(())?;
    let why = missing(subject, "test/pkgconf is not configured");
    let is_found =
        |path: &[u8]| path.starts_with(b"usr/lib/pkgconfig/") || path.starts_with(b"usr/share/pkgconfig/");
    subject.paths(is_found, |name, _| format!("{name} contains pkgconfig files but {why}"))
}

fn missing(subject: &Subject<'_>, test: &'static str) -> &'static str {
    if subject.tests.is_known { test } else { "missing .melange.yaml" }
}

pub(super) fn nonlinux(subject: &Subject<'_>) -> Option<Outcome> {
    let files = subject.files().filter(|file| !file.is_directory());
    let found = files.filter_map(|file| {
        let platform = match &file.path[..] {
            path if MACOS.is_match(path) => "macos",
            path if WINDOWS.is_match(path) => "windows",
            _ => return None,
        };
        Some(Platform { path: path_of(file), platform })
    });
    let items = Items::of(found).if_any()?;
    let message = format!("{} contains {} non-Linux reference(s)", subject.name, items.count);
    Some(Outcome::new(message, Details::Platforms { references: items.list }))
}

pub(super) fn unsupportedarch(subject: &Subject<'_>) -> Option<Outcome> {
    let files = subject.files().filter(|file| !file.is_directory());
    let found = files.filter_map(|file| {
        Some(Architecture { arch: architecture_of(&file.path)?.to_owned(), path: path_of(file) })
    });
    let items = Items::of(found).if_any()?;
    let message = format!("{} contains {} unsupported architecture reference(s)", subject.name, items.count);
    Some(Outcome::new(message, Details::ArchitecturePaths { files: items.list }))
}

/// The architecture that a directory of the path is named after, or that the name has between separators.
fn architecture_of(path: &[u8]) -> Option<&'static str> {
    ARCHITECTURE.is_match(path).then_some(())?;
    let path = path.to_ascii_lowercase();
    let is_supported = SUPPORTED.iter().any(|name| contains(&path, name.as_bytes()));
    let (directory, name) = (parent(&path), base_name(&path));
    ARCHITECTURES.iter().copied().find(|architecture| {
        let in_directory = contains(directory, &[b"/", architecture.as_bytes()].concat());
        in_directory || (!is_supported && is_word(name, architecture.as_bytes()))
    })
}

/// Whether a name has a word with the same separator on both sides, or a dot or the end behind it.
fn is_word(name: &[u8], word: &[u8]) -> bool {
    let starts = name.windows(word.len() + 1).enumerate();
    let mut starts = starts.filter(|(_, part)| part.get(1..) == Some(word));
    starts.any(|(start, part)| {
        let separator = part.first().filter(|byte| b"-_.".contains(byte));
        let after = name.get(start + part.len());
        separator.is_some() && (after.is_none() || after == separator || after == Some(&b'.'))
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn unless_named(subject: &Subject<'_>, endings: &[&str]) -> Option<()> {
    (!endings.iter().any(|ending| subject.name.ends_with(ending))).then_some(())
}
