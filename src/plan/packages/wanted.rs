//! A package as apk's world file has it: `[!]name[@repository][constraint]` (apk-world(5)).

/// One entry of a world file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// The whole entry.
    written: &'a str,
    /// The name.
    pub(super) name: &'a str,
    /// Whether the package must not be installed.
    pub(super) excluded: bool,
}

impl<'a> Wanted<'a> {
    /// Parses an entry. An invalid one has a name that no package has.
    pub(super) fn parse(written: &'a str) -> Self {
        let (excluded, rest) = written.strip_prefix('!').map_or((false, written), |rest| (true, rest));
        let name = rest.split(['@', '=', '<', '>', '~']).next().unwrap_or_default().trim_end();
        Self { written, name, excluded }
    }

    /// The note on a part of the entry that has no effect on Debian's packages.
    pub(super) fn note(&self, packages: &[String]) -> Option<String> {
        let Self { written, name, excluded } = self;
        if *excluded {
            let why = "a root of Debian has only requested packages, and excludes none";
            return Some(format!("{written}: {why}"));
        }
        (written != name && !packages.is_empty()).then(|| {
            format!("{written}: Debian's {} is installed, whatever its version", packages.join(", "))
        })
    }
}
