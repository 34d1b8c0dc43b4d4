//! The packages that a job gets from earlier jobs of the same command.

use crate::{
    apk::SigningKey,
    exit::Failure,
    plan::{ApkKey, BuildOptions, BuiltPackages},
};

/// Where the packages of earlier jobs are, and what their index is trusted by.
pub(super) fn packages(options: &BuildOptions, key: Option<&SigningKey>) -> Result<BuiltPackages, Failure> {
    let has_index = options.packaging.has_index();
    let key = key.map(|key| -> Result<ApkKey, Failure> {
        let public = key.public_key();
        Ok(ApkKey { name: public.name().to_owned(), pem: public.pem()? })
    });
    let key = key.transpose()?;
    if !has_index || (key.is_none() && !options.repositories.ignore_signatures) {
        return Ok(BuiltPackages::Untrusted);
    }
    Ok(BuiltPackages::Repository { directory: options.out_dir.clone(), key })
}
