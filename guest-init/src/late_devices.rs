//! Devices that a machine has gained since its kernel looked for them: those of a guest that was restored from a template.
//!
//! A template has an empty virtio-mmio transport for each of them, or a slot behind a PCI bridge. The driver refused the empty
//! transports (ENODEV), and is asked once more here; the kernel looks again at what is behind the bridges.

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

/// Where the kernel lists PCI devices, and the file that makes it look for new ones.
const PCI_DEVICES: &str = "/sys/bus/pci/devices";
const PCI_RESCAN: &str = "/sys/bus/pci/rescan";

/// The class of a PCI bridge (PCI Code and ID Assignment Specification 1.11: 06h, 04h, 00h), as the kernel writes it.
const PCI_BRIDGE: &str = "0x060400";

/// Places of a machine for devices that come later.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Transports without a driver.
    pub(crate) free_transports: u32,
    /// PCI bridges.
    pub(crate) pci_slots: u32,
}

impl Places {
    /// Those of this machine.
    ///
    /// # Errors
    /// When the devices cannot be listed.
    pub(crate) fn find() -> Result<Self> {
        Ok(Self {
            free_transports: unbound(Path::new(DEVICES))?.len() as u32,
            pci_slots: bridges(Path::new(PCI_DEVICES))?,
        })
    }
}

/// Binds drivers to each device that the machine has gained.
///
/// # Errors
/// When the devices cannot be listed, or a driver fails.
pub(crate) fn attach() -> Result<()> {
    if bridges(Path::new(PCI_DEVICES))? > 0 {
        fs::write(PCI_RESCAN, "1").context("look for PCI devices")?;
    }
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
    let mut unbound = list(devices)?;
    unbound.retain(|device| {
        let name = device.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(TRANSPORT.as_bytes()) && !device.join("driver").exists()
    });
    unbound.sort();
    Ok(unbound)
}

/// The number of PCI bridges.
fn bridges(devices: &Path) -> Result<u32> {
    let mut count = 0;
    for device in list(devices)? {
        let class = device.join("class");
        let class = fs::read_to_string(&class).with_context(|| format!("read {}", class.display()))?;
        count += u32::from(class.trim_end() == PCI_BRIDGE);
    }
    Ok(count)
}

/// The devices of a bus; none if the kernel does not know the bus.
fn list(devices: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("list {}", devices.display());
    match fs::read_dir(devices) {
        Ok(entries) => entries.map(|entry| Ok(entry.with_context(context)?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(context),
    }
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

    #[test]
    fn bridges_are_known_by_their_class() {
        let directory = tempfile::tempdir().unwrap();
        for (name, class) in
            [("0000:00:00.0", "0x060000\n"), ("0000:00:01.0", "0x060400\n"), ("0000:01:00.0", "0x018000\n")]
        {
            fs::create_dir(directory.path().join(name)).unwrap();
            fs::write(directory.path().join(name).join("class"), class).unwrap();
        }
        assert_eq!(bridges(directory.path()).unwrap(), 1);
        assert_eq!(bridges(&directory.path().join("missing")).unwrap(), 0);
    }
}
