//! The overhead of kiln over docker: a build of one step `true` with `--runner docker`, against `docker run --rm` of a `true` in the
//! same root image.
//!
//! Both have docker's default network. The build has a source directory and a cache besides (an overlay, and three bind mounts; there
//! is a file in the cache, so that reads of it are counted), runs its step as its own user, and writes a package; the bare container
//! has none of that.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use super::part::{Part, Side, Workshop, kiln_build, root_image};
use crate::{
    backend::{
        BoxFuture,
        docker::probe::{self, Docker},
    },
    bench::{Scenario, Unit, program::timed},
    image::Store,
    process::{Command, Spawner},
};

/// The part.
pub(super) struct Container<'a> {
    spawner: &'a Spawner,
    docker: Docker,
    /// docker's copy of the store's image, which a build has made.
    image: String,
    directory: PathBuf,
}

impl<'a> Container<'a> {
    pub(super) async fn new(workshop: &mut Workshop<'a, '_>) -> Result<Self> {
        let Workshop { env, home, spawner, scratch, sink: _ } = workshop;
        let docker = probe::find(env, spawner).await?;
        let cache = scratch.path().join("melange-cache");
        fs::create_dir_all(&cache)
            .and_then(|()| fs::write(cache.join("kept"), "x"))
            .context("fill the cache")?;
        // It makes the image, imports it, and finds out what is found out once.
        timed(spawner, kiln_build(spawner, scratch.path(), "docker")).await?;
        let store = Store::open(home, env)?;
        let root = root_image(&store)?;
        let label = format!("label=kiln.image={}-{}", root.key, root.record.made);
        let list = Command::new(&docker.path).args([
            "image",
            "ls",
            "--all",
            "--quiet",
            "--no-trunc",
            "--filter",
            &label,
        ]);
        let image = timed(spawner, list).await?.stdout;
        ensure!(
            !image.is_empty() && !image.contains('\n'),
            "docker has not one image with {label}: {image:?}"
        );
        Ok(Self { spawner, docker, image, directory: scratch.path().to_owned() })
    }

    fn bare(&self) -> Command {
        Command::new(&self.docker.path).args([
            "run",
            "--rm",
            "--pull",
            "never",
            "--entrypoint",
            "/bin/true",
            &self.image,
        ])
    }
}

impl Part for Container<'_> {
    fn scenario(&self) -> Scenario {
        Scenario {
            id: "docker".into(),
            title: "a build of `true` / docker run".into(),
            group: "A container".into(),
            unit: Unit::Seconds,
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        vec![("docker".into(), format!("{} ({})", self.docker.version, self.docker.driver))]
    }

    fn seconds(&self) -> f64 {
        1.0
    }

    fn sample(&mut self, side: Side, _round: u32) -> BoxFuture<'_, Result<f64>> {
        Box::pin(async move {
            let command = match side {
                Side::Plain => self.bare(),
                Side::Kiln => kiln_build(self.spawner, &self.directory, "docker"),
            };
            Ok(timed(self.spawner, command).await?.seconds)
        })
    }
}
