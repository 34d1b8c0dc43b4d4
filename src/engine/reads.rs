//! What the build has read of the cache: counted by kiln for a container, else by the agent, whose count is checked.

use std::time::Duration;

use anyhow::Result;
use kiln_protocol::{
    BY_HASH, Completeness, Counted, CountedDirectory, FromGuest, MAX_COUNTED, MAX_UNCLEAR, Reads, ToGuest,
    UnclearFile,
};
use tokio::time::Instant;

use super::{
    agent_session::AgentSession,
    build::Build,
    failure,
    request::{Reply, Wait},
};
use crate::{
    cache::{ReadUsage, Reused, SOURCES, TOP, Unclear},
    event::Amount,
    exit::{Code, Failure},
};

/// How long the agent may take for the files that it has not read yet: 17,000 files, each opened over a share.
const PATIENCE: Duration = Duration::from_secs(120);

/// The largest number that is taken: JSON's readers tell it apart, and sums do not overflow.
const MOST: u64 = 1 << 53;

/// The longest name of a directory, in bytes: longer than any of a file system.
const NAME: usize = 1024;

const WHEN: &str = "while it was asked for the count of files that the build has read";

impl Build<'_, '_> {
    /// Begins to count, if there is a cache and the machine counts.
    pub(super) async fn listen(&self, session: &mut AgentSession) {
        if self.engine.plan.cache.is_some() {
            session.listen().await;
        }
    }

    /// Gets the count from the machine or the agent, if there is a cache.
    pub(super) async fn request_reads(&mut self, session: &mut AgentSession) -> Result<()> {
        if let Some(reads) = session.reads().await? {
            self.reused = sanitized(reads);
            return Ok(());
        }
        if self.engine.plan.guest_config.track_reads.is_none() {
            return Ok(());
        }
        session.send(&ToGuest::Reads)?;
        let wait = Wait { when: WHEN, deadline: Instant::now() + PATIENCE };
        let reads = session.expect(wait, |message| match message {
            FromGuest::Reads(reads) => Reply::Answer(reads),
            // A process that a step left running may still write.
            FromGuest::Output { .. } => Reply::Other,
            other => Reply::Unexpected(other),
        });
        let reads = reads.await?.ok_or_else(|| {
            let what = format!("the agent did not say within {PATIENCE:?} what the build has read");
            Failure::new(Code::Timeout, what, "look at the guest's console")
        })?;
        self.reused = sanitized(reads);
        Ok(())
    }
}

/// The agent's count with printable names and bounded numbers.
fn sanitized(reads: Reads) -> Reused {
    let Counted { directories, unclear, unknown, completeness } = match reads {
        Reads::Unknown(why) => return Reused::Unknown(failure::printable(&why)),
        Reads::Counted(counted) => counted,
    };
    let directories: Vec<_> =
        directories.into_iter().take(MAX_COUNTED).filter_map(|directory| directory_of(&directory)).collect();
    let unclear = unclear.into_iter().take(MAX_UNCLEAR).filter_map(|UnclearFile { directory, inode }| {
        let (directory, _) = directories.get(usize::from(directory))?;
        Some(Unclear { directory: directory.clone(), inode })
    });
    Reused::Counted(ReadUsage {
        unclear: unclear.collect(),
        amounts: directories.into_iter().filter(|(_, amount)| amount.entries > 0).collect(),
        unknown: unknown.min(MOST),
        overflow: completeness == Completeness::AtLeast,
    })
}

/// `None` if the name is too long. This shifts the numbers of the directories after it, but such an agent lies anyway.
fn directory_of(directory: &CountedDirectory) -> Option<(String, Amount)> {
    let CountedDirectory { name, files, bytes } = directory;
    let kind = match name.as_str() {
        "" => TOP.to_owned(),
        BY_HASH => SOURCES.to_owned(),
        name => failure::printable(name),
    };
    let amount = Amount { entries: (*files).min(MOST), bytes: (*bytes).min(MOST) };
    (name.len() <= NAME).then_some((kind, amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str, files: u64, bytes: u64) -> CountedDirectory {
        CountedDirectory { name: name.into(), files, bytes }
    }

    #[test]
    fn a_hostile_count_is_made_harmless() {
        let mut directories: Vec<_> = (0..1000).map(|n| directory(&format!("{n:04}"), 1, 1)).collect();
        directories.insert(0, directory("", 2, 3));
        directories.insert(1, directory("a\u{1b}[2J", u64::MAX, u64::MAX));
        directories.insert(2, directory(&"x".repeat(NAME + 1), 1, 1));
        directories.insert(3, directory(BY_HASH, 4, 5));
        let unclear = vec![
            UnclearFile { directory: 1, inode: 7 },
            // There is no such directory.
            UnclearFile { directory: 255, inode: 8 },
        ];
        let completeness = Completeness::AtLeast;
        let counted = Counted { directories, unclear, unknown: u64::MAX, completeness };
        let Reused::Counted(usage) = sanitized(Reads::Counted(counted)) else { panic!("it was counted") };
        let ReadUsage { amounts, unclear, unknown, overflow } = usage;
        assert_eq!(amounts.len(), MAX_COUNTED - 1);
        assert_eq!(amounts["."], Amount { entries: 2, bytes: 3 });
        assert_eq!(amounts["sources"], Amount { entries: 4, bytes: 5 });
        assert_eq!(amounts["a [2J"], Amount { entries: MOST, bytes: MOST });
        assert!(amounts.values().map(|amount| amount.bytes).sum::<u64>() >= MOST);
        assert_eq!(unclear, [Unclear { directory: "a [2J".into(), inode: 7 }]);
        assert_eq!((unknown, overflow), (MOST, true));
        assert_eq!(sanitized(Reads::Unknown("no\nroot".into())), Reused::Unknown("no root".into()));
    }
}
