//! How a store of images reaches repositories: choosing packages and composing roots, in threads of their own.

use std::{fs::File, path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use super::{
    care::{self, PackageUsage},
    compose,
    downloads::Downloads,
    fetch,
    network::{Logins, Network},
    progress::Progress,
    resolve::{self, ApkRequest},
};
use crate::{env::Env, event::Sink, exit::Failure, image::erofs, plan::ApkRoot};

/// How a store of images reaches repositories.
#[derive(Debug, Clone)]
pub(in crate::image) struct Access {
    /// The directory of packages and indexes.
    pub(in crate::image) cache: PathBuf,
    /// Whether only what is there is used.
    pub(in crate::image) offline: bool,
    env: Env,
    logins: Logins,
}

impl Access {
    pub(in crate::image) fn new(cache: PathBuf, env: &Env) -> Self {
        Self { cache, offline: false, env: env.clone(), logins: Logins::default() }
    }

    /// What the cache of packages holds.
    pub(in crate::image) fn usage(&self) -> Result<PackageUsage> {
        care::usage(&self.cache).with_context(|| format!("read {}", self.cache.display()))
    }

    /// Removes what was not used for so long; `None` if a build uses it now.
    pub(in crate::image) fn prune(&self, unused_for: Duration) -> Result<Option<PackageUsage>> {
        care::prune(&self.cache, unused_for).with_context(|| format!("prune {}", self.cache.display()))
    }

    /// How much of a root's packages is to be fetched.
    pub(in crate::image) fn downloads(&self, root: &ApkRoot) -> Downloads {
        Downloads::of(root, &self.cache)
    }

    fn network(&self) -> Result<Network, Failure> {
        Network::of(&self.env, &self.logins, self.offline)
    }

    /// Chooses the packages of a root from apk's repositories. Nothing but indexes and keys is fetched.
    ///
    /// # Errors
    /// A host failure for a repository or key that cannot be had or trusted, and for packages that cannot be chosen.
    pub(in crate::image) async fn choose(&self, request: ApkRequest, sink: &mut dyn Sink) -> Result<ApkRoot> {
        let (cache, network) = (self.cache.clone(), self.network()?);
        in_thread(sink, move |progress| resolve::resolve(&request, &network, &cache, progress)).await
    }

    /// Composes a root of packages, which are fetched if they are missing, and writes it to the empty file `image`.
    pub(in crate::image) async fn compose(
        &self,
        root: &ApkRoot,
        arch: &str,
        image: &File,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let (cache, network) = (self.cache.clone(), self.network()?);
        let (root, arch) = (root.clone(), arch.to_owned());
        let image = image.try_clone().context("duplicate a descriptor")?;
        in_thread(sink, move |progress| {
            let Downloads { missing, missing_bytes, .. } = Downloads::of(&root, &cache);
            if missing > 0 {
                progress.plan(missing, missing_bytes);
            }
            let packages = fetch::packages(&root, &arch, &network, &cache, progress)?;
            let composed = compose::compose(&root, &arch, packages)?;
            if !composed.has_shell {
                return Err(Failure::host(
                    "the root of these packages has no /bin/sh, which the steps of a build need",
                    "Add a package with a shell: --package-append busybox, or environment.contents.packages.",
                ));
            }
            erofs::write(&composed.tree, &composed.sources, &image).map_err(|error| {
                let way_out = "See that the disk of KILN_HOME has room for it.";
                Failure::host(format!("the image cannot be written: {error:#}"), way_out)
            })
        })
        .await
    }
}

/// Does work with downloads in a thread of its own, not the runtime's: an interrupted kiln does not wait for it.
async fn in_thread<T: Send + 'static>(
    sink: &mut dyn Sink,
    work: impl FnOnce(&Progress) -> Result<T, Failure> + Send + 'static,
) -> Result<T> {
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Without a receiver nothing waits for the result.
        done.send(work(&Progress::new(sender)))
    });
    while let Some(event) = told.recv().await {
        sink.emit(event);
    }
    Ok(result.await.context("the thread of downloads has ended")??)
}
