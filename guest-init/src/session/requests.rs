//! Answers the host's requests in a prepared world, or begins what answers them.
//!
//! Called by [`super::event_loop`], which also ends what was begun here.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kiln_protocol::{ExitStatus, FromGuest, Step, ToGuest};

use super::{Flow, Session};
use crate::{
    exec,
    export::Export,
    file,
    input::Input,
    processes, secrets,
    task::{Phase, Running, Sent, Work},
    trust,
};

impl Session<'_> {
    pub(super) fn answer(&mut self, request: ToGuest) -> Result<Flow> {
        match (request, &mut self.work) {
            (ToGuest::Shutdown, _) => return Ok(Flow::Ends),
            (ToGuest::Cancel, Work::None | Work::Step(_)) => self.kill(ExitStatus::Cancelled)?,
            (ToGuest::Cancel, Work::Draining(..) | Work::Export(_)) => bail!("the export was cancelled"),
            (ToGuest::Trust(given), Work::None) => trust::install(&given)?,
            (ToGuest::Secrets(given), Work::None) => secrets::write(&given)?,
            (ToGuest::Relay(ports), Work::None) => self.relay.listen(&ports)?,
            (ToGuest::ForwardData(passage), _) => self.relay.take(passage)?,
            (ToGuest::Run(step), Work::None) => self.start(&step)?,
            // What comes for a step that has just ended is nobody's.
            (
                ToGuest::Input { .. } | ToGuest::Resize { .. },
                Work::None | Work::Draining(..) | Work::Export(_),
            ) => {}
            (ToGuest::Input { bytes }, Work::Step(running)) => running.input.take(&bytes)?,
            (ToGuest::Resize { rows, columns }, Work::Step(running)) => {
                running.input.resize(rows, columns)?
            }
            (ToGuest::Export { root, links }, Work::None) => {
                self.work = Work::Export(Box::new(Export::of(&root, links)?));
            }
            (ToGuest::Reads, Work::None) => {
                let reads = self.reads.answer();
                self.port.send(&FromGuest::Reads(reads))?;
            }
            (ToGuest::ExportUpper { target }, Work::None) => self.quiet(target, Sent::Everything)?,
            (ToGuest::ListUpper { target }, Work::None) => self.quiet(target, Sent::Names)?,
            (
                ToGuest::Run(_)
                | ToGuest::Export { .. }
                | ToGuest::ExportUpper { .. }
                | ToGuest::ListUpper { .. }
                | ToGuest::Reads
                | ToGuest::Trust(_)
                | ToGuest::Secrets(_)
                | ToGuest::Relay(_),
                Work::Step(_) | Work::Draining(..) | Work::Export(_),
            ) => {
                bail!("a request came while another was being answered")
            }
            (ToGuest::Prepare(_), _) => bail!("the world was prepared already"),
        }
        Ok(Flow::GoesOn)
    }

    /// Ends what steps have left running, for what is sent then.
    fn quiet(&mut self, target: String, sent: Sent) -> Result<()> {
        processes::kill_all()?;
        self.work = Work::Draining(target, sent);
        // When nothing was left, no signal will tell.
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
        self.taps.add(step.index, output);
        let limit = step.timeout_ms.map(Duration::from_millis);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let (index, input, files) = (step.index, Input::new(input), step.files.clone());
        self.work = Work::Step(Running { index, pid, deadline, phase: Phase::Runs, input, memory, files });
        Ok(())
    }

    /// Kills everything; a step whose first process still runs is answered with `status` when all is gone.
    pub(super) fn kill(&mut self, status: ExitStatus) -> Result<()> {
        processes::kill_all()?;
        if let Work::Step(Running { phase: phase @ Phase::Runs, .. }) = &mut self.work {
            *phase = Phase::Killed(status);
        }
        Ok(())
    }
}
