//! The fio jobs: sections of the job files in `jobs/`, and the job file of one visit. Pure.
//!
//! The job files are the table of what is measured: a section's name, pattern, block and sizes are read from them.

use anyhow::{Context, Result, ensure};

/// The job files.
const FILES: [&str; 3] =
    [include_str!("jobs/psync.fio"), include_str!("jobs/mmap.fio"), include_str!("jobs/libaio.fio")];

/// The access pattern of a section: `rw=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    Read,
    Write,
    RandomRead,
    RandomWrite,
}

impl Pattern {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "read" => Self::Read,
            "write" => Self::Write,
            "randread" => Self::RandomRead,
            "randwrite" => Self::RandomWrite,
            _ => return None,
        })
    }
}

/// A section of a job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// Its name, which is also the id of its scenario.
    pub(super) name: &'static str,
    /// Its lines after the name.
    lines: Vec<&'static str>,
    /// `ioengine=`.
    pub(super) engine: &'static str,
    /// `rw=`.
    pub(super) pattern: Pattern,
    /// `bs=`, in KiB.
    pub(super) block_kib: u64,
    /// `numjobs=`.
    pub(super) jobs: u64,
    /// What all of its jobs read or write together, in KiB.
    pub(super) total_kib: u64,
}

/// What the page cache of the measured system is for a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageCache {
    /// That of a guest, which a section finds empty; the host's has the files.
    Guest,
    /// That of the host, which has the files. Emptied it would measure the disk, which no guest does.
    Host,
}

/// All sections of the job files.
///
/// # Errors
/// When a job file does not have the form that this module reads.
pub(super) fn jobs() -> Result<Vec<Job>> {
    let mut all = Vec::new();
    for file in FILES {
        for section in file.split("\n[").skip(1) {
            let (name, lines) = section.split_once("]\n").context("a section of a job file has no name")?;
            all.push(job(name, lines).with_context(|| format!("the section {name} of a job file"))?);
        }
    }
    Ok(all)
}

fn job(name: &'static str, lines: &'static str) -> Result<Job> {
    let lines: Vec<&str> = lines.lines().filter(|line| !line.is_empty()).collect();
    let value = |key: &str| {
        let of_line = |line: &&'static str| line.split_once('=').filter(|(name, _)| *name == key);
        lines.iter().find_map(of_line).map(|(_, value)| value)
    };
    let kib = |key: &str| value(key).map(size_kib).transpose();
    let pattern = value("rw").and_then(Pattern::parse).context("no pattern")?;
    let jobs = value("numjobs").map_or(Ok(1), str::parse).context("the number of jobs")?;
    let each = match kib("io_size")? {
        Some(size) => size,
        None => kib("size")?.context("no size")?,
    };
    let (engine, block_kib) =
        (value("ioengine").context("no engine")?, kib("bs")?.context("no size of blocks")?);
    ensure!(each > 0 && jobs > 0 && block_kib > 0, "an empty job");
    Ok(Job { name, lines, engine, pattern, block_kib, jobs, total_kib: each * jobs })
}

/// A size with the suffix `k` or `m`, in KiB.
fn size_kib(text: &str) -> Result<u64> {
    let (number, factor) = match (text.strip_suffix('k'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1024),
        (None, None) => anyhow::bail!("the size {text} has neither k nor m"),
    };
    Ok(number.parse::<u64>().with_context(|| format!("the size {text}"))? * factor)
}

/// The job file of one visit: these sections, one after the other, with markers around the I/O of each.
///
/// A section's time begins with the first of its jobs and ends with the last. `fio` starts once for all of them, and lays out files
/// and starts threads before the first marker: none of that is in a value. What a section writes is on its file system's disk when its
/// time ends (`end_fsync`), as far as that file system honours it: an overlay of a guest and its own disk do not.
pub(super) fn job_file(jobs: &[&Job], directory: &str, cache: PageCache, seed: u64) -> String {
    let mut text = format!(
        "[global]\nthread\ngroup_reporting\ndirectory={directory}\nend_fsync=1\nfallocate=none\nrandseed={seed}\n"
    );
    if cache == PageCache::Host {
        text += "invalidate=0\n";
    }
    for Job { name, lines, .. } in jobs {
        text += &format!("\n[{name}]\nstonewall\n");
        for line in lines.iter().filter(|line| cache == PageCache::Guest || **line != "direct=1") {
            text += &format!("{line}\n");
        }
        // fio appends a redirection of standard output, and a semicolon would begin a comment.
        text += &format!("exec_prerun=echo \"@ begin {name}\" >&3 && :\n");
        text += &format!("exec_postrun=echo \"@ end {name}\" >&3 && :\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_job_files_have_the_whole_matrix_and_names_say_what_is_done() {
        let jobs = jobs().expect("they can be read");
        let names: BTreeSet<&str> = jobs.iter().map(|job| job.name).collect();
        let mut expected = BTreeSet::new();
        for pattern in ["read", "write", "randread", "randwrite"] {
            for (engine, block, count) in [("psync", "4k", 16)].into_iter().chain(
                ["psync", "mmap", "libaio"]
                    .into_iter()
                    .flat_map(|engine| ["4k", "1m"].map(|block| (engine, block)))
                    .flat_map(|(engine, block)| [1, 4].map(|count| (engine, block, count))),
            ) {
                expected.insert(format!("{engine}-{pattern}-{block}-{count}"));
            }
        }
        assert_eq!(names, expected.iter().map(String::as_str).collect());
        for job in &jobs {
            let words: Vec<&str> = job.name.split('-').collect();
            assert_eq!(words[0], job.engine, "{}", job.name);
            assert_eq!(Pattern::parse(words[1]), Some(job.pattern), "{}", job.name);
            assert_eq!(size_kib(words[2]).expect("a size"), job.block_kib, "{}", job.name);
            assert_eq!(words[3], job.jobs.to_string(), "{}", job.name);
        }
    }

    #[test]
    fn the_number_of_jobs_does_not_change_the_work() {
        for job in jobs().expect("they can be read") {
            let expected = match (job.block_kib, job.pattern) {
                (4, _) => 8 << 10,
                (_, Pattern::Read | Pattern::RandomRead) => 64 << 10,
                (_, Pattern::Write | Pattern::RandomWrite) => 32 << 10,
            };
            assert_eq!(job.total_kib, expected, "{}", job.name);
        }
    }

    #[test]
    fn a_job_file_has_markers_and_no_direct_access_to_the_hosts_disk() {
        let all = jobs().expect("they can be read");
        let job = all.iter().find(|job| job.name == "libaio-randread-4k-4").expect("it is in a file");
        let text = |cache| job_file(&[job], "/var/cache/melange/bench", cache, 7);
        assert_eq!(
            text(PageCache::Guest),
            "[global]\nthread\ngroup_reporting\ndirectory=/var/cache/melange/bench\nend_fsync=1\nfallocate=none\nrandseed=7\n\
             \n[libaio-randread-4k-4]\nstonewall\nioengine=libaio\nrw=randread\nbs=4k\nnumjobs=4\niodepth=16\ndirect=1\n\
             filename=data\nsize=64m\nio_size=2048k\n\
             exec_prerun=echo \"@ begin libaio-randread-4k-4\" >&3 && :\n\
             exec_postrun=echo \"@ end libaio-randread-4k-4\" >&3 && :\n"
        );
        assert!(text(PageCache::Host).contains("\ninvalidate=0\n"));
        assert!(!text(PageCache::Host).contains("direct=1"));
    }

    #[test]
    fn a_section_that_cannot_be_understood_is_an_error() {
        for lines in [
            "",
            "rw=read\n",
            "ioengine=psync\nrw=read\nbs=4k\nsize=8\n",
            "ioengine=psync\nrw=trim\nbs=4k\nsize=8m\n",
        ] {
            assert!(job("x", lines).is_err(), "{lines:?}");
        }
    }
}
