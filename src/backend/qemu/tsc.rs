//! The frequency of the time stamp counter, measured once for each boot of the host.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{home::Home, host};

/// The directory of [`Home`] for verdicts on this host, and the file in it.
const VERDICTS: &str = "accelerator";
const NAME: &str = "tsc.json";

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    boot_id: String,
    khz: Option<u32>,
}

/// The frequency in kHz; `None` if it is not constant. The first call after a boot of the host takes 20 ms.
///
/// # Errors
/// When the home cannot be read or written.
pub(super) fn khz(home: &Home) -> Result<Option<u32>> {
    let boot_id = host::boot_id()?;
    let stored = home.read(VERDICTS, NAME)?.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
    if let Some(stored) = stored.filter(|stored| stored.boot_id == boot_id) {
        return Ok(stored.khz);
    }
    let khz = host::tsc::measure_khz();
    let bytes = serde_json::to_vec(&Stored { boot_id, khz }).context("encode a frequency")?;
    home.write(VERDICTS, NAME, &bytes)?;
    // Another kiln may have written another one at the same time: the file counts, since templates depend on the number.
    let stored = home.read(VERDICTS, NAME)?.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
    Ok(stored.map_or(khz, |stored| stored.khz))
}

/// The host's processor: its model and flags, on which a guest's may depend.
///
/// # Errors
/// When `/proc/cpuinfo` cannot be read.
pub(super) fn processor() -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
    let facts = ["model name", "flags", "Features"];
    let first = cpuinfo.lines().take_while(|line| !line.is_empty());
    Ok(first.filter(|line| facts.iter().any(|fact| line.starts_with(fact))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequency_is_kept_until_the_host_boots_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = Home::at(directory.path());
        let store = |boot_id: String| {
            let bytes = serde_json::to_vec(&Stored { boot_id, khz: Some(7) }).expect("encoded");
            home.write(VERDICTS, NAME, &bytes).expect("written");
        };
        store(host::boot_id().expect("a boot id"));
        assert_eq!(khz(&home).expect("known"), Some(7));
        store("another boot".into());
        assert_ne!(khz(&home).expect("measured"), Some(7));
        home.write(VERDICTS, NAME, b"{").expect("written");
        khz(&home).expect("measured again");
    }
}
