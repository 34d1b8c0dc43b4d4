//! The control section of a package.

use std::io;

use sha1::{Digest, Sha1};

use crate::{
    apk::{member::gzip, ustar},
    plan::Scriptlets,
};

/// The modes of entries: texts, and scripts that apk runs.
const TEXT: u32 = 0o644;
const SCRIPT: u32 = 0o755;

/// A control section.
pub(super) struct Control {
    /// The section, compressed.
    pub(super) section: Vec<u8>,
    /// The SHA-1 of the compressed section: the identity of the package in an index.
    pub(super) sha1: [u8; 20],
}

/// Makes a control section. The entries are sorted by name. `mtime` is in seconds since the epoch.
pub(super) fn control(
    package_info: &str,
    configuration: &str,
    scriptlets: &Scriptlets,
    mtime: i64,
) -> io::Result<Control> {
    let mut writer = ustar::Writer::new(Vec::new());
    let mut put = |name: &str, mode, content: &[u8]| {
        writer.entry(&ustar::Entry::plain(name.as_bytes(), mode, content.len() as u64, mtime))?;
        writer.content(content)
    };
    put(".PKGINFO", TEXT, package_info.as_bytes())?;
    put(".melange.yaml", TEXT, configuration.as_bytes())?;
    for script in &scriptlets.scripts {
        put(script.file, SCRIPT, script.text.as_bytes())?;
    }
    let section = gzip(&writer.finish_section()?);
    let sha1 = Sha1::digest(&section).into();
    Ok(Control { section, sha1 })
}
