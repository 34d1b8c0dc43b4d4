//! A sandbox's overhead: a build of one step `true` with `--runner bubblewrap` on a warm store, against a bare `bwrap` that runs
//! `true` on the same root in the same namespaces.

use std::path::PathBuf;

use anyhow::Result;

use super::part::{Part, Side, Workshop, kiln_build, root_image};
use crate::{
    backend::{BoxFuture, bubblewrap::probe},
    bench::{
        Scenario, Unit,
        program::{timed, version},
    },
    host::Host,
    image::{Store, Tree},
    plan::Ids,
    process::{Command, Spawner},
};

/// The user in a sandbox of an ordinary user, whose tree builds have, too.
const BUILD_USER: (u32, u32) = (1000, 1000);

/// The part.
pub(super) struct Sandbox<'a> {
    spawner: &'a Spawner,
    bwrap: PathBuf,
    version: String,
    /// The root as a tree of files, which stays as long as this is held. A mount could be left behind.
    root: Tree,
    directory: PathBuf,
}

impl<'a> Sandbox<'a> {
    pub(super) async fn new(workshop: &mut Workshop<'a, '_>) -> Result<Self> {
        let Workshop { env, home, spawner, scratch, sink } = workshop;
        let found = probe::find(env, spawner, &Host::probe(), &[]).await?;
        // The first build makes the image.
        timed(spawner, kiln_build(spawner, scratch.path(), "bubblewrap")).await?;
        let store = Store::open(home, env)?;
        let (ids, inside) = match found.ids {
            Ids::Own | Ids::Root => (Ids::Root, (0, 0)),
            ids @ (Ids::Range | Ids::SingleUid) => (ids, BUILD_USER),
        };
        let root = store.tree(&root_image(&store)?, ids, inside, spawner, *sink).await?;
        let version = version(spawner, &found.path).await;
        Ok(Self { spawner, bwrap: found.path, version, root, directory: scratch.path().to_owned() })
    }

    fn bare(&self) -> Command {
        Command::new(&self.bwrap)
            .args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"])
            .args(["--hostname", "kiln", "--as-pid-1", "--die-with-parent", "--clearenv"])
            .arg("--ro-bind")
            .arg(&self.root.path)
            .arg("/")
            .args(["--proc", "/proc", "--ro-bind", "/sys", "/sys", "--dev", "/dev", "--", "/bin/true"])
    }
}

impl Part for Sandbox<'_> {
    fn scenario(&self) -> Scenario {
        Scenario {
            id: "bubblewrap".into(),
            title: "a build of `true` / bwrap".into(),
            group: "A sandbox".into(),
            unit: Unit::Seconds,
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        vec![("bubblewrap".into(), self.version.clone())]
    }

    fn seconds(&self) -> f64 {
        0.1
    }

    fn sample(&mut self, side: Side, _round: u32) -> BoxFuture<'_, Result<f64>> {
        Box::pin(async move {
            let command = match side {
                Side::Plain => self.bare(),
                Side::Kiln => kiln_build(self.spawner, &self.directory, "bubblewrap"),
            };
            Ok(timed(self.spawner, command).await?.seconds)
        })
    }
}
