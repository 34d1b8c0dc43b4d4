//! What the store knows of apk's repositories: the choice of packages, and the packages that were fetched.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::{
    apk::{ApkRequest, Downloads, PackageUsage},
    store::Store,
};
use crate::{
    event::Sink,
    plan::{ApkRoot, ImageRecipe, ImageSource as Source},
};

impl Store {
    /// The same store, with another directory for packages of apk's repositories, and without a network for them if it is
    /// `offline`.
    #[must_use]
    pub fn with_repositories(mut self, cache: Option<&Path>, offline: bool) -> Self {
        if let Some(cache) = cache {
            self.apk.cache = cache.into();
        }
        self.apk.offline = offline;
        self
    }

    /// Chooses the packages of a root from apk's repositories. Nothing but indexes and keys is fetched.
    ///
    /// # Errors
    /// A host failure for a repository or key that cannot be had or trusted, and for packages that cannot be chosen.
    pub async fn choose(&self, request: ApkRequest, sink: &mut dyn Sink) -> Result<ApkRoot> {
        self.apk.choose(request, sink).await
    }

    /// How much of a root's packages is to be fetched; `None` for a root of another source.
    pub fn downloads(&self, recipe: &ImageRecipe) -> Result<Option<Downloads>> {
        let Source::Apk(root) = &recipe.source else { return Ok(None) };
        Ok(Some(match self.find(recipe)? {
            Some(_) => Downloads::of_image(root),
            None => self.apk.downloads(root),
        }))
    }

    /// What the cache of apk's packages holds.
    pub fn packages(&self) -> Result<PackageUsage> {
        self.apk.usage()
    }

    /// Removes apk's packages that were not used for so long; `None` if a build uses the cache now.
    pub fn prune_packages(&self, unused_for: Duration) -> Result<Option<PackageUsage>> {
        self.apk.prune(unused_for)
    }
}
