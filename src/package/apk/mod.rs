//! A package of apk, made while the files of the build leave the guest.
//!
//! The data section is written entry by entry; what a package says of itself is known when all of them have passed.

mod addition;
mod assemble;
mod attributes;
mod beside;
mod control;
mod data;
mod finish;
mod form;
mod held;
mod index;
mod order;
mod review;

pub(super) use addition::AddedFile;
pub(super) use data::DataSection;
pub(super) use finish::finish;
pub use form::ApkForm;
pub use index::check as check_index;
pub(crate) use index::{load as load_index, unusable as unusable_index};

#[cfg(test)]
mod tests;
