//! The time of a command by phases. A command is always in exactly one phase, so the phases add up to its whole time.

use std::time::{Duration, Instant};

use super::Phase;

/// A running clock, by the host's monotonic clock.
#[derive(Debug)]
pub struct Phases {
    begun: Instant,
    ended: Vec<Phase>,
    name: &'static str,
    since: Instant,
}

impl Phases {
    /// Begins the first phase now.
    pub fn begin(name: &'static str) -> Self {
        let now = Instant::now();
        Self { begun: now, ended: Vec::new(), name, since: now }
    }

    /// Ends the current phase and begins another; a phase with a name that was used before continues.
    pub fn enter(&mut self, name: &'static str) {
        self.end(Instant::now());
        self.name = name;
    }

    /// Ends the last phase. Gives the whole time, and the phases in the order in which they began.
    pub fn finish(mut self) -> (Duration, Vec<Phase>) {
        let now = Instant::now();
        self.end(now);
        (now - self.begun, self.ended)
    }

    fn end(&mut self, now: Instant) {
        let duration = now - self.since;
        self.since = now;
        match self.ended.iter_mut().find(|phase| phase.name == self.name) {
            Some(phase) => phase.duration += duration,
            None => self.ended.push(Phase { name: self.name.into(), duration }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_add_up_to_the_whole_and_one_that_comes_again_goes_on() {
        let mut phases = Phases::begin("plan");
        for name in ["wait", "plan", "steps", "shell", "steps"] {
            std::thread::sleep(Duration::from_millis(1));
            phases.enter(name);
        }
        let (whole, phases) = phases.finish();
        let names: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
        assert_eq!(names, ["plan", "wait", "steps", "shell"]);
        assert_eq!(phases.iter().map(|phase| phase.duration).sum::<Duration>(), whole);
        assert!(phases[0].duration >= Duration::from_millis(2), "{phases:?}");
    }
}
