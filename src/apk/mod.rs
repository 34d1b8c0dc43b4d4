//! Packages of apk and repositories of them: versions, constraints, indexes, signatures, and which packages a set needs.
//!
//! Before it: bytes of packages and indexes, which anyone may have made. After it: `package`, which writes packages, and `image`,
//! which makes roots of them. Nothing here uses the network, the clock or another program.

mod archive;
mod constraint;
pub(crate) mod control;
mod index;
pub(crate) mod member;
mod noise;
mod pkginfo;
pub(crate) mod section;
mod signature;
mod solve;
pub(crate) mod tar;
pub(crate) mod ustar;
mod version;

pub use archive::{IndexArchive, PackageHead, signature_section};
pub use constraint::Constraint;
pub use index::{Index, IndexError, Record, Words};
pub use pkginfo::{MAX_PKGINFO, PackageInfo};
pub use signature::{Algorithm, MAX_KEY_SIZE, MIN_KEY_SIZE, PublicKey, SigningKey, generate_key};
pub use solve::{Cause, Chosen, Link, NoSet, Repository, SolveError, solve, solve_completely};
pub use version::{Operator, Version};
