//! Makes the world in which steps run, field by field, as the wire describes it.
//!
//! Before it: a channel and nothing else. After it: [`exec`](crate::exec) in what it made. It runs once, and blocks.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result};
use kiln_protocol::{Mount, World};
use kiln_reads::{Directory, Reader};
use nix::unistd::sethostname;

use crate::{
    chown::{self, SetId},
    clock, file, identity, idmap, limit, modules, mount, network, overlay, path_change, pivot, root,
    upper::Uppers,
    whiteout,
};

/// A world that stands.
pub(crate) struct Made {
    /// What took how many microseconds.
    pub(crate) phases: Vec<(String, u64)>,
    /// Where its overlays are written to.
    pub(crate) uppers: Uppers,
    /// What steps will read of it.
    pub(crate) reads: Reader,
}

/// Makes everything, in the order of the fields.
pub(crate) fn make(world: &World) -> Result<Made> {
    let World {
        clock_ns,
        entropy,
        modules,
        mounts,
        hostname,
        network,
        groups,
        identities,
        files,
        // Dropped by each step, not by the agent.
        capabilities: _,
        counted,
        limits,
        // Done by `end`.
        closing: _,
    } = world;
    let mut phases = Phases { last: Instant::now(), done: Vec::new() };
    if let Some(nanoseconds) = clock_ns {
        clock::set(*nanoseconds)?;
    }
    clock::add_entropy(entropy)?;
    phases.end("clock");
    modules::load(modules)?;
    phases.end("modules");
    let mut uppers = Uppers::default();
    mounts.iter().try_for_each(|mount| make_mount(mount, &mut uppers))?;
    phases.end("mounts");
    if let Some(name) = hostname {
        sethostname(name).with_context(|| format!("set the hostname to {name}"))?;
    }
    network::bring_up(network.as_ref())?;
    phases.end("network");
    identity::set(groups, identities)?;
    files.iter().try_for_each(file::write)?;
    phases.end("files");
    limits.iter().try_for_each(limit::set)?;
    // Last: what the agent has made is no step's.
    let reads = counted.as_deref().map_or(Reader::Unasked, |directory| Reader::of(own(directory)));
    phases.end("reads");
    Ok(Made { phases: phases.done, uppers, reads })
}

/// A directory of this world.
fn own(directory: &str) -> Result<Directory> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    let root = File::open("/").context("open /")?;
    Directory::of(root.as_fd(), Path::new(directory), &mounts)
}

struct Phases {
    last: Instant,
    done: Vec<(String, u64)>,
}

impl Phases {
    fn end(&mut self, name: &str) {
        let now = Instant::now();
        self.done.push((name.to_owned(), now.duration_since(self.last).as_micros() as u64));
        self.last = now;
    }
}

fn make_mount(mount: &Mount, uppers: &mut Uppers) -> Result<()> {
    match mount {
        Mount::Directory { path, mode, uid, gid } => mount::directory(path, *mode, (*uid, *gid)),
        Mount::Missing { path, mode, uid, gid } => mount::missing(path, *mode, (*uid, *gid)),
        Mount::Filesystem { source, target, fstype, options, access } => {
            mount::filesystem(source, target, fstype, options, *access)
        }
        Mount::Overlay { lower, upper, work, target, options, owner } => {
            overlay::Overlay { lower, upper, work, target, options }.mount(*owner)?;
            uppers.keep(target, upper)
        }
        Mount::Swap { path, outside, inside } => idmap::swap(path, *outside, *inside),
        Mount::Cover { path } => mount::cover(path),
        Mount::Bind { source, target, access } => mount::bind(source, target, *access),
        Mount::Symlink { path, target } => mount::symlink(path, target),
        Mount::Whiteouts { directory, like, paths } => whiteout::make(directory, like, paths),
        Mount::Chown { path, uid, gid, given } => chown::all_below(path, (*uid, *gid), *given, SetId::Kept),
        Mount::Path(change) => path_change::make(change),
        Mount::Root { path } => root::enter(path),
        Mount::Pivot { path } => pivot::enter(path),
        Mount::Upper { target, path } => uppers.keep(target, path),
    }
}
