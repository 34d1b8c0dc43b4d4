//! From bwrap, found by the probe, to a runner.

use std::{ffi::OsString, fs, path::Path};

use anyhow::Result;

use super::{
    Bubblewrap, Files, Groups, Scratch, argv,
    plan::SandboxRules,
    probe::{self, Bubblewrap as Found},
};
use crate::{
    backend::{Backend, BoxFuture, Launch, Runner, Tools, agent_file},
    env::Env,
    event::Sink,
    exit::Failure,
    home::Home,
    host::{Host, cgroup::Cgroups},
    plan::{BuildOptions, Cgroup, Ids, Plan, PlatformRules, RootForm},
    rundir,
};

/// The placeholder of the scratch directory, whose name each run chooses.
const SCRATCH: &str = "(a scratch directory of this run)";

/// Looks for bwrap, and for the rights of this user.
///
/// # Errors
/// A host failure if bwrap is missing, or if this user may not make user namespaces.
pub async fn find(options: &BuildOptions, tools: Tools<'_>, host: &Host) -> Result<Found> {
    let images = tools.home.dir("images")?;
    let shared = [options.source.as_deref(), options.cache_dir.as_deref(), Some(&images)];
    let shared: Vec<&Path> = shared.into_iter().flatten().filter_map(existing).collect();
    probe::find(tools.env, tools.spawner, host, &shared).await
}

/// The directory, or the nearest one above it that exists: `kiln plan` does not make a cache.
fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|above| above.is_dir())
}

impl Found {
    fn root_form(&self) -> RootForm {
        if self.mounts_images { RootForm::Image } else { RootForm::Tree }
    }
}

impl Backend for Found {
    fn rules(&self, _: &BuildOptions) -> Box<dyn PlatformRules> {
        Box::new(SandboxRules {
            resolver: fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
            ids: self.ids,
            root: self.root_form(),
            cgroups: Cgroups::find(),
        })
    }

    fn complete<'a>(
        &'a mut self,
        tools: Tools<'a>,
        plan: &'a mut Plan,
        _: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            plan.notes.extend(self.why_not_own.as_deref().map(ids_of_the_host));
            check_scratch(plan, tools.env)?;
            Ok(())
        })
    }

    /// The image is unpacked for the sandbox of an ordinary user.
    fn phase(&self) -> &'static str {
        "image"
    }

    fn runner<'l, 'a: 'l>(
        &'l self,
        launch: Launch<'l, 'a>,
        sink: &'l mut dyn Sink,
    ) -> BoxFuture<'l, Result<Box<dyn Runner + 'a>>> {
        Box::pin(async move {
            let Launch { env, home, spawner, run_dir, plan, store, image, .. } = launch;
            let (root, tree) = match self.root_form() {
                RootForm::Image => (image.path.clone(), None),
                RootForm::Tree => {
                    let tree = store.tree(image, self.ids, plan.owner.ids(), spawner, sink).await?;
                    (tree.path.clone(), Some(tree))
                }
            };
            let groups: &[Cgroup] = plan.platform.sandbox().map_or(&[], |sandbox| &sandbox.groups);
            let runner: Box<dyn Runner + 'a> = Box::new(Bubblewrap {
                spawner,
                bwrap: self.path.clone(),
                agent: agent_file::ensure(home)?,
                root,
                tree,
                scratch: Scratch::make(rundir::scratch_dir(env), run_dir, spawner)?,
                groups: Groups::make(groups, run_dir, spawner)?,
                ended_for_memory: 0,
                scratch_full: false,
            });
            Ok(runner)
        })
    }

    fn command_lines(&self, home: &Home, plan: &Plan, root: &Path) -> Result<Vec<Vec<OsString>>> {
        let agent = agent_file::path(home);
        let files = Files { bwrap: &self.path, agent: &agent, root, scratch: Path::new(SCRATCH) };
        Ok(vec![argv(plan, files)])
    }

    fn describe(&self, plan: &Plan) -> Vec<(&'static str, String)> {
        let origin = match self.ids {
            Ids::Own => "by root, in a user namespace with ids that no user has",
            Ids::Root => "by root, in a user namespace with the ids of the host",
            Ids::Range => "in a user namespace with a range of ids",
            Ids::SingleUid => "in a user namespace with one id",
        };
        let mut lines = vec![("sandbox", format!("made {origin}"))];
        for Cgroup { parent, files } in
            plan.platform.sandbox().into_iter().flat_map(|sandbox| &sandbox.groups)
        {
            let files: Vec<String> = files.iter().map(|(name, value)| format!("{name}={value}")).collect();
            lines.push(("cgroup", format!("below {}: {}", parent.display(), files.join(", "))));
        }
        lines
    }
}

/// The note on a sandbox of root that has the ids of the host.
fn ids_of_the_host(why: &str) -> String {
    format!(
        "bubblewrap: users in the sandbox have the ids of users of this host, root's included, but not the rights of root: {why}; \
         with source, cache and KILN_HOME on ext4, xfs, btrfs or (Linux 6.3) tmpfs a sandbox has ids of its own"
    )
}

/// Checks that the scratch directory is not in the source or the cache: Linux mounts no overlay whose upper directory lies in a
/// lower one (ELOOP).
fn check_scratch(plan: &Plan, env: &Env) -> Result<(), Failure> {
    let cache = plan.cache.as_ref().filter(|cache| cache.is_overlaid());
    let below = [("source", plan.source.as_ref()), ("cache", cache.map(|cache| &cache.directory))];
    // A missing directory is reported when it is used.
    let Ok(scratch) = fs::canonicalize(rundir::scratch_dir(env)) else { return Ok(()) };
    for (name, directory) in below.into_iter().filter_map(|(name, directory)| Some((name, directory?))) {
        if fs::canonicalize(directory).is_ok_and(|directory| scratch.starts_with(directory)) {
            let variable = rundir::scratch_variable(env).unwrap_or("the directory for scratch files");
            let what = format!(
                "{variable}: {} lies in the {name} directory ({}), over which a sandbox has an overlay: Linux does not allow an \
                 upper directory in a lower one",
                scratch.display(),
                directory.display(),
            );
            return Err(Failure::usage(what, "Set QEMU_DISKS_PATH to a directory elsewhere."));
        }
    }
    Ok(())
}
