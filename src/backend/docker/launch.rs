//! From dockerd, found by the probe, to a runner.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use anyhow::Result;

use super::{ContainerInput, Docker, Files, argv, plan::ContainerRules, probe};
use crate::{
    backend::{Backend, BoxFuture, Launch, Runner, Tools, agent_file},
    event::Sink,
    home::Home,
    plan::{BuildOptions, Plan, PlatformRules},
};

/// Looks for the docker command and its daemon.
///
/// # Errors
/// A host failure if the command or the daemon is missing, or if kiln cannot build in this daemon.
pub async fn find(tools: Tools<'_>) -> Result<probe::Docker> {
    probe::find_once(tools.env, tools.home, tools.spawner).await
}

impl Backend for probe::Docker {
    fn rules(&self, _: &BuildOptions) -> Box<dyn PlatformRules> {
        Box::new(ContainerRules)
    }

    fn phase(&self) -> &'static str {
        "import"
    }

    fn runner<'l, 'a: 'l>(
        &'l self,
        launch: Launch<'l, 'a>,
        sink: &'l mut dyn Sink,
    ) -> BoxFuture<'l, Result<Box<dyn Runner + 'a>>> {
        Box::pin(async move {
            let input = ContainerInput {
                spawner: launch.spawner,
                docker: self.path.clone(),
                endpoint: self.endpoint.clone(),
                root: self.root.clone(),
                agent: agent_file::ensure(launch.home)?,
                run_dir: launch.run_dir.to_owned(),
            };
            let runner: Box<dyn Runner + 'a> = Box::new(Docker::new(input, launch.image, sink).await?);
            Ok(runner)
        })
    }

    /// The image's id and the run's directory are known only at launch.
    fn command_lines(&self, home: &Home, plan: &Plan, _: &Path) -> Result<Vec<Vec<OsString>>> {
        let (agent, run_dir) = (agent_file::path(home), home.root().join("run/RUN"));
        let files = Files {
            docker: &self.path,
            root: &self.root,
            image: "IMAGE",
            agent: &agent,
            run_dir: &run_dir,
            fd_paths: &BTreeMap::new(),
        };
        Ok(vec![argv(plan, files)])
    }

    fn describe(&self, _: &Plan) -> Vec<(&'static str, String)> {
        vec![("docker", format!("{} {}", self.path.display(), self.version))]
    }
}
