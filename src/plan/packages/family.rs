//! Families of names with a version, such as `python-3.13-dev`. A release of Debian has one version of each, which is used.

use super::table::lookup;

/// The packages of Debian that stand for a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Counterpart {
    /// Debian's names.
    pub(super) packages: Vec<String>,
    /// A line for the user, if the packages differ from the request.
    pub(super) note: Option<String>,
}

impl Counterpart {
    /// A counterpart that is equivalent to the request.
    pub(super) fn same(packages: Vec<String>) -> Self {
        Self { packages, note: None }
    }
}

/// One family.
struct Family {
    /// The part before the version.
    prefix: &'static str,
    /// Each suffix after the version, and its packages in Debian.
    members: &'static [(&'static str, &'static [&'static str])],
    /// The prefix of the same name in the table: `py3.13-pip` is `py3-pip`.
    unversioned: Option<&'static str>,
    /// The version that bookworm and trixie have.
    versions: [&'static str; 2],
}

/// The suites whose versions are known.
pub const SUITES: [&str; 2] = ["bookworm", "trixie"];

const fn family(
    prefix: &'static str,
    members: &'static [(&'static str, &'static [&'static str])],
    versions: [&'static str; 2],
) -> Family {
    Family { prefix, members, unversioned: None, versions }
}

const PYTHON: [&str; 2] = ["3.11", "3.13"];
const RUBY: [&str; 2] = ["3.1", "3.3"];
const LLVM: [&str; 2] = ["14", "19"];
const JAVA: [&str; 2] = ["17", "21"];

const FAMILIES: &[Family] = &[
    family("cmake-", &[("", &["cmake"])], ["3.25", "3.31"]),
    family("go-", &[("", &["golang-go"]), ("-dev", &["golang-go"])], ["1.19", "1.24"]),
    family(
        "python-",
        &[
            ("", &["python3", "python3-venv"]),
            ("-base", &["python3", "python3-venv"]),
            ("-dev", &["python3-dev"]),
            ("-base-dev", &["python3-dev"]),
            ("-default", &["python3", "python3-venv"]),
        ],
        PYTHON,
    ),
    Family { unversioned: Some("py3"), ..family("py", &[], PYTHON) },
    family("ruby-", &[("", &["ruby"]), ("-dev", &["ruby-dev"]), ("-default", &["ruby"])], RUBY),
    Family { unversioned: Some("ruby"), ..family("ruby", &[], RUBY) },
    family("rust-", &[("", &["cargo", "rustc"]), ("-dev", &["cargo", "rustc"])], ["1.63", "1.85"]),
    family("nodejs-", &[("", &["nodejs"]), ("-dev", &["libnode-dev", "nodejs"])], ["18", "20"]),
    family("php-", &[("", &["php-cli"]), ("-dev", &["php-dev"])], ["8.2", "8.4"]),
    family(
        "openjdk-",
        &[
            ("", &["default-jdk-headless"]),
            ("-default-jdk", &["default-jdk-headless"]),
            ("-default-jvm", &["default-jre-headless"]),
            ("-jre", &["default-jre-headless"]),
            ("-jdk", &["default-jdk-headless"]),
        ],
        JAVA,
    ),
    family("llvm-", &[("", &["llvm"]), ("-dev", &["llvm-dev"])], LLVM),
    family("clang-", &[("", &["clang"]), ("-dev", &["libclang-dev"])], LLVM),
    family("lld-", &[("", &["lld"])], LLVM),
    family("gcc-", &[("", &["g++", "gcc"]), ("-default", &["g++", "gcc"])], ["12", "14"]),
    family(
        "postgresql-",
        &[
            ("", &["postgresql"]),
            ("-client", &["postgresql-client"]),
            ("-dev", &["libpq-dev", "postgresql-server-dev-all"]),
        ],
        ["15", "17"],
    ),
    family("erlang-", &[("", &["erlang-nox"]), ("-dev", &["erlang-dev"])], ["25", "27"]),
    family("ghc-", &[("", &["ghc"])], ["9.0", "9.6"]),
    family("maven-", &[("", &["maven"])], ["3.8", "3.9"]),
];

/// The counterpart of a name, if it is in a family.
pub(super) fn find(name: &str, suite: &str) -> Option<Counterpart> {
    FAMILIES.iter().find_map(|family| family.find(name, suite))
}

impl Family {
    fn find(&self, name: &str, suite: &str) -> Option<Counterpart> {
        let rest = name.strip_prefix(self.prefix)?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (version, suffix) = rest.split_at(end);
        if !version.starts_with(|c: char| c.is_ascii_digit()) || version.ends_with('.') {
            return None;
        }
        let packages = match self.unversioned {
            Some(prefix) => lookup(&format!("{prefix}{suffix}")).filter(|_| suffix.starts_with('-'))?,
            None => {
                let (_, debian) = self.members.iter().find(|(member, _)| *member == suffix)?;
                debian.iter().map(ToString::to_string).collect()
            }
        };
        let has = SUITES.iter().position(|known| *known == suite).map(|at| self.versions[at]);
        let note = (!has.is_some_and(|has| is_release_of(has, version))).then(|| {
            let has =
                has.map_or(format!("{suite}'s version"), |has| format!("version {has}, which {suite} has"));
            format!("{name}: Debian's {} takes its place, in {has}", packages.join(", "))
        });
        Some(Counterpart { packages, note })
    }
}

/// Whether one version is a prefix of the other: `3` and `3.11`.
fn is_release_of(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(one), Some(other)) if one == other => {}
            (None, _) | (_, None) => return true,
            (Some(_), Some(_)) => return false,
        }
    }
}

/// The names of the families that have a list of members, in the versions that suites have.
pub(super) fn names() -> impl Iterator<Item = String> {
    let listed = FAMILIES.iter().filter(|family| family.unversioned.is_none());
    listed.flat_map(|Family { prefix, members, versions, .. }| {
        versions.iter().flat_map(move |version| {
            members.iter().map(move |(member, _)| format!("{prefix}{version}{member}"))
        })
    })
}

/// All names of Debian's packages in families.
pub(super) fn all() -> impl Iterator<Item = &'static &'static str> {
    FAMILIES.iter().flat_map(|family| family.members).flat_map(|(_, debian)| *debian)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_a_suite_lacks_is_replaced_by_the_one_it_has() {
        for (name, suite, packages, note) in [
            ("go-1.27", "bookworm", &["golang-go"][..], "version 1.19, which bookworm has"),
            ("go-1.24", "trixie", &["golang-go"], ""),
            ("go-1.24.6", "trixie", &["golang-go"], ""),
            ("go-1.2", "trixie", &["golang-go"], "version 1.24, which trixie has"),
            ("go-1.27-dev", "sid", &["golang-go"], "sid's version"),
            ("python-3.13", "bookworm", &["python3", "python3-venv"], "version 3.11, which bookworm has"),
            ("python-3.13-dev", "trixie", &["python3-dev"], ""),
            ("python-3", "bookworm", &["python3", "python3-venv"], ""),
            ("py3.12-pip", "bookworm", &["python3-pip"], "version 3.11, which bookworm has"),
            ("ruby-3.4-dev", "bookworm", &["ruby-dev"], "version 3.1, which bookworm has"),
            ("ruby3.4-bundler", "bookworm", &["ruby-bundler"], "version 3.1, which bookworm has"),
            ("rust-1.91", "bookworm", &["cargo", "rustc"], "version 1.63, which bookworm has"),
            ("nodejs-26-dev", "bookworm", &["libnode-dev", "nodejs"], "version 18, which bookworm has"),
            ("openjdk-8-jre", "bookworm", &["default-jre-headless"], "version 17, which bookworm has"),
            ("clang-18", "trixie", &["clang"], "version 19, which trixie has"),
        ] {
            let found = find(name, suite).unwrap_or_else(|| panic!("{name} is of a family"));
            assert_eq!(found.packages, packages, "{name}");
            let note = (!note.is_empty())
                .then(|| format!("{name}: Debian's {} takes its place, in {note}", packages.join(", ")));
            assert_eq!(found.note, note, "{name}");
        }
        for name in
            ["go", "go-", "go-tools", "go-1.", "go-1.2-x", "python-", "py3.12", "py3.12-nope", "ruby", "gcc-"]
        {
            assert_eq!(find(name, "bookworm"), None, "{name}");
        }
    }
}
