//! Compares the licences that a build file declares with the texts of licences among its sources. Pure.
//!
//! ```text
//! names of files --file_names--> files with licences --detect (phrases)--> Detected --compare (+ copyright)--> Difference
//! ```
//!
//! Before it stands the engine, which reads the files in the guest, or `kiln license-check`, which reads them itself. The files
//! are hostile: what is looked at is limited, and they can cause no more than a wrong warning.

mod compare;
mod detect;
mod file_names;
mod names;
mod phrases;

pub use compare::{Difference, differences};
pub use detect::{Detected, detect};
pub use file_names::{Depth, WORDS, is_license_file};

/// The most files that are compared.
pub const MOST_FILES: usize = 32;
/// The most bytes that are compared.
pub const MOST_BYTES: usize = 4 << 20;
