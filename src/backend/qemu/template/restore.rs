//! Restores a guest from a template: the dialogue with QEMU that starts it.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::fd::OwnedFd,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use kiln_protocol::{FromGuest, ToGuest};
use qapi::qmp::{Event, migrate_incoming};
use rustix::fs::{MemfdFlags, memfd_create, seek, sendfile};
use tokio::time::timeout;

use super::{make::ignore_shared, store::Template};
use crate::{
    agent::Session,
    backend::qemu::{device::Device, line::fd, qmp::Qmp},
};

/// How long a guest may take from QEMU's start to the agent's answer; a tenth of a second is usual.
const LOAD_LIMIT: Duration = Duration::from_secs(20);

/// The descriptor of the state.
///
/// # Errors
/// When it cannot be opened.
pub(in crate::backend::qemu) fn state(template: &Template) -> Result<OwnedFd> {
    let path = template.state();
    Ok(File::open(&path).with_context(|| format!("open {}", path.display()))?.into())
}

/// A copy of the template's memory for a guest whose memory daemons access, too. Holes stay holes. It has no name that could be left
/// behind.
///
/// # Errors
/// When the memory cannot be read, or the host has too little of its own.
pub(in crate::backend::qemu) fn copy_of_memory(template: &Template) -> Result<OwnedFd> {
    let path = template.memory();
    let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    copy(&file).with_context(|| format!("copy {}", path.display()))
}

fn copy(file: &File) -> io::Result<OwnedFd> {
    let mut copy = File::from(memfd_create("memory", MemfdFlags::CLOEXEC)?);
    let size = file.metadata()?.len();
    copy.set_len(size)?;
    let mut end = 0;
    while let Some(start) = found(seek(file, rustix::fs::SeekFrom::Data(end)))? {
        end = seek(file, rustix::fs::SeekFrom::Hole(start))?.min(size);
        copy.seek(SeekFrom::Start(start))?;
        let mut position = start;
        while position < end {
            let most = usize::try_from(end - position).unwrap_or(usize::MAX);
            if sendfile(&copy, file, Some(&mut position), most)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(copy.into())
}

/// The position of the next data; `None` behind the last.
fn found(position: rustix::io::Result<u64>) -> io::Result<Option<u64>> {
    match position {
        Ok(position) => Ok(Some(position)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Has QEMU load the state, waits until the agent answers, and plugs devices in. Until then nothing of the build was done, and the guest
/// may boot instead; a server of a share has heard nothing before the agent has answered.
///
/// # Errors
/// QEMU's, or when it or the agent does not answer.
pub(in crate::backend::qemu) async fn resume(
    qmp: &mut Qmp,
    agent: &mut Session,
    devices: &[Device<'_>],
) -> Result<()> {
    let dialogue = async {
        qmp.negotiate().await?;
        qmp.execute(ignore_shared()).await?;
        let uri = Some(format!("fd:{}", fd::STATE));
        qmp.execute(migrate_incoming { channels: None, exit_on_error: None, uri }).await?;
        loop {
            match qmp.event().await {
                Some(Event::RESUME { .. }) => break,
                Some(_) => {}
                None => bail!("QEMU has closed its monitor while it loaded a template"),
            }
        }
        agent.queue(&ToGuest::Greet)?;
        match agent.recv().await? {
            Some(FromGuest::Hello { .. }) => {}
            Some(other) => bail!("a restored guest greeted with {other:?}"),
            None => bail!("a restored guest has closed its channel"),
        }
        for device in devices {
            qmp.execute(device.command()).await?;
        }
        Ok(())
    };
    timeout(LOAD_LIMIT, dialogue)
        .await
        .with_context(|| format!("a guest was not restored within {} s", LOAD_LIMIT.as_secs()))?
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::fs::{FileExt, MetadataExt},
    };

    use kiln_protocol::{VERSION, frame};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::*;
    use crate::backend::qemu::{
        device::{Bus, CACHE_SLOT},
        qmp::tests::dialogue,
    };

    const CACHE: Device<'_> = Device::Virtiofs {
        chardev: "cache",
        tag: "kiln-cache",
        request_queues: None,
        bus: Bus::Slot(CACHE_SLOT),
    };
    const OK: &str = r#"{"return": {}}"#;
    /// As QEMU 7.2 says it, under TCG and with KVM.
    const LOADED: &str = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION", "data": {"status": "active"}}
{"return": {}}
{"timestamp": {"seconds": 1, "microseconds": 3}, "event": "MIGRATION", "data": {"status": "completed"}}
{"timestamp": {"seconds": 1, "microseconds": 4}, "event": "RESUME"}"#;

    /// An agent that answers the first request with a message, if it has one.
    fn agent(answer: Option<FromGuest>) -> Session {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        tokio::spawn(async move {
            let mut request = [0; 64];
            assert!(theirs.read(&mut request).await.expect("a request") > 0);
            if let Some(answer) = answer {
                let frame = frame::encode(&answer, frame::MAX_FRAME).expect("it fits");
                theirs.write_all(&frame).await.expect("answered");
                // It stays open until it is no longer used.
                assert_eq!(theirs.read(&mut request).await.expect("closed"), 0);
            }
        });
        let (reader, writer) = tokio::io::split(ours);
        Session::new(Box::pin(reader), Box::pin(writer))
    }

    /// The names of the commands that a monitor got, and the error of the restore.
    async fn resumed(answers: &[&str], answer: Option<FromGuest>) -> (Vec<String>, Option<String>) {
        let (mut qmp, commands) = dialogue(answers).await;
        let result = resume(&mut qmp, &mut agent(answer), &[CACHE]).await;
        drop(qmp);
        let commands = commands.await.expect("no panic").into_iter();
        let name = |line: String| line.split('"').nth(3).unwrap_or_default().to_owned();
        (
            commands.map(name).filter(|name| !name.is_empty()).collect(),
            result.err().map(|error| format!("{error:#}")),
        )
    }

    fn hello() -> Option<FromGuest> {
        Some(FromGuest::Hello { version: VERSION, uptime_us: 1, free_transports: 6, pci_slots: 2 })
    }

    #[tokio::test]
    async fn devices_are_plugged_in_when_the_agent_has_answered() {
        let all = ["qmp_capabilities", "migrate-set-capabilities", "migrate-incoming", "device_add"];
        assert_eq!(resumed(&[OK, OK, LOADED, OK], hello()).await, (all.map(String::from).into(), None));
    }

    #[tokio::test]
    async fn a_guest_that_does_not_run_has_told_servers_nothing() {
        let refused = r#"{"error": {"class": "GenericError", "desc": "not a state"}}"#;
        let other = Some(FromGuest::FileRead { bytes: 1 });
        for (answers, answer, why) in [
            (&[OK, OK, refused][..], hello(), "not a state"),
            (&[OK, OK, OK], hello(), "while it loaded a template"),
            (&[OK, OK, LOADED], other, "greeted with FileRead"),
            (&[OK, OK, LOADED], None, "has closed its channel"),
        ] {
            let (commands, error) = resumed(answers, answer).await;
            assert_eq!(commands.len(), 3, "{commands:?}");
            assert!(error.as_ref().is_some_and(|error| error.contains(why)), "{why}: {error:?}");
        }
    }

    #[test]
    fn a_copy_of_the_memory_has_its_content_and_its_holes() {
        let mut file = tempfile::tempfile().expect("made");
        file.set_len(64 << 20).expect("sized");
        file.write_all(b"start").expect("written");
        file.write_all_at(&[7; 10_000], 20 << 20).expect("written");
        file.write_all_at(b"end", (64 << 20) - 3).expect("written");
        let mut copied = File::from(copy(&file).expect("copied"));
        assert!(copied.metadata().expect("there").blocks() * 512 < 4 << 20);
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        file.rewind().expect("at the start");
        copied.rewind().expect("at the start");
        file.read_to_end(&mut expected).expect("read");
        copied.read_to_end(&mut found).expect("read");
        assert!(expected == found);
        let empty = tempfile::tempfile().expect("made");
        empty.set_len(4096).expect("sized");
        assert_eq!(File::from(copy(&empty).expect("copied")).metadata().expect("there").len(), 4096);
    }
}
