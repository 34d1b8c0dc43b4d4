//! Handles the host's requests in a prepared guest: answers them, or begins the task that does.
//!
//! Called by [`super::event_loop`], which also completes the tasks.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kiln_protocol::{ExitStatus, FromGuest, Step, ToGuest, frame::MAX_DATA};

use super::{Flow, Session};
use crate::{
    clock, exec,
    export::Export,
    file, find_files,
    input::Input,
    processes, read_file, secrets,
    task::{ExportDetail, Phase, Running, Task},
    trust,
};

impl Session<'_> {
    pub(super) fn handle(&mut self, request: ToGuest) -> Result<Flow> {
        match (request, &mut self.task) {
            (ToGuest::Shutdown, _) => return Ok(Flow::End),
            (ToGuest::Cancel, Task::Idle | Task::Step(_)) => self.kill(ExitStatus::Cancelled)?,
            (ToGuest::Cancel, Task::Draining(..) | Task::Export(_)) => bail!("the export was cancelled"),
            (ToGuest::Trust(given), Task::Idle) => trust::install(&given)?,
            (ToGuest::Secrets(given), Task::Idle) => secrets::write(&given)?,
            (ToGuest::Relay(ports), Task::Idle) => self.relay.listen(&ports)?,
            (ToGuest::ForwardData(data), _) => self.relay.take(data)?,
            (ToGuest::Clock { realtime_ns }, _) => clock::correct(realtime_ns)?,
            (ToGuest::Run(step), Task::Idle) => self.start(&step)?,
            // Input for a step that has just ended is dropped.
            (
                ToGuest::Input { .. } | ToGuest::Resize { .. },
                Task::Idle | Task::Draining(..) | Task::Export(_),
            ) => {}
            (ToGuest::Input { bytes }, Task::Step(running)) => running.input.take(&bytes)?,
            (ToGuest::Resize { rows, columns }, Task::Step(running)) => {
                running.input.resize(rows, columns)?
            }
            (ToGuest::Export { root, links }, Task::Idle) => {
                self.task = Task::Export(Box::new(Export::of(&root, links)?));
            }
            (ToGuest::Reads, Task::Idle) => {
                let reads = self.reads.answer();
                self.port.send(&FromGuest::Reads(reads))?;
            }
            (ToGuest::ReadFile { root, path }, Task::Idle) => self.read_file(&root, &path)?,
            (ToGuest::FindFiles { root, words }, Task::Idle) => {
                let paths = find_files::find(&root, &words);
                self.port.send(&FromGuest::FilesFound { paths })?;
            }
            (ToGuest::ExportUpper { target }, Task::Idle) => self.drain(target, ExportDetail::Content)?,
            (ToGuest::ListUpper { target }, Task::Idle) => self.drain(target, ExportDetail::Names)?,
            (
                ToGuest::Run(_)
                | ToGuest::Export { .. }
                | ToGuest::ExportUpper { .. }
                | ToGuest::ListUpper { .. }
                | ToGuest::ReadFile { .. }
                | ToGuest::FindFiles { .. }
                | ToGuest::Reads
                | ToGuest::Trust(_)
                | ToGuest::Secrets(_)
                | ToGuest::Relay(_),
                Task::Step(_) | Task::Draining(..) | Task::Export(_),
            ) => {
                bail!("a request came while another was being answered")
            }
            (ToGuest::Prepare(_) | ToGuest::Greet, _) => bail!("the guest was prepared already"),
        }
        Ok(Flow::Continue)
    }

    /// Answers at once: a file is small, and the queue of answers has room for it.
    fn read_file(&mut self, root: &str, path: &str) -> Result<()> {
        let content = match read_file::read(root, path) {
            Ok(content) => content,
            Err(error) => return self.port.send(&FromGuest::FileRefused { why: format!("{error:#}") }),
        };
        for piece in content.chunks(MAX_DATA) {
            self.port.send(&FromGuest::Data(piece.to_vec()))?;
        }
        // At most the limit of a file, which fits.
        self.port.send(&FromGuest::FileRead { bytes: content.len() as u32 })
    }

    /// Kills all remaining processes of steps, for an export that follows.
    fn drain(&mut self, target: String, detail: ExportDetail) -> Result<()> {
        processes::kill_all()?;
        self.task = Task::Draining(target, detail);
        // Without processes there is no SIGCHLD.
        self.reap()
    }

    fn start(&mut self, step: &Step) -> Result<()> {
        let memory = self.gauges.memory();
        let launched = file::write_all(&step.files).and_then(|()| {
            exec::launch(step, self.capabilities).inspect_err(|_| file::remove_all(&step.files))
        });
        let exec::Launched { pid, output, input } = match launched {
            Ok(launched) => launched,
            Err(error) => {
                let why = format!("{error:#}");
                return self.port.send(&FromGuest::Refused { step: step.index, why });
            }
        };
        self.output.add(step.index, output);
        let limit = step.timeout_ms.map(Duration::from_millis);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let (index, input, files) = (step.index, Input::new(input), step.files.clone());
        self.task = Task::Step(Running { index, pid, deadline, phase: Phase::Runs, input, memory, files });
        Ok(())
    }

    /// Kills all processes; a step whose first process still runs is answered with `status` when all have ended.
    pub(super) fn kill(&mut self, status: ExitStatus) -> Result<()> {
        processes::kill_all()?;
        if let Task::Step(Running { phase: phase @ Phase::Runs, .. }) = &mut self.task {
            *phase = Phase::Killed(status);
        }
        Ok(())
    }
}
