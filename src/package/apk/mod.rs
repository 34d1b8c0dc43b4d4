//! A package of apk, made while the files of the build leave the guest.
//!
//! The data section is written entry by entry; what a package says of itself is known when all of them have passed.

mod addition;
mod attributes;
mod data;
mod held;
mod order;

#[expect(unused_imports, reason = "a later commit makes packages with it")]
pub(super) use addition::AddedFile;
#[expect(unused_imports, reason = "a later commit makes packages with it")]
pub(super) use data::{Data, DataSection};
