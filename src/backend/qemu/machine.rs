//! A running microVM: QEMU and the servers of its shares, which end together.

use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};

use anyhow::Result;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::{monitor::Monitor, servers::Share};
use crate::{
    backend::{BoxFuture, Ended, Machine},
    process::{Child, ExitStatus, Tail},
    share::{DaemonExit, Server},
};

/// The limit for QEMU's exit after an orderly exit of a server, which exits because QEMU has closed the connection.
const QEMU_AFTER_SERVER: Duration = Duration::from_secs(2);

/// QEMU and the servers. Fields are dropped in this order: QEMU before the servers that it uses.
pub(super) struct Microvm {
    qemu: Child,
    servers: Vec<(Share, Server)>,
    stderr: Tail,
    console: Tail,
    monitor: Monitor,
}

impl Microvm {
    pub(super) fn new(
        qemu: Child,
        stderr: Tail,
        console: Tail,
        monitor: Monitor,
        servers: Vec<(Share, Server)>,
    ) -> Self {
        Self { qemu, servers, stderr, console, monitor }
    }

    async fn first_end(&mut self) -> Ended {
        let Self { qemu, servers, stderr, console: _, monitor } = self;
        let (name, died) = tokio::select! {
            biased;
            status = qemu.wait() => return qemu_ended(status, stderr).await,
            stopped = monitor.stopped() => return stopped,
            died = first_exit(servers) => died,
        };
        let died = match died {
            Ok(died) => died,
            Err(error) => return server_ended(name, format!("cannot be waited for: {error:#}"), Vec::new()),
        };
        if died.status.success()
            && let Ok(status) = timeout(QEMU_AFTER_SERVER, qemu.wait()).await
        {
            return qemu_ended(status, stderr).await;
        }
        server_ended(name, format!("ended ({})", died.status), died.last_lines)
    }
}

/// The first server that exits, by its name in messages; waits for ever without servers.
async fn first_exit(servers: &mut [(Share, Server)]) -> (String, Result<DaemonExit>) {
    let exit = async |(share, server): &mut (Share, Server)| {
        let name = match share {
            Share::Source => format!("{} of the source", server.name()),
            Share::Cache => server.name().to_owned(),
        };
        (name, server.died().await)
    };
    let mut exits: Vec<_> = servers.iter_mut().map(|server| Box::pin(exit(server))).collect();
    poll_fn(|context| {
        let first = exits.iter_mut().find_map(|exit| match exit.as_mut().poll(context) {
            Poll::Ready(first) => Some(first),
            Poll::Pending => None,
        });
        first.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn server_ended(name: String, how: String, last_words: Vec<String>) -> Ended {
    Ended { part: name, how, orderly: false, last_words, way_out: None }
}

/// QEMU starts no processes, so its stderr ends with it.
async fn qemu_ended(status: Result<ExitStatus>, stderr: &mut Tail) -> Ended {
    let (how, orderly, way_out) = match status {
        Ok(status) => (format!("ended ({status})"), status.success(), way_out(status)),
        Err(error) => (format!("cannot be waited for: {error:#}"), false, None),
    };
    // If the reader panicked, the lines that it had read are used.
    let last_words = stderr.last_lines().await.unwrap_or_else(|_| stderr.lines());
    Ended { part: "QEMU".into(), how, orderly, last_words, way_out }
}

/// The way out if a signal killed QEMU that the kernel sends for want of memory.
fn way_out(status: ExitStatus) -> Option<String> {
    let killed =
        [Signal::SIGKILL, Signal::SIGBUS].iter().any(|&signal| status == ExitStatus::Signal(signal as i32));
    killed.then(|| {
        "the host may have run out of memory (see its kernel's log): a smaller --memory needs less".into()
    })
}

impl Machine for Microvm {
    fn ended(&mut self) -> BoxFuture<'_, Ended> {
        Box::pin(self.first_end())
    }

    fn kill(&mut self) {
        self.qemu.kill();
        self.servers.iter_mut().for_each(|(_, server)| server.kill());
    }

    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.qemu.gone().await;
            for (_, server) in &mut self.servers {
                server.gone().await;
            }
        })
    }

    fn last_words(&self) -> Vec<String> {
        self.console.lines()
    }
}
