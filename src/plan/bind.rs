//! What of the host is in a container or sandbox: each thing, its place, and what becomes of writes there.

use std::path::PathBuf;

use serde::Serialize;

/// Something of the host that is put in its place before the agent starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bind {
    /// What.
    pub source: BindSource,
    /// Where, seen from inside.
    pub target: String,
    /// What becomes of writes below it.
    pub writes: Writes,
}

/// What is bound. Those that only the moment of launch knows have a name here and a path there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BindSource {
    /// The agent's program.
    Agent,
    /// The image's root: its tree, or the erofs file itself where the kernel mounts it.
    Root,
    /// A directory of this run, on a disk, thrown away with it.
    Scratch,
    /// A directory of the host.
    Directory(PathBuf),
    /// A directory in one of the host's that builds write to: no link on the way from there is followed. Where it is
    /// missing it is made if writes go through, else an empty one stands for it.
    Below {
        /// The directory of the host.
        directory: PathBuf,
        /// Relative to it.
        path: String,
    },
}

/// What becomes of writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// There are none.
    Refused,
    /// There are none, and a layer lies above the directory.
    ReadOnlyOverlay(Layer),
    /// They reach the host.
    Through,
    /// They go into an overlay that the runner makes.
    Overlaid(Overlay),
}

/// An overlay above a directory of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlay {
    /// What lies between the directory and what is written.
    pub layer: Layer,
    /// Where the agent finds what was written (`upper`, beside the overlay's own `work`), read-only.
    pub volumes: String,
    /// What becomes of it.
    pub upper: Upper,
}

/// What becomes of what was written into an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Upper {
    /// It is thrown away, so it may lean on the layers below it.
    Discarded,
    /// It is read at the end, so it must be understood without them, and by an agent that may not read `trusted` xattrs.
    Read,
}

/// A layer that hides things of the directory below it; an empty one is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Layer {
    /// These are hidden, relative to the directory.
    pub hidden: Vec<String>,
    /// A directory of which only a part can be seen.
    pub subset: Option<Subset>,
}

impl Layer {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        let Self { hidden, subset } = self;
        hidden.is_empty() && subset.is_none()
    }
}

/// A directory, there in any case, of which only some entries can be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subset {
    /// Which, relative to the layer.
    pub directory: String,
    /// What is seen of it.
    pub shown: Vec<String>,
}

/// A bind of `source` at `target`.
pub(crate) fn bind(source: BindSource, target: impl Into<String>, writes: Writes) -> Bind {
    Bind { source, target: target.into(), writes }
}
