//! Loads the kernel modules that the host names, in its order.
//!
//! The host has unpacked them and ordered them by `modules.dep`; nothing is looked up here. The loader passes a module its
//! parameters of the kernel's command line, as `modprobe` does (`virtio_mmio.device=…`, which announces devices on a microvm).

use std::{ffi::CString, fs::File, path::Path};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
};

/// Loads `paths` in order; a module that is loaded already, or built in, is skipped.
pub(crate) fn load(paths: &[String]) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let command_line = std::fs::read_to_string("/proc/cmdline").context("read /proc/cmdline")?;
    for path in paths.iter().filter(|path| !is_loaded(&name(path))) {
        let file = File::open(path).with_context(|| format!("open module {path}"))?;
        let parameters = CString::new(parameters(&command_line, &name(path)))
            .with_context(|| format!("the kernel's command line for module {path}"))?;
        match finit_module(&file, &parameters, ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno).with_context(|| format!("load module {path}")),
        }
    }
    Ok(())
}

/// Whether the kernel has the module. In a guest that was restored from a template it has them all; opening the files and having them
/// refused would take a third of the start.
fn is_loaded(name: &str) -> bool {
    Path::new("/sys/module").join(name).exists()
}

/// A module's name: its file's, where `-` and `_` are the same.
fn name(path: &str) -> String {
    let stem = Path::new(path).file_stem().unwrap_or_default();
    stem.to_string_lossy().replace('-', "_")
}

/// The parameters that a kernel command line has for a module: of each `module.parameter=value` what follows the dot.
fn parameters(command_line: &str, module: &str) -> String {
    let own = words(command_line).filter_map(|word| {
        let (name, parameter) = word.split_once('.')?;
        (name.replace('-', "_") == module).then_some(parameter)
    });
    own.collect::<Vec<_>>().join(" ")
}

/// The words of a command line: white space inside double quotes does not end one.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |c: char| {
        quoted ^= c == '"';
        c.is_ascii_whitespace() && !quoted
    })
    .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_gets_its_own_parameters_in_order() {
        let line = "quiet virtio_mmio.device=512@0xfeb00e00:12 virtio-mmio.device=512@0xfeb00c00:13 9p.x=1 a.b=\"c d\"\n";
        assert_eq!(parameters(line, "virtio_mmio"), "device=512@0xfeb00e00:12 device=512@0xfeb00c00:13");
        assert_eq!(parameters(line, "a"), "b=\"c d\"");
        assert_eq!(parameters(line, "quiet"), "");
    }

    #[test]
    fn a_name_is_that_of_the_file_with_underscores() {
        assert_eq!(name("/modules/virtio-rng.ko"), "virtio_rng");
    }
}
