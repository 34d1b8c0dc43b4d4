//! The formats of apk packages and repositories. Pure: no network, no clock, no process.
//!
//! `package` writes packages with it, and `image` reads them.

#[expect(dead_code, reason = "packages are written and read by later commits")]
pub(crate) mod member;
#[expect(dead_code, reason = "packages are written and read by later commits")]
pub(crate) mod section;
#[expect(dead_code, reason = "packages are written and read by later commits")]
pub(crate) mod ustar;
