//! The output of a job: events are passed on at once; that of one of several jobs is shown when it ends, so that no lines are mixed.

use std::{collections::VecDeque, future::pending, io::ErrorKind, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::unix::pipe::Receiver,
    process::ChildStdout,
    time::timeout,
};

use crate::report;

/// The most bytes of a job's output that are kept: its end.
const KEPT: usize = 4 << 20;
/// How long output is waited for when a job has ended: a process that it has left behind may hold the pipe.
const LINGER: Duration = Duration::from_secs(1);

/// Where the output of a job comes from.
pub(super) enum Output {
    /// It goes to the terminal or file that kiln's own output goes to.
    Direct,
    /// Events, one a line.
    Events(Box<Lines<BufReader<ChildStdout>>>),
    /// Text, of which the end is kept.
    Collected(Receiver, Tail),
}

impl Output {
    /// Events from a job.
    pub(super) fn events(stdout: ChildStdout) -> Self {
        Self::Events(Box::new(BufReader::new(stdout).lines()))
    }

    /// Does some work, and takes the output meanwhile: the job must not wait for a pipe that is full.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = Result<T>>, job: &str) -> Result<T> {
        let done = {
            let reading = async {
                match self.read(job).await {
                    Ok(()) => pending().await,
                    Err(error) => error,
                }
            };
            tokio::select! {
                done = work => done?,
                error = reading => return Err(error),
            }
        };
        timeout(LINGER, self.read(job)).await.unwrap_or(Ok(()))?;
        Ok(done)
    }

    /// Takes output to its end.
    async fn read(&mut self, job: &str) -> Result<()> {
        match self {
            Self::Direct => Ok(()),
            Self::Events(lines) => {
                while let Some(line) = lines.next_line().await.context("read the events of a job")? {
                    report::print(&(with_job(line, job) + "\n"))?;
                }
                Ok(())
            }
            Self::Collected(pipe, tail) => {
                let mut buffer = vec![0; 64 << 10];
                loop {
                    pipe.readable().await.context("read the output of a job")?;
                    match pipe.try_read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(count) => tail.add(buffer.get(..count).unwrap_or_default()),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error).context("read the output of a job"),
                    }
                }
            }
        }
    }

    /// Shows what was kept.
    pub(super) fn show(self) {
        let Self::Collected(_, Tail { mut bytes, left_out }) = self else { return };
        if left_out > 0 {
            report::to_stderr(&format!("… {left_out} bytes of output are not shown"));
        }
        report::to_stderr(String::from_utf8_lossy(bytes.make_contiguous()).trim_end_matches('\n'));
    }
}

/// An event with the name of its job. A line that is no event would be a defect of kiln; it stays as it is.
fn with_job(line: String, job: &str) -> String {
    match serde_json::from_str(&line) {
        Ok(Value::Object(mut event)) => {
            event.insert("job".into(), job.into());
            Value::Object(event).to_string()
        }
        Ok(_) | Err(_) => line,
    }
}

/// The end of a text.
#[derive(Default)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    left_out: u64,
}

impl Tail {
    fn add(&mut self, part: &[u8]) {
        self.bytes.extend(part);
        let over = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..over);
        self.left_out += over as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::*;

    #[test]
    fn the_end_is_kept_and_what_is_left_out_is_counted() {
        let mut tail = Tail::default();
        for at in 0..6_u8 {
            tail.add(&vec![at; 1 << 20]);
        }
        assert_eq!((tail.bytes.len(), tail.left_out), (KEPT, 2 << 20));
        assert_eq!((tail.bytes.front(), tail.bytes.back()), (Some(&2), Some(&5)));
    }

    #[tokio::test]
    async fn output_is_taken_while_a_job_works_and_one_left_behind_holds_nothing_up() {
        let (reader, mut writer) = pipe().expect("made");
        let receiver = Receiver::from_owned_fd(reader.into()).expect("a pipe");
        let mut output = Output::Collected(receiver, Tail::default());
        // The other end stays open.
        let held = writer.try_clone().expect("copied");
        let work = tokio::task::spawn_blocking(move || writer.write_all(&vec![7; 1 << 20]));
        let work = async { work.await.expect("no panic").context("written") };
        output.during(work, "job").await.expect("read");
        drop(held);
        let Output::Collected(_, tail) = output else { panic!("it is collected") };
        assert_eq!(tail.bytes.len(), 1 << 20);
    }

    #[test]
    fn an_event_gets_the_name_of_its_job() {
        assert_eq!(with_job("{\"event\":\"boot\"}".into(), "a"), "{\"event\":\"boot\",\"job\":\"a\"}");
        assert_eq!(with_job("no event".into(), "a"), "no event");
    }
}
