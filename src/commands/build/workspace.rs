//! The workspace of a step that failed: `--keep-on-failure`.

use anyhow::Result;

use super::rerun_command;
use crate::{
    cli::BuildArgs,
    event::{Event, Sink},
    rundir::RunDir,
};

/// Its name in the directory of the run.
pub(super) const FILE: &str = "workspace.tar";

/// Keeps the workspace of the failed step, if there is one, and says where it lies and how to use it.
pub(super) fn keep(run_dir: RunDir, args: &BuildArgs, sink: &mut dyn Sink) -> Result<()> {
    if !run_dir.path().join(FILE).exists() {
        return Ok(());
    }
    let path = run_dir.keep()?.join(FILE);
    let path = rerun_command::quoted(&path.display().to_string());
    let text = format!(
        "the workspace of the failed step is kept: {path}\n\
         a shell with it: mkdir work && tar -C work -xf {path} && {}",
        rerun_command::shell(args, "work"),
    );
    sink.emit(Event::Note { text });
    Ok(())
}
