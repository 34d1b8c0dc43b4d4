//! `kiln sign`: signs packages that exist. Their control and data sections stay as they are.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::published::{load_key, replace};
use crate::{
    apk::{PackageHead, PackageInfo, SigningKey},
    cli::SignArgs,
    exit::{Code, Failure},
    input, report,
};

/// Signs one package after the other.
pub(super) fn run(args: &SignArgs) -> Result<Code> {
    let SignArgs { signing_key, packages } = args;
    let key = load_key(signing_key)?;
    for path in packages {
        sign(path, &key).with_context(|| format!("sign {}", path.display()))?;
    }
    Ok(Code::Success)
}

fn sign(path: &Path, key: &SigningKey) -> Result<()> {
    let (mut input, head) = open(path)?;
    check_data(&mut input, &head.info)?;
    let mode = input.get_ref().metadata()?.permissions().mode();
    let signature = head.signature(key)?;
    replace(path, Some(mode), |file| {
        file.write_all(&signature)?;
        file.write_all(&head.control)?;
        io::copy(&mut input, file)?;
        Ok(())
    })?;
    report::print(&format!("signed {} with {}\n", path.display(), key.name())).map(|_| ())
}

/// Whether the data are those of the control section: a signature of a package that was cut off would hide that. The input is then
/// where it was.
fn check_data(input: &mut BufReader<File>, info: &PackageInfo) -> Result<()> {
    // Packages of the first format have none.
    if info.data_hash.is_empty() {
        return Ok(());
    }
    let start = input.stream_position()?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 17];
    loop {
        let length = input.read(&mut piece)?;
        if length == 0 {
            break;
        }
        hash.update(piece.get(..length).unwrap_or_default());
    }
    input.seek(SeekFrom::Start(start))?;
    if HEXLOWER.encode(&hash.finalize()) == info.data_hash {
        return Ok(());
    }
    let what = "its data are not those that its .PKGINFO names (datahash): it was cut off or changed";
    Err(Failure::new(Code::Package, what, "build it again or fetch it again").into())
}

/// Opens a package and reads what stands before its data.
pub(super) fn open(path: &Path) -> Result<(BufReader<File>, PackageHead)> {
    let unreadable = |error: io::Error| {
        Failure::host(format!("open {}: {error}", path.display()), "name a package: NAME-VERSION.apk")
    };
    let mut input = BufReader::new(input::open_file(path).map_err(unreadable)?);
    let head = PackageHead::read(&mut input).map_err(|error| {
        if error.raw_os_error().is_some() {
            return unreadable(error);
        }
        let what = format!("{} is no package that kiln can read: {error}", path.display());
        Failure::new(Code::Package, what, "build it again or fetch it again")
    })?;
    Ok((input, head))
}
