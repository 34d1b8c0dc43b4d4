//! The processes beside QEMU that serve source and cache: which ones a plan needs, their command lines, and their start.
//!
//! Before it: the plan. After it: the runner, which passes the connections to QEMU, and [`super::machine`], which watches them.

use std::{
    ffi::OsString,
    os::fd::{OwnedFd, RawFd},
};

use anyhow::Result;
use kiln_protocol::Access;

use super::line::fd;
use crate::{
    backend::{Launch, Tools},
    cache::Lease,
    event::{Event, Sink},
    plan::{CacheShare, CacheSharing, Machine, Plan, RequestQueues},
    share::{
        self, Caching, Daemon, Directory, Owner, Server,
        embedded::Embedded,
        virtiofsd::{self, Service, Virtiofsd},
    },
};

/// The programs that serve a guest's shares.
#[derive(Default)]
pub(super) struct Servers {
    source: Option<Embedded>,
    cache: Option<Box<dyn Daemon>>,
}

/// A share with its server, before it is started.
struct Served<'a> {
    share: Share,
    daemon: &'a dyn Daemon,
    directory: Directory,
}

/// A share of a microVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// The source directory.
    Source,
    /// The cache.
    Cache,
}

impl Share {
    /// The descriptor of QEMU that is connected to its server.
    fn number(self) -> RawFd {
        match self {
            Self::Source => fd::SOURCE,
            Self::Cache => fd::CACHE,
        }
    }
}

/// The server of a share, started.
pub struct Started {
    /// What it serves.
    pub(super) share: Share,
    /// The process.
    pub(super) server: Server,
    /// QEMU's end of the connection, with the number that its command line names.
    pub(super) end: (OwnedFd, RawFd),
}

impl Servers {
    /// The servers that the plan needs.
    ///
    /// # Errors
    /// When there is no virtiofsd, and the plan needs one.
    pub(super) async fn find(
        tools: Tools<'_>,
        plan: &Plan,
        machine: &Machine,
        sink: &mut dyn Sink,
    ) -> Result<Self> {
        let embedded = || {
            let request_queues = machine.request_queues.map_or(1, RequestQueues::count);
            let executable = tools.spawner.program().to_owned();
            let program = std::env::current_exe().unwrap_or_else(|_| executable.clone());
            Embedded { program, executable, request_queues }
        };
        let source = machine.source_has_daemon().then(embedded);
        let cache: Option<Box<dyn Daemon>> =
            match plan.cache.as_ref().map(|cache| (cache.share, cache.access)) {
                None | Some((CacheShare::NineP | CacheShare::Bind, _)) => None,
                Some((CacheShare::Virtiofs, access)) => {
                    let service = Service { uid: plan.owner.uid, access };
                    Some(Box::new(find_virtiofsd(tools, service, sink).await?))
                }
                Some((CacheShare::Embedded, _)) => Some(Box::new(embedded())),
            };
        Ok(Self { source, cache })
    }

    /// Their command lines.
    ///
    /// # Errors
    /// When one cannot be confined on this host, or cannot serve its directory.
    pub(super) fn argv(&self, plan: &Plan) -> Result<Vec<Vec<OsString>>> {
        let line = |Served { share: _, daemon, directory }: Served<'_>| {
            Ok(daemon.argv(&directory, owner(plan), share::sandbox()?)?)
        };
        self.of(plan).map(line).collect()
    }

    /// Starts them. The server of the cache holds its lease.
    ///
    /// # Errors
    /// When one cannot be confined or started.
    pub(super) fn start(&self, launch: &Launch<'_, '_>) -> Result<Vec<Started>> {
        let start = |Served { share, daemon, directory }: Served<'_>| {
            let lease = match share {
                Share::Source => None,
                Share::Cache => launch.lease.map(Lease::share).transpose()?,
            };
            let owner = owner(launch.plan);
            let (server, end) =
                Server::start(launch.spawner, launch.run_dir, daemon, &directory, owner, lease)?;
            Ok(Started { share, server, end: (end, share.number()) })
        };
        self.of(launch.plan).map(start).collect()
    }

    fn of<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = Served<'a>> {
        let Self { source, cache } = self;
        let source = source.iter().zip(source_directory(plan)).map(|(daemon, directory)| Served {
            share: Share::Source,
            daemon,
            directory,
        });
        let cache = cache.iter().zip(cache_directory(plan)).map(|(daemon, directory)| Served {
            share: Share::Cache,
            daemon: &**daemon,
            directory,
        });
        source.chain(cache)
    }
}

async fn find_virtiofsd(tools: Tools<'_>, service: Service, sink: &mut dyn Sink) -> Result<Virtiofsd> {
    let found = virtiofsd::find(tools.env, tools.home, tools.spawner, service).await?;
    // Missing paths are not reported once a daemon was found.
    for text in found.skipped.into_iter().filter(|line| !line.ends_with("is not there")) {
        sink.emit(Event::Note { text: format!("virtiofsd: skipped {text}") });
    }
    if let Some(text) = found.note {
        sink.emit(Event::Note { text: format!("virtiofsd: {text}") });
    }
    Ok(found.virtiofsd)
}

fn owner(plan: &Plan) -> Owner {
    Owner { uid: plan.owner.uid, gid: plan.owner.gid }
}

fn source_directory(plan: &Plan) -> Option<Directory> {
    let path = plan.source.clone()?;
    Some(Directory { path, access: Access::ReadOnly, caching: Caching::Names, inside: plan.owner.ids() })
}

fn cache_directory(plan: &Plan) -> Option<Directory> {
    let cache = plan.cache.as_ref()?;
    let caching = match cache.sharing {
        // Commits of other builds replace files.
        CacheSharing::Shared if cache.is_overlaid() => Caching::Names,
        CacheSharing::Shared => Caching::Shared,
        // The lease excludes all other builds.
        CacheSharing::Locked | CacheSharing::Private => Caching::Alone,
    };
    Some(Directory { path: cache.directory.clone(), access: cache.access, caching, inside: plan.owner.ids() })
}
