//! What is asked for.

use std::time::Duration;

use anyhow::Result;

use super::{Context, Leased, Resolved, injected, lease, prepare};
use crate::{compile::Recipe, env::Env, event::Sink, home::Home, plan::BuildOptions, process::Spawner};

/// A recipe, and how it is to be built.
pub(crate) struct Request {
    pub(crate) recipe: Recipe,
    pub(crate) options: BuildOptions,
    /// `--cache-wait`.
    pub(crate) cache_wait: Duration,
}

impl Request {
    /// Loads what is injected into the guest, and takes the lease of the cache. All that can be wrong is found before
    /// others are waited for.
    ///
    /// # Errors
    /// For secrets and certificates that cannot be read, a cache that cannot be used or had in time, a signal.
    pub(crate) async fn lease(mut self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<Leased> {
        let mut interrupts = context.interrupts.clone();
        let injected =
            injected::load(&self.options.host_settings, context.env, sink, &mut interrupts).await?;
        let lease = lease::acquire(&mut self, context, sink).await?;
        Ok(Leased { request: self, injected, lease })
    }

    /// The plan alone: nothing is taken, made or started.
    ///
    /// # Errors
    /// For what this host or the build file cannot do.
    pub(crate) async fn resolve(
        self,
        env: &Env,
        home: &Home,
        spawner: &Spawner,
        sink: &mut dyn Sink,
    ) -> Result<Resolved> {
        prepare::resolve(&self, env, home, spawner, sink).await
    }
}
