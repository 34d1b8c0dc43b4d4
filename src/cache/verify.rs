//! Whether a cache is whole: files whose names are their hashes are read and compared.

use std::io::Read;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256, Sha512};

use super::{
    lease::Lease,
    lock::Strength,
    place::{Place, What, what},
};

/// In pieces of this size a file is read.
const PIECE: usize = 256 << 10;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// How many files were compared.
    pub compared: u64,
    /// Those that are not what their names say.
    pub wrong: Vec<String>,
    /// How many of them were removed.
    pub removed: u64,
}

/// Compares `sha256:<hex>` and `sha512:<hex>` with their content; under an exclusive lease the damaged ones are removed.
/// What earlier commits left has been finished when the lease was taken.
pub fn verify(lease: &Lease) -> Result<Damage> {
    let mut damage = Damage::default();
    for name in lease.place.names().context("list the cache")? {
        let Ok(text) = String::from_utf8(name) else { continue };
        let is_file = lease.place.stat(text.as_bytes())?.is_some_and(|stat| what(&stat) == What::File);
        if !is_file {
            continue;
        }
        let same = match text.split_once(':') {
            Some(("sha256", hex)) => digest::<Sha256>(&lease.place, &text)? == hex,
            Some(("sha512", hex)) => digest::<Sha512>(&lease.place, &text)? == hex,
            Some(_) | None => continue,
        };
        damage.compared += 1;
        if same {
            continue;
        }
        if lease.strength() == Strength::Exclusive {
            lease.place.unlink(text.as_bytes()).with_context(|| format!("remove {text}"))?;
            damage.removed += 1;
        }
        damage.wrong.push(text);
    }
    Ok(damage)
}

fn digest<D: Digest>(place: &Place, name: &str) -> Result<String> {
    let Some(mut file) = place.file(name.as_bytes())? else { return Ok(String::new()) };
    let mut hash = D::new();
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece).with_context(|| format!("read {name}"))?;
        if length == 0 {
            break;
        }
        hash.update(&piece[..length]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
