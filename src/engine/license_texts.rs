//! Texts of licences that lie in the workspace, perhaps in a source that a step has fetched.

use anyhow::Result;
use tokio::task::JoinHandle;

use super::{agent_session::AgentSession, build::Build, workspace_file};
use crate::{
    event::{Event, WarningKind},
    exit::Failure,
    package::{
        license::{
            Depth, Detected, Difference, MOST_BYTES, MOST_FILES, WORDS, detect, differences, is_license_file,
        },
        sbom::{LicenseTexts, license_paths},
    },
};

/// A comparison of texts that runs beside the export: what differs from the build file.
pub(super) type LicenseCheck = JoinHandle<Vec<Difference>>;

impl Build<'_, '_> {
    /// The texts of all licences that the plan names by a file, after the last step.
    ///
    /// # Errors
    /// A build-file failure for a file that is missing, leads out of the workspace, or is too long; errors of the guest.
    pub(super) async fn license_texts(&self, session: &mut AgentSession) -> Result<LicenseTexts> {
        let mut texts = LicenseTexts::new();
        for path in self.engine.plan.metadata.packages.iter().flat_map(license_paths) {
            if !texts.contains_key(path) {
                texts.insert(path.to_owned(), license_text(session, path).await?);
            }
        }
        Ok(texts)
    }

    /// Begins to compare the licences of the workspace with those of the plan. `named` has the files that the plan names.
    ///
    /// # Errors
    /// Errors of the guest.
    pub(super) async fn check_licenses(
        &self,
        session: &mut AgentSession,
        named: &LicenseTexts,
    ) -> Result<LicenseCheck> {
        let mut texts: Vec<(String, String)> =
            named.iter().map(|(path, text)| (path.clone(), text.clone())).collect();
        let mut left = MOST_BYTES;
        let found = workspace_file::find(session, WORDS).await?;
        let found = found.iter().filter(|path| is_license_file(path, Depth::Shallow));
        for path in found.filter(|path| !named.contains_key(*path)).take(MOST_FILES) {
            // A file that cannot be read has no licence to compare.
            let Ok(text) = workspace_file::read(session, path).await? else { continue };
            let Some(rest) = left.checked_sub(text.len()) else { break };
            left = rest;
            texts.push((path.clone(), text));
        }
        let main = self.engine.plan.metadata.packages.first();
        let licenses = main.map(|package| package.licenses.clone()).unwrap_or_default();
        Ok(tokio::task::spawn_blocking(move || {
            let contents: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
            let compare = |((path, _), detected): (&(String, String), Vec<Detected>)| {
                differences(&licenses, path, &detected)
            };
            texts.iter().zip(detect(&contents)).flat_map(compare).collect()
        }))
    }

    /// Tells what differs. It fails no build: a comparison that has panicked has found nothing.
    pub(super) async fn report_licenses(&mut self, session: &AgentSession, check: LicenseCheck) {
        for difference in check.await.unwrap_or_default() {
            let text = session.quoted(&difference.to_string());
            self.engine.sink.emit(Event::Warning { kind: WarningKind::License, text });
        }
    }
}

async fn license_text(session: &mut AgentSession, path: &str) -> Result<String> {
    workspace_file::read(session, path).await?.map_err(|why| {
        let what = format!("license-path {path:?}: {}", session.quoted(&why));
        Failure::build_file(what, "name a text file of the workspace, relative to it").into()
    })
}
