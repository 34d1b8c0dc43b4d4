//! A backend without a machine, for tests of the engine: a scripted agent at the other end of a pipe in memory.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use kiln_protocol::{Counted, Exhausted, ExitStatus, FromGuest, Reads, Stream, ToGuest, VERSION, frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
};

use super::{BoxFuture, Ended, Launched, Machine, Runner};
use crate::plan::Plan;

/// The behaviour of the agent at a step.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Writes these pieces, then ends with this status.
    Ends(Vec<(Stream, Vec<u8>)>, ExitStatus),
    /// The same, with exhausted resources.
    Exhausts(Vec<(Stream, Vec<u8>)>, ExitStatus, Exhausted),
    /// Writes this text, a byte at a time, and succeeds.
    Types(String, Duration),
    /// Refuses the step.
    Refuses(String),
    /// Runs until it is cancelled.
    Hangs,
    /// Ends the machine.
    Dies,
    /// Sends bytes that are not a frame.
    Babbles(Vec<u8>),
}

/// The kinds of requests to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// [`ToGuest::Prepare`].
    Prepare,
    /// [`ToGuest::Run`]: the agent does not read it.
    Run,
    /// [`ToGuest::Cancel`].
    Cancel,
    /// [`ToGuest::Export`].
    Export,
    /// [`ToGuest::Export`]: the agent sends empty pieces.
    ExportWithNothing,
    /// [`ToGuest::ExportUpper`].
    ExportUpper,
    /// [`ToGuest::Reads`].
    Reads,
    /// [`ToGuest::Shutdown`].
    Shutdown,
}

/// The script of a fake agent.
#[derive(Debug, Clone, Default)]
pub struct Fake {
    /// By step. A step that is not here succeeds without output.
    pub steps: HashMap<u32, Behaviour>,
    /// The tar stream of the export.
    pub archive: Vec<u8>,
    /// The tar stream of the export of an upper directory.
    pub upper: Vec<u8>,
    /// The files that can be read, by their paths in the workspace.
    pub files: HashMap<String, Vec<u8>>,
    /// The reads of steps.
    pub reads: Counted,
    /// The request that it never answers.
    pub ignores: Option<RequestKind>,
    /// Whether the machine was killed, for the test.
    pub killed: Arc<AtomicBool>,
}

impl Runner for Fake {
    fn launch<'a>(&'a mut self, _: &'a Plan) -> BoxFuture<'a, Result<Launched>> {
        let (host, agent) = tokio::io::duplex(frame::MAX_FRAME);
        let (alive, ended) = watch::channel(None);
        let killed = Arc::clone(&self.killed);
        tokio::spawn(Agent { script: self.clone(), channel: agent, alive }.run());
        let (reader, writer) = tokio::io::split(host);
        let machine = Box::new(FakeMachine { ended, killed });
        Box::pin(async move { Ok(Launched { reader: Box::pin(reader), writer: Box::pin(writer), machine }) })
    }
}

struct FakeMachine {
    ended: watch::Receiver<Option<bool>>,
    killed: Arc<AtomicBool>,
}

impl Machine for FakeMachine {
    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn ended(&mut self) -> BoxFuture<'_, Ended> {
        Box::pin(async {
            let orderly =
                self.ended.wait_for(Option::is_some).await.ok().and_then(|value| *value) == Some(true);
            let how = if orderly { "exited with 0" } else { "was ended by signal 9" };
            Ended { part: "the fake".into(), how: how.into(), orderly, last_words: Vec::new(), way_out: None }
        })
    }

    fn kill(&mut self) {
        self.killed.store(true, Ordering::Relaxed);
    }

    fn last_words(&self) -> Vec<String> {
        vec!["the fake console's last line".into()]
    }
}

struct Agent {
    script: Fake,
    channel: DuplexStream,
    alive: watch::Sender<Option<bool>>,
}

impl Agent {
    async fn run(mut self) {
        // The other end may close at any time.
        let orderly = self.serve().await.unwrap_or(false);
        self.alive.send_replace(Some(orderly));
    }

    async fn serve(&mut self) -> Result<bool> {
        self.send(&FromGuest::Hello { version: VERSION, uptime_us: 1, free_transports: 0, pci_slots: 0 })
            .await?;
        loop {
            let request = self.receive().await?;
            match (self.script.ignores, &request) {
                (Some(RequestKind::Prepare), ToGuest::Prepare(_))
                | (Some(RequestKind::Export), ToGuest::Export { .. })
                | (Some(RequestKind::ExportUpper), ToGuest::ExportUpper { .. })
                | (Some(RequestKind::Reads), ToGuest::Reads)
                | (Some(RequestKind::Shutdown), ToGuest::Shutdown) => continue,
                (Some(RequestKind::ExportWithNothing), ToGuest::Export { .. }) => loop {
                    self.send(&FromGuest::Data(Vec::new())).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                },
                _ => {}
            }
            match request {
                ToGuest::Prepare(_) => {
                    self.send(&FromGuest::Ready { phases: vec![("mounts".into(), 1)] }).await?;
                    if self.script.ignores == Some(RequestKind::Run) {
                        return std::future::pending().await;
                    }
                }
                ToGuest::Run(step) => {
                    if !self.step(step.index).await? {
                        return Ok(false);
                    }
                }
                ToGuest::Cancel
                | ToGuest::Clock { .. }
                | ToGuest::Greet
                | ToGuest::Trust(_)
                | ToGuest::Secrets(_)
                | ToGuest::Relay(_)
                | ToGuest::ForwardData(_)
                | ToGuest::Input { .. }
                | ToGuest::Resize { .. } => {}
                ToGuest::Export { .. } => self.export(self.script.archive.clone()).await?,
                ToGuest::ExportUpper { .. } | ToGuest::ListUpper { .. } => {
                    self.export(self.script.upper.clone()).await?
                }
                ToGuest::ReadFile { path, .. } => self.read_file(&path).await?,
                ToGuest::FindFiles { words, .. } => {
                    let has_word =
                        |path: &&String| words.iter().any(|word| path.to_lowercase().contains(word));
                    let mut paths: Vec<String> = self.script.files.keys().filter(has_word).cloned().collect();
                    paths.sort();
                    self.send(&FromGuest::FilesFound { paths }).await?;
                }
                ToGuest::Reads => {
                    self.send(&FromGuest::Reads(Reads::Counted(self.script.reads.clone()))).await?
                }
                ToGuest::Shutdown => return Ok(true),
            }
        }
    }

    async fn read_file(&mut self, path: &str) -> Result<()> {
        let Some(content) = self.script.files.get(path).cloned() else {
            return self.send(&FromGuest::FileRefused { why: format!("open {path}: ENOENT") }).await;
        };
        let bytes = u32::try_from(content.len())?;
        for piece in content.chunks(frame::MAX_DATA) {
            self.send(&FromGuest::Data(piece.to_vec())).await?;
        }
        self.send(&FromGuest::FileRead { bytes }).await
    }

    /// Plays one step; false if the machine ends.
    async fn step(&mut self, step: u32) -> Result<bool> {
        let behaviour =
            self.script.steps.remove(&step).unwrap_or(Behaviour::Ends(Vec::new(), ExitStatus::Code(0)));
        let mut used = Exhausted::default();
        let status = match behaviour {
            Behaviour::Dies => return Ok(false),
            Behaviour::Refuses(why) => {
                self.send(&FromGuest::Refused { step, why }).await?;
                return Ok(true);
            }
            Behaviour::Babbles(bytes) => {
                self.channel.write_all(&bytes).await?;
                return Ok(true);
            }
            Behaviour::Hangs => {
                while self.receive().await? != ToGuest::Cancel
                    || self.script.ignores == Some(RequestKind::Cancel)
                {}
                ExitStatus::Cancelled
            }
            Behaviour::Types(text, pause) => {
                for letter in text.bytes() {
                    self.send(&FromGuest::Output { step, stream: Stream::Stdout, bytes: vec![letter] })
                        .await?;
                    tokio::time::sleep(pause).await;
                }
                ExitStatus::Code(0)
            }
            Behaviour::Ends(output, status) => {
                self.write(step, output).await?;
                status
            }
            Behaviour::Exhausts(output, status, exhausted) => {
                self.write(step, output).await?;
                used = exhausted;
                status
            }
        };
        self.send(&FromGuest::Ended { step, status, exhausted: used }).await?;
        Ok(true)
    }

    async fn write(&mut self, step: u32, output: Vec<(Stream, Vec<u8>)>) -> Result<()> {
        for (stream, bytes) in output {
            self.send(&FromGuest::Output { step, stream, bytes }).await?;
        }
        Ok(())
    }

    async fn export(&mut self, archive: Vec<u8>) -> Result<()> {
        for piece in archive.chunks(frame::MAX_DATA) {
            self.send(&FromGuest::Data(piece.to_vec())).await?;
        }
        self.send(&FromGuest::Exported { entries: 0, bytes: archive.len() as u64 }).await
    }

    async fn send(&mut self, message: &FromGuest) -> Result<()> {
        Ok(self.channel.write_all(&frame::encode(message, frame::MAX_FRAME)?).await?)
    }

    async fn receive(&mut self) -> Result<ToGuest> {
        let mut header = [0; frame::HEADER];
        self.channel.read_exact(&mut header).await?;
        let mut bytes = vec![0; frame::length(header, frame::MAX_REQUEST)?];
        self.channel.read_exact(&mut bytes).await?;
        Ok(frame::decode(&bytes)?)
    }
}
