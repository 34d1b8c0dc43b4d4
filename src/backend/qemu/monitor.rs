//! QEMU's monitor (QMP), from which kiln reads one event: the guest was stopped because a write of its disk failed on the host.
//!
//! QEMU stops such a guest (`werror=stop`) until an administrator continues it.

use std::path::PathBuf;

use qapi::qmp::{BLOCK_IO_ERROR, BlockErrorAction, Event};
use tokio::sync::oneshot;

use super::qmp::Qmp;
use crate::backend::Ended;

/// The connection to a monitor.
pub(super) struct Monitor {
    stopped: Option<oneshot::Receiver<BLOCK_IO_ERROR>>,
    scratch_dir: PathBuf,
}

impl Monitor {
    /// Reads events in the background. `scratch_dir` is the directory of the scratch disk.
    pub(super) fn follow(qmp: Qmp, scratch_dir: PathBuf) -> Self {
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            if let Some(error) = listen(qmp).await {
                // Best effort: there is no receiver if the machine has been dropped.
                let _ = sender.send(error);
            }
        });
        Self { stopped: Some(receiver), scratch_dir }
    }

    /// Resolves when the guest was stopped. May be dropped and called again.
    pub(super) async fn stopped(&mut self) -> Ended {
        let Some(receiver) = &mut self.stopped else { return std::future::pending().await };
        let Ok(error) = receiver.await else {
            // The monitor was closed: the exit of QEMU is reported instead.
            self.stopped = None;
            return std::future::pending().await;
        };
        let place = self.scratch_dir.display();
        let (how, way_out) = match error.nospace.unwrap_or(false) {
            true => (
                format!("cannot be written: there is no space left on the host in {place}"),
                "make room there, or name a directory of a larger file system with QEMU_DISKS_PATH",
            ),
            false => (
                format!("cannot be written: {} on the host in {place}", error.reason),
                "correct the file system or quota, or name another directory with QEMU_DISKS_PATH",
            ),
        };
        Ended {
            part: "the guest's scratch disk".into(),
            how,
            orderly: false,
            last_words: Vec::new(),
            way_out: Some(way_out.into()),
        }
    }
}

/// Waits for an error that stops the guest; `None` if the monitor closes, or sends a message that is too long.
async fn listen(mut qmp: Qmp) -> Option<BLOCK_IO_ERROR> {
    qmp.negotiate().await.ok()?;
    loop {
        match qmp.event().await? {
            Event::BLOCK_IO_ERROR { data, .. } if data.action == BlockErrorAction::stop => return Some(data),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::UnixStream};

    use super::*;

    /// The messages of QEMU 7.2 with a full disk, from its greeting on.
    const FULL: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}
{"return": {}}
{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "BLOCK_IO_ERROR", "data": {"device": "", "nospace": false, "node-name": "root", "reason": "Input/output error", "operation": "read", "action": "report"}}
{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "BLOCK_IO_ERROR", "data": {"device": "", "nospace": true, "node-name": "scratch", "reason": "No space left on device", "operation": "write", "action": "stop"}}
{"timestamp": {"seconds": 1, "microseconds": 3}, "event": "STOP"}
"#;

    async fn stop_event(messages: &str) -> Option<BLOCK_IO_ERROR> {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let error = tokio::spawn(listen(Qmp::new(ours)));
        // The reader may close the connection before it has all of it.
        let _ = theirs.write_all(messages.as_bytes()).await;
        theirs.shutdown().await.expect("no more is sent");
        error.await.expect("no panic")
    }

    #[tokio::test]
    async fn a_full_disk_stops_the_guest() {
        let error = stop_event(FULL).await.expect("the guest was stopped");
        assert_eq!((error.nospace, error.reason.as_str()), (Some(true), "No space left on device"));
        let ended = |error| async {
            let (sender, receiver) = oneshot::channel();
            sender.send(error).expect("it is received");
            Monitor { stopped: Some(receiver), scratch_dir: "/small".into() }.stopped().await
        };
        let Ended { how, way_out, .. } = ended(error).await;
        assert!(how.contains("no space left on the host in /small"), "{how}");
        assert!(way_out.is_some_and(|way_out| way_out.contains("QEMU_DISKS_PATH")));
        let one_more = stop_event(FULL).await.expect("the guest was stopped");
        let quota = BLOCK_IO_ERROR { nospace: Some(false), reason: "Disk quota exceeded".into(), ..one_more };
        assert!(ended(quota).await.how.contains("Disk quota exceeded on the host in /small"));
    }

    #[tokio::test]
    async fn other_messages_do_not_stop_the_guest() {
        let endless = "x".repeat(1 << 17);
        for messages in
            ["", "{}\n", "null\n[]\n", FULL.split_inclusive('\n').next().expect("a line"), &endless]
        {
            assert!(stop_event(messages).await.is_none());
        }
    }
}
