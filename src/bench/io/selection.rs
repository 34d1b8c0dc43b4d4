//! The rows and columns of one run.

use super::{
    scenarios::{IoScenario, Scale, Work},
    variants::Share,
};

/// What is measured, and how much.
pub(crate) struct Selection {
    /// The columns.
    pub(crate) shares: Vec<Share>,
    /// The rows.
    pub(crate) scenarios: Vec<IoScenario>,
    /// How much of each.
    pub(crate) scale: Scale,
}

/// The packages of the image in which these scenarios are measured.
pub(crate) fn packages(scenarios: &[IoScenario]) -> Vec<String> {
    const USUAL: [&str; 5] = ["fio", "gcc", "git", "libc6-dev", "perl"];
    const MANAGERS: [&str; 8] = [
        "ca-certificates",
        "cargo-web",
        "golang-go",
        "npm",
        "python3-pip",
        "python3-setuptools",
        "python3-wheel",
        "rustc-web",
    ];
    let managers: &[&str] = match scenarios.iter().any(|one| one.work == Work::Package) {
        true => &MANAGERS,
        false => &[],
    };
    USUAL.iter().chain(managers).map(|name| (*name).to_owned()).collect()
}
