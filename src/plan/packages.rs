//! Names of packages: build files name apk packages, Debian roots need Debian's names. Only the plan maps them.
//!
//! Recipes keep the names as written. A name that is neither in the table nor in a family of names is an error, since Debian has
//! packages of the same name with other contents.

mod family;
mod identical;
mod provided;
mod table;
mod wanted;

pub use self::family::SUITES;
use self::{
    family::Counterpart,
    identical::IDENTICAL,
    table::{TABLE, lookup},
    wanted::Wanted,
};
use crate::{
    compile::PackageRequest,
    exit::Failure,
    manifest::{Diagnostic, Diagnostics, nearest},
};

/// The packages of a build file, mapped to Debian's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapped {
    /// Debian's names, sorted and unique.
    pub packages: Vec<String>,
    /// Lines for the user on counterparts that differ from the request.
    pub notes: Vec<String>,
}

/// The most unknown names that are reported.
const MAX_UNKNOWN: usize = 50;

/// Every name that [`map_packages`] knows, sorted. Names with a version are in the versions that Debian's suites have.
pub fn known_packages() -> Vec<String> {
    let table = TABLE.iter().map(|(name, _)| *name).chain(IDENTICAL.iter().copied());
    let mut names: Vec<String> = table.map(str::to_owned).chain(family::names()).collect();
    names.sort();
    names.dedup();
    names
}

/// Every name of Debian's to which [`map_packages`] maps, sorted.
pub fn debian_packages() -> Vec<&'static str> {
    let table = TABLE.iter().flat_map(|(_, debian)| *debian).chain(IDENTICAL).chain(family::all());
    let mut names: Vec<&str> = table.copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Maps the packages of a build file and of `--package-append` to Debian's names in a suite.
///
/// # Errors
/// All unknown names of the build file with their positions (3), else those of the command line (2).
pub fn map_packages(
    requests: &[PackageRequest],
    appended: &[String],
    suite: &str,
) -> Result<Mapped, Failure> {
    let mut mapped = Mapped::default();
    let mut unknown = Vec::new();
    for request in requests {
        if !mapped.add(&request.name, suite) && unknown.len() < MAX_UNKNOWN {
            unknown.push(fault(request, suite));
        }
    }
    let appended: Vec<&str> =
        appended.iter().map(String::as_str).filter(|name| !mapped.add(name, suite)).collect();
    if !unknown.is_empty() {
        return Err(Diagnostics(unknown).sorted().into());
    }
    if let Some(first) = appended.first() {
        let what = format!("--package-append: Debian has no known counterpart of {}", appended.join(", "));
        return Err(Failure::usage(what, way_out(first, suite)));
    }
    mapped.packages.sort();
    mapped.packages.dedup();
    mapped.notes.sort();
    mapped.notes.dedup();
    Ok(mapped)
}

/// The requests of a build file that are mapped to a package of Debian's.
pub fn requests_for<'r>(
    requests: &'r [PackageRequest],
    package: &str,
    suite: &str,
) -> impl Iterator<Item = &'r PackageRequest> {
    requests.iter().filter(move |request| {
        find(&Wanted::parse(&request.name), suite)
            .is_some_and(|found| found.packages.iter().any(|found| found == package))
    })
}

impl Mapped {
    /// Adds the counterpart of a name. Returns whether there is one.
    fn add(&mut self, written: &str, suite: &str) -> bool {
        let wanted = Wanted::parse(written);
        let Some(found) = find(&wanted, suite) else { return false };
        let Counterpart { packages, note } = found;
        self.notes.extend(note.or_else(|| wanted.note(&packages)));
        self.packages.extend(packages);
        true
    }
}

fn fault(request: &PackageRequest, suite: &str) -> Diagnostic {
    let PackageRequest { name, source, at, definition } = request;
    match definition {
        None => {
            let message = format!("Debian has no known counterpart of the package `{name}`");
            source.diagnostic(*at, message).hint(way_out(name, suite))
        }
        Some(definition) => {
            let message = format!(
                "the pipeline `{definition}` needs the package `{name}`, of which Debian has no known counterpart"
            );
            let hint = format!(
                "build in an image that has it (--image DIRECTORY|TAR), or install it in an earlier step, and give a \
                 definition `{definition}` without it under `needs` in a --pipeline-dir"
            );
            source.diagnostic(*at, message).hint(hint)
        }
    }
}

fn way_out(name: &str, suite: &str) -> String {
    let known: Vec<&str> = TABLE.iter().map(|(apk, _)| *apk).chain(IDENTICAL.iter().copied()).collect();
    let near = nearest(Wanted::parse(name).name, &known);
    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? Otherwise "));
    format!(
        "{near}name Debian's package in the image (--image debian:{suite}+package,…) and leave this one out, or give a \
         prepared root (--image DIRECTORY|TAR)"
    )
}

/// The counterpart of one name: from the table, else from the names that packages provide, else from a family.
fn find(wanted: &Wanted<'_>, suite: &str) -> Option<Counterpart> {
    if wanted.excluded {
        return Some(Counterpart::default());
    }
    lookup(wanted.name)
        .map(Counterpart::same)
        .or_else(|| provided::find(wanted.name))
        .or_else(|| family::find(wanted.name, suite))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::{
        exit::Code,
        manifest::{Position, Source, Text},
        plan::image::is_debian_name,
    };

    fn request(name: &str, line: u32, definition: Option<&str>) -> PackageRequest {
        let source = Source::new(Path::new("a.yaml"), "one\ntwo\nthree\n");
        let at = Position { line, column: 1 };
        PackageRequest { name: name.into(), source, at, definition: definition.map(Text::from) }
    }

    fn map(names: &[&str]) -> Result<Mapped, Failure> {
        let requests: Vec<PackageRequest> = names.iter().map(|name| request(name, 1, None)).collect();
        map_packages(&requests, &[], "bookworm")
    }

    fn mapped(names: &[&str]) -> Vec<String> {
        map(names).unwrap().packages
    }

    #[test]
    fn names_are_mapped_sorted_and_unique() {
        let packages = mapped(&["wolfi-base", "zlib-dev", "build-base", "rust", "cargo", "make", "busybox"]);
        assert_eq!(packages, ["build-essential", "busybox", "cargo", "make", "rustc", "zlib1g-dev"]);
        assert_eq!(mapped(&["ca-certificates-bundle", "wolfi-baselayout"]), ["ca-certificates"]);
    }

    #[test]
    fn constraints_exclusions_and_virtual_names_are_those_of_apk() {
        for (written, packages, note) in [
            ("bash", &["bash"][..], None),
            ("bash>=5", &["bash"], Some("bash>=5: Debian's bash is installed, whatever its version")),
            ("bash~5", &["bash"], Some("bash~5: Debian's bash is installed, whatever its version")),
            ("bash=5.2-r0", &["bash"], Some("bash=5.2-r0: Debian's bash is installed, whatever its version")),
            ("bash@local", &["bash"], Some("bash@local: Debian's bash is installed, whatever its version")),
            ("glibc>2", &[], None),
            ("!bash", &[], Some("!bash: a root of Debian has only requested packages, and excludes none")),
            ("cmd:bash", &["bash"], Some("cmd:bash: Debian has it in bash")),
            ("cmd:msgfmt", &["gettext"], Some("cmd:msgfmt: Debian has it in gettext")),
            ("so:libc.so.6", &[], None),
            ("so:ld-linux-x86-64.so.2", &[], None),
            ("so:libssl.so.3", &["libssl-dev"], Some("so:libssl.so.3: Debian has it in libssl-dev")),
            (
                "so:libcurl.so.4",
                &["libcurl4-openssl-dev"],
                Some("so:libcurl.so.4: Debian has it in libcurl4-openssl-dev"),
            ),
            ("so:libxml2.so.2", &["libxml2-dev"], Some("so:libxml2.so.2: Debian has it in libxml2-dev")),
            ("pc:libpng", &["libpng-dev"], Some("pc:libpng: Debian has it in libpng-dev")),
        ] {
            let found = map(&[written]).unwrap_or_else(|failure| panic!("{written}: {failure}"));
            assert_eq!(found.packages, packages, "{written}");
            assert_eq!(found.notes.first().map(String::as_str), note, "{written}");
        }
        for unknown in
            ["cmd:nope", "so:libnope.so.1", "so:nope", "pc:nope", "x:bash", "", "-o", "../x", "go-", "go-x"]
        {
            assert!(map(&[unknown]).is_err(), "{unknown}");
        }
    }

    #[test]
    fn all_unknown_names_are_one_error_with_positions_and_ways_out() {
        let requests = [
            request("make", 1, None),
            request("pombump", 3, Some("maven/pombump")),
            request("zlib-dve>1", 2, None),
        ];
        let failure = map_packages(&requests, &[], "trixie").unwrap_err();
        assert_eq!(failure.code, Code::BuildFile);
        let (first, second) = failure.what.split_once("\n\n").unwrap();
        assert!(
            first.starts_with("a.yaml:2:1: Debian has no known counterpart of the package `zlib-dve>1`\n"),
            "{first}"
        );
        assert!(
            first.contains("did you mean `zlib-dev`?") && first.contains("debian:trixie+package"),
            "{first}"
        );
        assert!(
            second.starts_with("a.yaml:3:1: the pipeline `maven/pombump` needs the package `pombump`,"),
            "{second}"
        );
        assert!(second.contains("--image") && second.contains("--pipeline-dir"), "{second}");

        let failure = map_packages(&requests[..1], &["bash".into(), "nope".into()], "bookworm").unwrap_err();
        assert_eq!(failure.code, Code::Usage);
        assert_eq!(failure.what, "--package-append: Debian has no known counterpart of nope");
    }

    #[test]
    fn each_known_name_is_mapped() {
        let names = known_packages();
        for name in ["build-base", "cmake", "go-1.24", "python-3.11-dev", "R-dev"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        let requests: Vec<&str> = names.iter().map(String::as_str).collect();
        let debian = debian_packages();
        for name in mapped(&requests) {
            assert!(debian.contains(&&*name), "{name}");
        }
    }

    #[test]
    fn no_name_is_listed_twice_and_all_counterparts_are_valid_names() {
        let mut seen = BTreeSet::new();
        for name in TABLE.iter().map(|(apk, _)| *apk).chain(IDENTICAL.iter().copied()) {
            assert!(seen.insert(name), "{name} is listed twice");
        }
        let debian = TABLE.iter().flat_map(|(_, debian)| *debian).chain(IDENTICAL);
        for name in debian.chain(provided::COMMANDS.iter().map(|(_, debian)| debian)).chain(family::all()) {
            assert!(is_debian_name(name), "{name}");
        }
        for (library, apk) in provided::LIBRARIES {
            assert!(lookup(apk).is_some(), "{library}: {apk}");
        }
    }
}
