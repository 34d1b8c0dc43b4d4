//! Which job may start: one whose needs have succeeded. A failed job stops only the jobs that need it.

use std::collections::BTreeSet;

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for its needs, or for its turn.
    Waiting,
    /// It runs.
    Running,
    /// It has succeeded.
    Succeeded,
    /// It has failed.
    Failed,
    /// It does not run, because this job, which it needs, has failed.
    Skipped {
        /// The failed job.
        because: usize,
    },
}

/// The states of all jobs.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    needs: Vec<BTreeSet<usize>>,
    states: Vec<State>,
    /// Jobs that have not been started, by their turn.
    waiting: Vec<usize>,
}

impl Schedule {
    /// For jobs with these needs, in this order. The order has each job once, after its needs.
    pub(crate) fn new(needs: Vec<BTreeSet<usize>>, order: Vec<usize>) -> Self {
        let states = vec![State::Waiting; needs.len()];
        Self { needs, states, waiting: order }
    }

    /// For jobs that need no other.
    pub(crate) fn independent(count: usize) -> Self {
        Self::new(vec![BTreeSet::new(); count], (0..count).collect())
    }

    /// Starts the next job; `None` if none may start now.
    pub(crate) fn start(&mut self) -> Option<usize> {
        let succeeded = |need: &usize| self.states[*need] == State::Succeeded;
        let at = self.waiting.iter().position(|job| self.needs[*job].iter().all(succeeded))?;
        let job = self.waiting.remove(at);
        self.states[job] = State::Running;
        Some(job)
    }

    /// A job has ended, or need not run, since an earlier run has finished it.
    pub(crate) fn end(&mut self, job: usize, success: bool) {
        self.waiting.retain(|waiting| *waiting != job);
        self.states[job] = if success { State::Succeeded } else { State::Failed };
        if success {
            return;
        }
        // In the order of the queue each job comes after its needs, so one pass finds all that need the failed one.
        for index in std::mem::take(&mut self.waiting) {
            let cause = self.needs[index].iter().find_map(|need| match self.states[*need] {
                State::Failed => Some(*need),
                State::Skipped { because } => Some(because),
                State::Waiting | State::Running | State::Succeeded => None,
            });
            match cause {
                Some(because) => self.states[index] = State::Skipped { because },
                None => self.waiting.push(index),
            }
        }
    }

    /// The state of a job.
    pub(crate) fn state(&self, job: usize) -> State {
        self.states[job]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(lists: &[&[usize]]) -> Vec<BTreeSet<usize>> {
        lists.iter().map(|list| list.iter().copied().collect()).collect()
    }

    #[test]
    fn a_job_starts_when_its_needs_have_succeeded() {
        let mut schedule = Schedule::new(needs(&[&[], &[0], &[], &[1, 2]]), vec![0, 1, 2, 3]);
        assert_eq!((schedule.start(), schedule.start(), schedule.start()), (Some(0), Some(2), None));
        schedule.end(0, true);
        assert_eq!((schedule.start(), schedule.start()), (Some(1), None));
        schedule.end(2, true);
        assert_eq!(schedule.start(), None);
        schedule.end(1, true);
        assert_eq!((schedule.start(), schedule.start()), (Some(3), None));
    }

    #[test]
    fn a_failure_stops_only_what_needs_it() {
        let mut schedule = Schedule::new(needs(&[&[], &[0], &[1], &[], &[3]]), vec![0, 1, 2, 3, 4]);
        assert_eq!(schedule.start(), Some(0));
        schedule.end(0, false);
        assert_eq!(
            (schedule.state(1), schedule.state(2)),
            (State::Skipped { because: 0 }, State::Skipped { because: 0 })
        );
        assert_eq!(schedule.start(), Some(3));
        schedule.end(3, true);
        assert_eq!((schedule.start(), schedule.start()), (Some(4), None));
    }

    #[test]
    fn a_job_that_an_earlier_run_has_finished_is_not_started() {
        let mut schedule = Schedule::new(needs(&[&[], &[0]]), vec![0, 1]);
        schedule.end(0, true);
        assert_eq!((schedule.start(), schedule.start()), (Some(1), None));
    }
}
