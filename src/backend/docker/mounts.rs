//! The values of `--mount`, for each bind of the plan.
//!
//! The upper and work directories of an overlay are two named volumes, so that their removal does not need root. The overlay
//! itself is an anonymous volume: dockerd mounts it, so the container needs no right to mount, and removes it with the container.
//! The container mounts the named volumes, too, so that dockerd creates them with it, without a command of their own.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::files::{Files, binds};
use crate::plan::{Bind, BindSource, Layer, Overlay, Plan, Upper, Writes};

/// Options of an overlay that is discarded: a change of owner copies no data, a rename of a directory copies no tree, and
/// nothing is flushed.
const DISCARDED: &str = "metacopy=on,redirect_dir=on,volatile";
/// Options of an overlay whose upper directory is read: its files do not refer to the lower layers, and root of a container, which
/// cannot read `trusted` xattrs, can read it.
const READ: &str = "userxattr,volatile";
/// The directories of an overlay that need a volume.
const PARTS: [&str; 2] = ["upper", "work"];

/// The names of all named volumes.
pub(super) fn volumes(plan: &Plan, files: Files<'_>) -> Vec<String> {
    let overlaid = binds(plan).filter(|(_, bind)| matches!(bind.writes, Writes::Overlaid(_)));
    overlaid.flat_map(|(at, _)| PARTS.map(|part| volume(files, at, part))).collect()
}

fn volume(files: Files<'_>, at: usize, part: &str) -> String {
    format!("{}-{at}-{part}", files.name())
}

/// The values for a bind: one, or three for an overlay with its volumes.
pub(super) fn of(files: Files<'_>, at: usize, bind: &Bind) -> Vec<OsString> {
    let Bind { source, target, writes } = bind;
    let source = match source {
        BindSource::Agent => files.agent,
        BindSource::Directory(path) => files.fd_paths.get(&at).unwrap_or(path),
        BindSource::Below { directory, path } => {
            let directory = files.fd_paths.get(&at).cloned().unwrap_or_else(|| directory.join(path));
            return vec![of_open_directory(files, &directory, target, writes)];
        }
        // These are another switch of the command line, and the image.
        BindSource::Scratch | BindSource::Root => return Vec::new(),
    };
    match writes {
        Writes::Through => {
            vec![csv([plain("type=bind"), field("src=", source.as_os_str()), at_target(target)])]
        }
        Writes::Refused => {
            let bind = [plain("type=bind"), field("src=", source.as_os_str()), at_target(target)];
            vec![csv(bind.into_iter().chain([plain("readonly")]))]
        }
        // An overlay without an upper directory is read-only.
        Writes::ReadOnlyOverlay(layer) => {
            vec![local(files, "overlay", "overlay", &lower(files, at, layer, source), target)]
        }
        Writes::Overlaid(overlay) => overlaid(files, at, overlay, source, target),
    }
}

/// A bind of an open directory. With `--mount type=bind` docker would resolve the link in /proc to a path, which may be another
/// directory by then. A volume is mounted from the link itself.
fn of_open_directory(files: Files<'_>, directory: &Path, target: &str, writes: &Writes) -> OsString {
    let options = if *writes == Writes::Through { "bind" } else { "bind,ro" };
    local(files, "none", directory, OsStr::new(options), target)
}

fn overlaid(files: Files<'_>, at: usize, overlay: &Overlay, source: &Path, target: &str) -> Vec<OsString> {
    let Overlay { layer, volumes, upper } = overlay;
    let mut options = lower(files, at, layer, source);
    for part in PARTS {
        options.push(format!(",{part}dir="));
        options.push(escaped(&files.volume_directory(&volume(files, at, part))));
    }
    options.push(",");
    options.push(match upper {
        Upper::Discarded => DISCARDED,
        Upper::Read => READ,
    });
    let named = |part| {
        csv([
            plain("type=volume"),
            field("src=", OsStr::new(&volume(files, at, part))),
            field("volume-label=", &files.label()),
            plain("volume-nocopy"),
            at_target(&format!("{volumes}/{part}")),
            plain("readonly"),
        ])
    };
    PARTS.into_iter().map(named).chain([local(files, "overlay", "overlay", &options, target)]).collect()
}

/// An anonymous volume that dockerd mounts as `mount -t fstype -o options device` does. It has the label in case its container is
/// never created.
fn local(
    files: Files<'_>,
    fstype: &str,
    device: impl AsRef<OsStr>,
    options: &OsStr,
    target: &str,
) -> OsString {
    csv([
        plain("type=volume"),
        field("volume-label=", &files.label()),
        plain("volume-driver=local"),
        plain("volume-nocopy"),
        field("volume-opt=type=", OsStr::new(fstype)),
        field("volume-opt=device=", device.as_ref()),
        field("volume-opt=o=", options),
        at_target(target),
    ])
}

/// The option `lowerdir` of an overlay.
fn lower(files: Files<'_>, at: usize, layer: &Layer, source: &Path) -> OsString {
    let layer = (!layer.is_empty()).then(|| files.layer(at));
    let directories: Vec<OsString> =
        layer.iter().map(PathBuf::as_path).chain([source]).map(escaped).collect();
    field("lowerdir=", &directories.join(OsStr::new(":")))
}

fn plain(field: &str) -> OsString {
    field.into()
}

fn at_target(target: &str) -> OsString {
    field("dst=", OsStr::new(target))
}

fn field(name: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(name);
    text.push(value);
    text
}

/// A path in overlay's options, with its commas and colons escaped.
fn escaped(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes().iter();
    let escape =
        |&byte: &u8| if matches!(byte, b'\\' | b',' | b':') { vec![b'\\', byte] } else { vec![byte] };
    OsString::from_vec(bytes.flat_map(escape).collect())
}

/// A line of CSV: a field with a comma, a quote or a line break is quoted.
fn csv(fields: impl IntoIterator<Item = OsString>) -> OsString {
    let quoted = |field: OsString| {
        let bytes = field.as_bytes();
        if !bytes.iter().any(|byte| b",\"\n\r".contains(byte)) {
            return field;
        }
        let doubled =
            bytes.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
        OsString::from_vec([b"\"", doubled.collect::<Vec<u8>>().as_slice(), b"\""].concat())
    };
    fields.into_iter().map(quoted).collect::<Vec<_>>().join(OsStr::new(","))
}
