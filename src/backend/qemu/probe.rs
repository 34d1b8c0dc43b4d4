//! QEMU on this machine: its path, version and firmware.
//!
//! After it: the plan. It must not build a command line for a guest.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use serde::{Deserialize, Serialize};

use crate::{
    env::Env,
    exit::Failure,
    home::Home,
    host::{MEMOS, VERSION_LIMIT, find_program, identity, parse_version},
    process::{Command, Spawner},
};

/// Firmware that starts a PVH kernel on `microvm`. qboot is faster, so it comes first.
const FIRMWARE: [&str; 2] = ["qboot.rom", "bios-microvm.bin"];

/// An emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// The emulator for the requested architecture.
    pub path: PathBuf,
    /// Major, minor, patch.
    pub version: (u32, u32, u32),
    /// qboot or SeaBIOS' build for microvm; `None` for architectures that need neither.
    pub firmware: Option<PathBuf>,
}

/// The facts of an emulator, and the identity of its file.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    file: [i64; 5],
    qemu: Qemu,
}

impl Qemu {
    /// As [`Self::find`], with a memo: to start an unchanged emulator for its version takes longer than all other probes.
    pub async fn find_once(env: &Env, home: &Home, spawner: &Spawner, arch: &str) -> Result<Self> {
        let name = format!("qemu-{arch}.json");
        let path = find_program(env, &format!("qemu-system-{arch}"));
        let file = path.as_deref().and_then(identity);
        // An invalid memo is from another version of kiln, and is replaced.
        let memo = home.read(MEMOS, &name)?.and_then(|text| serde_json::from_slice::<Memo>(&text).ok());
        if let Some(memo) = memo.filter(|memo| {
            Some(memo.file) == file && Some(&memo.qemu.path) == path.as_ref() && memo.qemu.is_complete()
        }) {
            return Ok(memo.qemu);
        }
        let qemu = Self::find(env, spawner, arch).await?;
        if let Some(file) = file {
            let memo = serde_json::to_vec(&Memo { file, qemu: qemu.clone() }).context("write a memo")?;
            home.write(MEMOS, &name, &memo)?;
        }
        Ok(qemu)
    }

    /// Whether its firmware still exists.
    fn is_complete(&self) -> bool {
        self.firmware.as_ref().is_none_or(|path| path.is_file())
    }

    /// Looks for the emulator of `arch`.
    pub async fn find(env: &Env, spawner: &Spawner, arch: &str) -> Result<Self> {
        let program = format!("qemu-system-{arch}");
        let path = find_program(env, &program).ok_or_else(|| missing(&program, arch))?;
        let output = spawner.output(Command::new(&path).arg("--version"), VERSION_LIMIT).await?;
        let output = String::from_utf8_lossy(&output.stdout);
        let version =
            parse_version(&output).with_context(|| format!("understand {program} --version: {output:?}"))?;
        let firmware = match arch {
            "x86_64" => Some(Self::find_firmware(&path, spawner).await?),
            _ => None,
        };
        Ok(Self { path, version, firmware })
    }

    async fn find_firmware(qemu: &Path, spawner: &Spawner) -> Result<PathBuf> {
        let dirs = spawner.output(Command::new(qemu).args(["-L", "help"]), VERSION_LIMIT).await?.stdout;
        let dirs: Vec<&Path> =
            dirs.split(|&byte| byte == b'\n').filter(|dir| !dir.is_empty()).map(as_path).collect();
        firmware_in(&dirs).ok_or_else(|| {
            let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            let what =
                format!("no firmware for microvm: none of {} in {}", FIRMWARE.join(", "), dirs.join(", "));
            Failure::host(what, "apt-get install qemu-system-data seabios").into()
        })
    }
}

fn missing(program: &str, arch: &str) -> Failure {
    let package = match arch {
        "x86_64" | "i386" => "qemu-system-x86",
        "aarch64" | "arm" => "qemu-system-arm",
        _ => "qemu-system-misc",
    };
    Failure::host(format!("{program} is in no directory of $PATH"), format!("apt-get install {package}"))
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn firmware_in(dirs: &[&Path]) -> Option<PathBuf> {
    FIRMWARE.iter().find_map(|name| dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn versions_are_read_as_programs_print_them() {
        for (text, version) in [
            (
                "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003",
                Some((7, 2, 22)),
            ),
            ("QEMU emulator version 10.0.50 (v10.0.0-1-gabc)", Some((10, 0, 50))),
            ("QEMU emulator version 9.1.0-rc2", Some((9, 1, 0))),
            ("virtiofsd 1.14.0", Some((1, 14, 0))),
            ("virtiofsd version 7.2.22 (Debian 1:7.2)", Some((7, 2, 22))),
            ("nothing", None),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn qboot_is_preferred_in_any_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::create_dir_all(&one).unwrap();
        fs::create_dir_all(&two).unwrap();
        assert_eq!(firmware_in(&[&one, &two]), None);
        fs::write(one.join("bios-microvm.bin"), "").unwrap();
        assert_eq!(firmware_in(&[&one, &two]), Some(one.join("bios-microvm.bin")));
        fs::write(two.join("qboot.rom"), "").unwrap();
        assert_eq!(firmware_in(&[&one, &two]), Some(two.join("qboot.rom")));
    }

    #[test]
    fn a_replaced_file_has_another_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu");
        assert_eq!(identity(&path), None);
        fs::write(&path, "old").unwrap();
        let old = identity(&path).unwrap();
        assert_eq!(identity(&path), Some(old));
        // Both exist at the same time, so that the new file cannot have the old one's inode number.
        fs::write(dir.path().join("new"), "new").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_ne!(identity(&path), Some(old));
    }
}
