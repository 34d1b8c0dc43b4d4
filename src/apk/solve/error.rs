//! Why no set of packages was found.

use std::fmt::{self, Display};

use super::{nearest::nearest, packages::Packages};

/// The most packages of a chain that are kept: the last ones.
pub(super) const SHOWN_LINKS: usize = 20;

/// A request that cannot be satisfied, and the way to its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolveError {
    /// The request, as the user or the build file has it; empty if the fault is in all of them.
    pub request: String,
    /// The packages on the way from the request to the cause, the last 20 of them. The last one has the dependency that fails.
    pub chain: Vec<Link>,
    /// The fault.
    pub cause: Cause,
}

/// A package that was chosen on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The dependency that it was chosen for; empty for the first, which the request asks for.
    pub constraint: String,
    /// The name of its file, without a directory.
    pub package: String,
}

/// Why a request or a dependency cannot be satisfied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// No package has or provides the name.
    NothingProvides {
        /// The name.
        name: String,
        /// Similar names, which exist.
        nearest: Vec<String>,
    },
    /// Packages have or provide the name, but none of them may be chosen.
    Excluded {
        /// The request or the dependency.
        constraint: String,
        /// For each package why not.
        reasons: Vec<String>,
    },
    /// No candidate was found.
    NotFound,
    /// A package was chosen before, and does not satisfy this.
    Selected {
        /// `name=version` of that package.
        selected: String,
        /// The dependency.
        dependency: String,
    },
    /// Two packages have or provide the same name.
    Conflict {
        /// The package that is to be installed.
        package: String,
        /// The package that was chosen before.
        other: String,
        /// The name.
        name: String,
    },
    /// The version of a constraint is invalid.
    BadVersion {
        /// The constraint.
        constraint: String,
    },
    /// The search took too long.
    TooMuchWork,
}

impl Cause {
    pub(super) fn nothing_provides(packages: &Packages<'_>, name: &str) -> Self {
        Self::NothingProvides { name: name.to_owned(), nearest: nearest(name, packages.names()) }
    }

    /// The same, for a dependency that is more than a name.
    pub(super) fn of_dependency(self, text: &str) -> Self {
        match self {
            Self::Excluded { reasons, .. } => Self::Excluded { constraint: text.to_owned(), reasons },
            other => other,
        }
    }
}

impl SolveError {
    pub(super) fn of(cause: Cause, request: &str, chain: &[Link]) -> Self {
        let shown = chain.len().min(SHOWN_LINKS);
        let last = chain.get(chain.len() - shown..).unwrap_or_default();
        Self { request: request.to_owned(), chain: last.to_vec(), cause: cause.of_request(request, chain) }
    }
}

impl Cause {
    fn of_request(self, request: &str, chain: &[Link]) -> Self {
        if chain.is_empty() { self.of_dependency(request) } else { self }
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingProvides { name, nearest } => {
                write!(f, "nothing provides {name:?}")?;
                if !nearest.is_empty() {
                    write!(f, " (similar names: {})", nearest.join(", "))?;
                }
                Ok(())
            }
            Self::Excluded { constraint, reasons } => {
                write!(f, "no package can be chosen for {constraint:?}: {}", reasons.join("; "))
            }
            Self::NotFound => f.write_str("no package was found"),
            Self::Selected { selected, dependency } => {
                write!(f, "we already selected {selected:?} which conflicts with {dependency:?}")
            }
            Self::Conflict { package, other, name } => {
                write!(f, "{package} conflicts with {other}: both have or provide {name:?}")
            }
            Self::BadVersion { constraint } => write!(f, "the version of {constraint:?} is invalid"),
            Self::TooMuchWork => f.write_str("the indexes are such that a set takes too long to find"),
        }
    }
}

impl Display for SolveError {
    /// One line: the request, the packages on the way in brackets, the cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.request.is_empty() {
            write!(f, "package {:?}", self.request)?;
        }
        for (at, Link { constraint, package }) in self.chain.iter().enumerate() {
            match at {
                0 => write!(f, " ({package}")?,
                1 => write!(f, " needs {constraint:?}, which is {package}")?,
                _ => write!(f, ", which needs {constraint:?}, which is {package}")?,
            }
        }
        if !self.chain.is_empty() {
            f.write_str(")")?;
        }
        if !self.request.is_empty() {
            f.write_str(": ")?;
        }
        self.cause.fmt(f)
    }
}

impl std::error::Error for SolveError {}
