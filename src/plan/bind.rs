//! The files and directories of the host that a container or sandbox has: source, target, and the fate of writes.

use std::path::PathBuf;

use serde::Serialize;

/// A file or directory of the host that is mounted before the agent starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bind {
    /// The file or directory.
    pub source: BindSource,
    /// The path in the guest.
    pub target: String,
    /// The fate of writes below it.
    pub writes: Writes,
}

/// The source of a bind. Paths that are known only at launch have a name here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BindSource {
    /// The agent's program.
    Agent,
    /// The image's root: its tree, or the erofs file itself where the kernel mounts it.
    Root,
    /// A directory of this run on a disk, removed at its end.
    Scratch,
    /// A directory of the host.
    Directory(PathBuf),
    /// A directory below a directory of the host that builds write to: no link below that one is followed. If it is
    /// missing and writes go through, it is made; if they do not, an empty directory takes its place.
    Below {
        /// The directory of the host.
        directory: PathBuf,
        /// Relative to it.
        path: String,
    },
}

/// The fate of writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// They fail with EROFS.
    Refused,
    /// They fail, and a layer lies above the directory.
    ReadOnlyOverlay(Layer),
    /// They reach the host.
    Through,
    /// They go into an overlay that the runner makes.
    Overlaid(Overlay),
}

/// An overlay above a directory of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlay {
    /// The layer between the directory and the upper directory.
    pub layer: Layer,
    /// The directory in which the agent finds `upper` and `work` of the overlay, read-only.
    pub volumes: String,
    /// The fate of the upper directory.
    pub upper: Upper,
}

/// The fate of the upper directory of an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Upper {
    /// It is discarded, so its files may refer to the lower layers.
    Discarded,
    /// It is read at the end. Its files must not refer to the lower layers, and the agent must not need `trusted` xattrs.
    Read,
}

/// A layer that hides entries of the directory below it. An empty one is not made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Layer {
    /// The hidden paths, relative to the directory.
    pub hidden: Vec<String>,
    /// A directory of which only some entries are visible.
    pub subset: Option<Subset>,
}

impl Layer {
    /// Whether it hides nothing.
    pub fn is_empty(&self) -> bool {
        let Self { hidden, subset } = self;
        hidden.is_empty() && subset.is_none()
    }
}

/// A directory of which only some entries are visible. It exists in the layer even if it does not exist below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subset {
    /// The directory, relative to the layer.
    pub directory: String,
    /// The names of its visible entries.
    pub shown: Vec<String>,
}

/// A bind of `source` at `target`.
pub(crate) fn bind(source: BindSource, target: impl Into<String>, writes: Writes) -> Bind {
    Bind { source, target: target.into(), writes }
}
