//! The live display of work, which is drawn at intervals and erased at the end.

use std::{cell::RefCell, rc::Rc, time::Duration};

use anyhow::Result;

use crate::{
    event::{Event, Sink},
    report::{OutputStreams, Progress, Reporter},
};

/// How often the live display is drawn.
const TICK: Duration = Duration::from_millis(100);

/// A reporter that draws while other code emits.
#[derive(Clone)]
pub(super) struct LiveReporter(Rc<RefCell<Reporter>>);

impl LiveReporter {
    /// Shows nothing yet.
    pub(super) fn new(progress: Progress) -> Self {
        Self(Rc::new(RefCell::new(Reporter::new(progress, OutputStreams::of_process()))))
    }

    /// Draws until `work` is done.
    pub(super) async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let ticking = async {
            let mut interval = tokio::time::interval(TICK);
            loop {
                interval.tick().await;
                self.0.borrow_mut().tick();
            }
        };
        tokio::select! {
            result = work => result,
            never = ticking => never,
        }
    }

    /// The time since the start, as events have it.
    pub(super) fn now(&self) -> Duration {
        self.0.borrow().now()
    }

    /// Shows an event that happened at this time.
    pub(super) fn emit_at(&mut self, event: Event, at: Duration) {
        self.0.borrow_mut().emit_at(event, at);
    }

    /// Erases the display: the output that follows does not come by events.
    pub(super) fn end(&self) {
        self.0.borrow_mut().end();
    }
}

impl Sink for LiveReporter {
    fn emit(&mut self, event: Event) {
        self.0.borrow_mut().emit(event);
    }
}
