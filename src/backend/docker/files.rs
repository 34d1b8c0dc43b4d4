//! The input of docker's command line besides the plan, and the names that follow from it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::plan::{Bind, Plan};

/// The label of all objects of a run. Its value is the run's directory, which is locked until the run ends.
pub(super) const RUN_LABEL: &str = "kiln.run";

/// The input of the command line besides the plan.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The command.
    pub docker: &'a Path,
    /// dockerd's own directory.
    pub root: &'a Path,
    /// The image's id.
    pub image: &'a str,
    /// The agent's program.
    pub agent: &'a Path,
    /// The run's directory. Container and volumes have its name.
    pub run_dir: &'a Path,
    /// Paths in /proc of directories that kiln has opened, by the number of their bind. dockerd mounts them instead of the bind's
    /// path.
    pub fd_paths: &'a BTreeMap<usize, PathBuf>,
}

impl Files<'_> {
    /// The name of the container, and the prefix of the names of its volumes.
    pub(super) fn name(&self) -> String {
        format!("kiln-{}", self.run_dir.file_name().unwrap_or_default().to_string_lossy())
    }

    /// The directory in which dockerd keeps the content of a volume.
    pub(super) fn volume_directory(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name).join("_data")
    }

    /// The layer above the directory of the bind with this number.
    pub(super) fn layer(&self, at: usize) -> PathBuf {
        self.run_dir.join(format!("layer-{at}"))
    }

    pub(super) fn label(&self) -> OsString {
        let mut label = OsString::from(format!("{RUN_LABEL}="));
        label.push(self.run_dir);
        label
    }
}

/// The binds of a plan for docker, numbered.
pub(super) fn binds(plan: &Plan) -> impl Iterator<Item = (usize, &Bind)> {
    plan.platform.binds().iter().enumerate()
}
