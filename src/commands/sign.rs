//! `kiln sign`: signs packages that exist. Their control and data sections stay as they are.

use std::{
    fs::File,
    io::{self, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, Result};

use super::published::{load_key, replace};
use crate::{
    apk::{PackageHead, SigningKey},
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
