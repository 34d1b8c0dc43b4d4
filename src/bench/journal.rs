//! The samples of a run that has not ended: `NAME.samples.jsonl` in the output directory, one line a visit.
//!
//! The first line says which run it is; a run with the same options on the same machine continues it. Each line is flushed to the
//! disk before the next visit, so a run that is killed loses the visit of that moment only. The journal is removed when the result is
//! written.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::fingerprint::differences;

/// The form of the file; another one is not continued.
const SCHEMA: &str = "kiln-bench-samples/1";
/// The most bytes that are read: a line has a few hundred.
const MOST_BYTES: u64 = 64 << 20;

/// Which run it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    schema: String,
    suite: String,
    seed: u64,
    options: Vec<(String, String)>,
    facts: Vec<(String, String)>,
}

/// A visit that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Visit {
    /// 0 is the warm-up.
    pub(super) round: u32,
    /// The id of the variant.
    pub(super) variant: String,
    /// How long it took.
    pub(super) seconds: f64,
    /// Ids of scenarios, and the samples.
    pub(super) samples: Vec<(String, f64)>,
}

impl Header {
    pub(super) fn new(
        suite: &str,
        seed: u64,
        options: &[(String, String)],
        facts: &[(String, String)],
    ) -> Self {
        Self {
            schema: SCHEMA.into(),
            suite: suite.into(),
            seed,
            options: options.to_vec(),
            facts: facts.to_vec(),
        }
    }

    /// Why a run with this header does not continue one with `other`; `None` if it does. `any_seed`: the run takes the other's seed.
    fn obstacle(&self, other: &Self, any_seed: bool) -> Option<String> {
        let named = |pairs: Vec<(&str, &str, &str)>| {
            let (name, here, there) = *pairs.first()?;
            let shown = |value: &str| if value.is_empty() { "none".to_owned() } else { value.to_owned() };
            Some(format!("another value of {name}: {}, not {}", shown(there), shown(here)))
        };
        let suite = || (self.suite != other.suite).then(|| format!("samples of {}", other.suite));
        let seed = || {
            (self.seed != other.seed && !any_seed)
                .then(|| format!("another seed: {}, not {}", other.seed, self.seed))
        };
        suite()
            .or_else(|| named(differences(&self.options, &other.options)))
            .or_else(|| named(differences(&self.facts, &other.facts)))
            .or_else(seed)
    }
}

/// What became of the samples of an earlier run.
#[derive(Debug, PartialEq)]
pub(super) enum Earlier {
    /// There are none.
    None,
    /// This run continues that one.
    Continued(Vec<Visit>),
    /// They are of another run, and are gone.
    Other(String),
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// That of the run which is continued, or that of the header.
    pub(super) seed: u64,
}

impl Journal {
    /// Opens the journal of a run in a directory: continues what is there, or begins anew. `any_seed`: the user named no seed, so that
    /// of the interrupted run is as good.
    pub(super) fn open(directory: &Path, header: &Header, any_seed: bool) -> Result<(Self, Earlier)> {
        let path = directory.join(format!("{}.samples.jsonl", header.suite));
        let earlier = match read(&path)? {
            None => Earlier::None,
            Some(text) => match parse(&text) {
                None => Earlier::Other("a first line that this version of kiln does not know".into()),
                Some((other, visits)) => match header.obstacle(&other, any_seed) {
                    Some(why) => Earlier::Other(why),
                    None => return Self::rewritten(path, &other, visits),
                },
            },
        };
        let (journal, _) = Self::rewritten(path, header, Vec::new())?;
        Ok((journal, earlier))
    }

    /// Writes the whole lines anew, so that half a line at the end of the old file does not stay.
    fn rewritten(path: PathBuf, header: &Header, visits: Vec<Visit>) -> Result<(Self, Earlier)> {
        let mut text = line(header)?;
        for visit in &visits {
            text += &line(visit)?;
        }
        let write = || -> Result<File> {
            let directory = path.parent().unwrap_or(Path::new("."));
            let mut fresh = tempfile::NamedTempFile::new_in(directory)?;
            fresh.write_all(text.as_bytes())?;
            fresh.as_file().sync_all()?;
            Ok(fresh.persist(&path)?)
        };
        let file = write().with_context(|| format!("write the samples to {}", path.display()))?;
        Ok((Self { file, path, seed: header.seed }, Earlier::Continued(visits)))
    }

    /// Adds a visit, durably.
    pub(super) fn add(&mut self, visit: &Visit) -> Result<()> {
        let line = line(visit)?;
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("write a sample to {}", self.path.display()))
    }

    /// Removes the file: the result has the samples.
    pub(super) fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("remove {}", self.path.display()))
    }
}

fn line(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(value).context("write a line of samples")? + "\n")
}

/// The content of the file, if there is one; only its beginning, if it is too large to be a journal.
fn read(path: &Path) -> Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| format!("open {}", path.display()))?,
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The header and the visits up to the first line that is not whole; `None` without a header.
fn parse(text: &str) -> Option<(Header, Vec<Visit>)> {
    let mut lines = text.split_inclusive('\n').take_while(|line| line.ends_with('\n'));
    let header: Header = serde_json::from_str(lines.next()?).ok()?;
    let visits = lines.map_while(|line| serde_json::from_str(line).ok()).collect();
    (header.schema == SCHEMA).then_some((header, visits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seed: u64, rounds: &str, kernel: &str) -> Header {
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        Header::new("demo", seed, &pair("rounds", rounds), &pair("host kernel", kernel))
    }

    fn visit(round: u32) -> Visit {
        Visit { round, variant: "a".into(), seconds: 1.5, samples: vec![("x".into(), 0.25)] }
    }

    #[test]
    fn the_same_run_continues_and_half_a_line_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, earlier) = Journal::open(directory.path(), &header(1, "5", "6.1"), true).unwrap();
        assert_eq!(earlier, Earlier::None);
        journal.add(&visit(0)).unwrap();
        journal.add(&visit(1)).unwrap();
        let path = directory.path().join("demo.samples.jsonl");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"round\":2,\"vari").unwrap();
        let (mut journal, earlier) = Journal::open(directory.path(), &header(2, "5", "6.1"), true).unwrap();
        assert_eq!((earlier, journal.seed), (Earlier::Continued(vec![visit(0), visit(1)]), 1));
        journal.add(&visit(2)).unwrap();
        let (journal, earlier) = Journal::open(directory.path(), &header(1, "5", "6.1"), false).unwrap();
        assert_eq!(earlier, Earlier::Continued([0, 1, 2].map(visit).into()));
        journal.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn another_run_starts_anew_and_says_the_difference() {
        let directory = tempfile::tempdir().unwrap();
        let open = |header: &Header, any_seed| Journal::open(directory.path(), header, any_seed).unwrap().1;
        for (first, second, why) in [
            (header(1, "5", "6.1"), header(1, "9", "6.1"), "another value of rounds: 5, not 9"),
            (header(1, "5", "6.1"), header(1, "5", "6.8"), "another value of host kernel: 6.1, not 6.8"),
            (header(1, "5", "6.1"), header(2, "5", "6.1"), "another seed: 1, not 2"),
        ] {
            open(&first, false);
            assert_eq!(open(&second, false), Earlier::Other(why.into()));
            // The old samples are gone.
            assert_eq!(open(&second, false), Earlier::Continued(Vec::new()));
        }
        fs::write(directory.path().join("demo.samples.jsonl"), "text\n").unwrap();
        assert!(matches!(open(&header(1, "5", "6.1"), true), Earlier::Other(_)));
    }
}
