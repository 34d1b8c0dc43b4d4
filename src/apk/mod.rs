//! The formats of apk packages and repositories. Pure: no network, no clock, no process.
//!
//! `package` writes packages with it, and `image` reads them.

#[cfg_attr(not(test), expect(dead_code, reason = "indexes are compressed by a later commit"))]
pub(crate) mod member;
#[expect(dead_code, reason = "packages are written and read by later commits")]
pub(crate) mod section;
#[cfg_attr(not(test), expect(dead_code, reason = "sections are written by a later commit"))]
pub(crate) mod ustar;
