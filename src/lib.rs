//! kiln builds packages from melange-compatible YAML, each build in a microVM of its own.
//!
//! ```text
//! YAML --parse--> Manifest --compile--> Recipe --resolve(+Host)--> Plan --Runner::launch--> Session --run(Step)*--> Outcome
//! ```

pub mod event;
pub mod exit;
