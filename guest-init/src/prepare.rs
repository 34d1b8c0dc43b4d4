//! Prepares the guest for steps, field by field of its configuration.
//!
//! Before it: a channel. After it: [`exec`](crate::exec). It runs once, and blocks.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result};
use kiln_protocol::{GuestConfig, Mount, NetworkNamespace, PathChange, SeccompFilter, UserNamespace};
use kiln_reads::{Directory, Reader};
use nix::unistd::sethostname;

use crate::{
    chown::{self, SetId},
    clock, file,
    gauges::Gauges,
    identity,
    idmap::Idmaps,
    keyring, late_devices, limit, modules, mount,
    namespace::{self, Entry, Prepared},
    network, overlay, path_change, pivot, root, scope, seccomp,
    targets::Targets,
    upper::Uppers,
    whiteout,
};

/// A prepared guest.
pub(crate) struct PreparedGuest {
    /// Name and microseconds of each phase.
    pub(crate) phases: Vec<(String, u64)>,
    /// The directories of its overlays.
    pub(crate) uppers: Uppers,
    /// Counts what steps read.
    pub(crate) reads: Reader,
    /// Measures exhausted resources.
    pub(crate) gauges: Gauges,
}

/// Does everything, in the order of the fields.
pub(crate) fn run(config: &GuestConfig) -> Result<PreparedGuest> {
    let GuestConfig {
        clock_ns,
        entropy,
        modules,
        late_devices,
        mounts,
        hostname,
        network,
        groups,
        identities,
        files,
        // Applied to each step, not to the agent.
        capabilities: _,
        track_reads,
        // Opened by `Gauges::open` below.
        memory: _,
        written: _,
        limits,
        user_namespace,
        seccomp: filters,
        // Done by `end`.
        on_exit: _,
    } = config;
    let mut phases = Phases { last: Instant::now(), done: Vec::new() };
    if let Some(nanoseconds) = clock_ns {
        clock::set(*nanoseconds)?;
    }
    clock::add_entropy(entropy)?;
    phases.end("clock");
    modules::load(modules)?;
    phases.end("modules");
    if *late_devices {
        late_devices::attach()?;
        phases.end("devices");
    }
    let first = user_namespace.as_ref().map_or(0, |namespace| namespace.first);
    namespace::create_files_as(first)?;
    let prepared = user_namespace.as_ref().map(Prepared::new).transpose()?;
    let (uppers, targets) = (Uppers::default(), Targets::new(mounts));
    let mut mounter = Mounter { first, uppers, targets, idmaps: idmaps(prepared.as_ref())? };
    mounts.iter().try_for_each(|mount| mounter.make(mount))?;
    let uppers = mounter.uppers;
    phases.end("mounts");
    let entry = prepared.map(Prepared::join).transpose()?;
    phases.end("namespaces");
    if let Some(name) = hostname {
        sethostname(name).with_context(|| format!("set the hostname to {name}"))?;
    }
    network::bring_up(network.as_ref())?;
    phases.end("network");
    identity::set(groups, identities)?;
    files.iter().try_for_each(file::write)?;
    phases.end("files");
    limits.iter().try_for_each(limit::set)?;
    // Last, so that the agent's own reads are not counted.
    let reads =
        track_reads.as_deref().map_or(Reader::Off, |directory| Reader::of(tracked(directory, &uppers)));
    phases.end("reads");
    let gauges = Gauges::open(config);
    confine(entry, user_namespace.as_ref(), filters)?;
    phases.end("confinement");
    Ok(PreparedGuest { phases: phases.done, uppers, reads, gauges })
}

/// Gives up the rights that only the preparation needs, for the agent and all its children.
fn confine(entry: Option<Entry>, namespace: Option<&UserNamespace>, filters: &[SeccompFilter]) -> Result<()> {
    entry.map_or(Ok(()), Entry::enter)?;
    keyring::join_new()?;
    if namespace.is_some_and(|namespace| namespace.network == NetworkNamespace::Kept) {
        scope::keep_abstract_sockets()?;
    }
    seccomp::install(filters)
}

/// Starts with the map of the steps' own namespace.
fn idmaps(prepared: Option<&Prepared>) -> Result<Idmaps> {
    let mut idmaps = Idmaps::default();
    if let Some(Prepared { user, maps, .. }) = prepared {
        idmaps.add(maps.clone(), user.try_clone().context("copy a descriptor of a user namespace")?);
    }
    Ok(idmaps)
}

/// A directory whose reads are counted.
fn tracked(directory: &str, uppers: &Uppers) -> Result<Directory> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    let root = File::open("/").context("open /")?;
    let directory = Directory::of(root.as_fd(), Path::new(directory), &mounts)?;
    let layers = uppers.layers(directory.as_fd())?;
    Ok(directory.made_of(layers))
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

/// Makes the mounts, one after the other.
struct Mounter {
    /// The id of the namespace's root, outside of it.
    first: u32,
    uppers: Uppers,
    targets: Targets,
    idmaps: Idmaps,
}

impl Mounter {
    fn make(&mut self, mount: &Mount) -> Result<()> {
        match mount {
            Mount::Directory { path, mode, uid, gid } => {
                mount::directory(&self.targets, path, *mode, self.owner(*uid, *gid)?)
            }
            Mount::EnsureDir { path, mode, uid, gid } => {
                mount::ensure_directory(&self.targets, path, *mode, self.owner(*uid, *gid)?)
            }
            Mount::Filesystem { source, target, fstype, options, access } => {
                let on = self.targets.directory(target)?;
                mount::filesystem(source, &on, fstype, options, *access)
                    .with_context(|| format!("mount {target}"))?;
                self.targets.keep(target)
            }
            Mount::Overlay { lower, upper, work, target, options, nodev, owner: (uid, gid) } => {
                let owner = self.owner(*uid, *gid)?;
                overlay::Overlay { lower, upper, work, target, options, nodev: *nodev }
                    .mount(&self.targets, owner)?;
                self.targets.keep(target)?;
                self.uppers.keep(&self.targets, target, upper, lower.first().map(String::as_str))
            }
            Mount::Idmap { path, uids, gids } => self.idmaps.mount(path, uids, gids),
            Mount::MaskPath { path } => match self.targets.existing_directory(path) {
                Some(directory) => mount::mask(directory.path()),
                None => Ok(()),
            },
            Mount::Bind { source, target, access } => {
                mount::bind(&self.targets, source, target, *access)?;
                self.targets.keep(target)
            }
            Mount::Symlink { path, target } => mount::symlink(path, target),
            Mount::Whiteouts { directory, like, paths } => whiteout::make(directory, like, paths),
            Mount::Chown { path, uid, gid, scope } => {
                chown::all_below(path, self.owner(*uid, *gid)?, *scope, SetId::Kept)
            }
            Mount::Root { path } => {
                root::enter(path)?;
                self.targets.enter();
                Ok(())
            }
            Mount::Pivot { path } => {
                pivot::enter(path, self.owner(0, 0)?)?;
                self.targets.enter();
                Ok(())
            }
            Mount::Path(change) => {
                let owner = change.owner.map(|(uid, gid)| self.owner(uid, gid)).transpose()?;
                path_change::make(&PathChange { owner, ..change.clone() }, self.owner(0, 0)?)
            }
            Mount::Upper { target, path } => self.uppers.keep(&self.targets, target, path, None),
        }
    }

    /// An owner of the namespace, as an id outside of it.
    fn owner(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        let outside =
            |id: u32| id.checked_add(self.first).with_context(|| format!("the sandbox has no id {id}"));
        Ok((outside(uid)?, outside(gid)?))
    }
}
