//! A package as apk's world file has it: `[!]name[@repository][constraint]` (apk-world(5)).

/// One name and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// All of it.
    written: &'a str,
    /// The name.
    pub(super) name: &'a str,
    /// Whether it must not be there.
    pub(super) excluded: bool,
}

impl<'a> Wanted<'a> {
    /// Reads it; what has no such form is a name that nothing has.
    pub(super) fn parse(written: &'a str) -> Self {
        let (excluded, rest) = written.strip_prefix('!').map_or((false, written), |rest| (true, rest));
        let name = rest.split(['@', '=', '<', '>', '~']).next().unwrap_or_default().trim_end();
        Self { written, name, excluded }
    }

    /// What of it Debian's packages do not follow.
    pub(super) fn note(&self, packages: &[String]) -> Option<String> {
        let Self { written, name, excluded } = self;
        if *excluded {
            let why = "Debian's roots are made of what is asked for, and nothing is excluded";
            return Some(format!("{written}: {why}"));
        }
        (written != name && !packages.is_empty()).then(|| {
            format!("{written}: Debian's {} is installed, whatever its version", packages.join(", "))
        })
    }
}
