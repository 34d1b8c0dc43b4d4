//! Devices that a machine has gained since its kernel looked for them: those of a guest that was restored from a template.
//!
//! A template has an empty virtio-mmio transport for each of them. The driver refused the empty transports (ENODEV), and is asked
//! once more here.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The ACPI id of a virtio-mmio transport (virtio 1.2, 4.2), as it begins the names of these devices.
const TRANSPORT: &str = "LNRO0005:";

/// Where the kernel lists platform devices.
const DEVICES: &str = "/sys/bus/platform/devices";

/// The file of the driver that takes the name of a device.
const BIND: &str = "/sys/bus/platform/drivers/virtio-mmio/bind";

/// The number of transports without a driver.
///
/// # Errors
/// When the devices cannot be listed.
pub(crate) fn free_transports() -> Result<u32> {
    Ok(unbound(Path::new(DEVICES))?.len() as u32)
}

/// Binds the driver to each transport that has gained a device.
///
/// # Errors
/// When the devices cannot be listed, or the driver fails.
pub(crate) fn attach() -> Result<()> {
    for device in unbound(Path::new(DEVICES))? {
        let name = device.file_name().unwrap_or_default().as_encoded_bytes();
        match fs::write(BIND, name) {
            Ok(()) => {}
            // ENODEV: it is still empty.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => {}
            Err(error) => return Err(error).with_context(|| format!("bind {}", device.display())),
        }
    }
    Ok(())
}

/// The transports without a driver, in the order of their numbers.
fn unbound(devices: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(devices) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("list {}", devices.display())),
    };
    let mut unbound = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", devices.display()))?;
        let is_transport = entry.file_name().as_encoded_bytes().starts_with(TRANSPORT.as_bytes());
        if is_transport && !entry.path().join("driver").exists() {
            unbound.push(entry.path());
        }
    }
    unbound.sort();
    Ok(unbound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transports_without_a_driver_are_free() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["LNRO0005:02", "LNRO0005:00", "LNRO0005:01", "PNP0C0C:00"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        fs::create_dir(directory.path().join("LNRO0005:01/driver")).unwrap();
        let free = unbound(directory.path()).unwrap();
        let names: Vec<_> = free.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["LNRO0005:00", "LNRO0005:02"]);
        assert_eq!(unbound(&directory.path().join("missing")).unwrap(), Vec::<PathBuf>::new());
    }
}
