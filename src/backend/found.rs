//! A backend that was found on the host, and what it makes a runner from.

use std::{ffi::OsString, path::Path};

use anyhow::Result;

use super::{BoxFuture, Runner};
use crate::{
    cache::Lease,
    env::Env,
    event::Sink,
    home::Home,
    image::{Image, Store},
    logfile::LogFile,
    plan::{BuildOptions, Plan, PlatformRules},
    process::Spawner,
};

/// The tools for a look at the host.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The environment.
    pub env: &'a Env,
    /// kiln's directory.
    pub home: &'a Home,
    /// Starts programs.
    pub spawner: &'a Spawner,
}

/// A backend that was found on this host.
pub trait Backend {
    /// Its part of the plan.
    fn rules(&self, options: &BuildOptions) -> Box<dyn PlatformRules>;

    /// Looks for programs that only this plan needs, and adds notes to the plan. Most backends need none.
    ///
    /// # Errors
    /// A failure of the host or of usage for a plan that cannot run here.
    fn complete<'a>(
        &'a mut self,
        _tools: Tools<'a>,
        _plan: &'a mut Plan,
        _sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// The phase of the build in which [`Backend::runner`] spends its time, as the summary calls it.
    fn phase(&self) -> &'static str;

    /// Makes the runner.
    ///
    /// # Errors
    /// When this host lacks something that the runner needs.
    fn runner<'l, 'a: 'l>(
        &'l self,
        launch: Launch<'l, 'a>,
        sink: &'l mut dyn Sink,
    ) -> BoxFuture<'l, Result<Box<dyn Runner + 'a>>>;

    /// The command lines that a build of this plan starts, each with its program first. `root` is the image. Paths that exist only
    /// during a build have a placeholder.
    ///
    /// # Errors
    /// When one of their paths cannot be determined.
    fn command_lines(&self, home: &Home, plan: &Plan, root: &Path) -> Result<Vec<Vec<OsString>>>;

    /// Lines of `kiln plan`: a word of at most 12 characters, and a text.
    fn describe(&self, plan: &Plan) -> Vec<(&'static str, String)>;
}

/// The input of a runner.
pub struct Launch<'l, 'a> {
    /// The environment.
    pub env: &'l Env,
    /// kiln's directory.
    pub home: &'l Home,
    /// Starts processes.
    pub spawner: &'a Spawner,
    /// The run's own directory.
    pub run_dir: &'l Path,
    /// The plan.
    pub plan: &'l Plan,
    /// The store of images.
    pub store: &'l Store,
    /// The image of this plan.
    pub image: &'l Image,
    /// The lease of the cache: processes that use the directory hold it, too.
    pub lease: Option<&'l Lease>,
    /// Opens the log file of the console, if there is one.
    pub console_log: &'l dyn Fn(&mut dyn Sink) -> Option<LogFile>,
}
