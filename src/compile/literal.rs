//! The first pass over a section: `${{name}}` without blanks becomes its value, for `package.*`, `vars.*` and, in a subpackage
//! of a `range`, `range.*`. The second pass replaces the rest.
//!
//! As in melange, it skips `uses`, `inputs`, `label`, accounts, paths, resources, checks and CPE.

use super::substitute::{self, Scope};
use crate::manifest::{
    Contents, Copyright, Dependencies, Entrypoint, Environment, Map, Needs, Package, ReleaseMonitor,
    Scriptlets, Step, Subpackage, Tags, Test, Text, Trigger, Update,
};

/// The first pass with one set of variables.
pub(crate) struct Literal<'s> {
    pub(crate) scope: &'s Scope<'s>,
    /// The commit of the build file, for packages without one.
    pub(crate) commit: &'s str,
}

impl Literal<'_> {
    pub(crate) fn text(&self, text: &Text) -> Text {
        // All texts of a file are replaced here, once for each item of a range: the bytes are counted.
        let counted = self.scope.spend(text);
        match substitute::literal(counted, self.scope) {
            Some(value) => text.with_value(value),
            None if self.scope.is_spent() => text.with_value(""),
            None => text.clone(),
        }
    }

    fn texts(&self, texts: &[Text]) -> Vec<Text> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    fn map(&self, map: &Map) -> Map {
        map.iter().map(|(key, value)| (key.clone(), self.text(value))).collect()
    }

    pub(crate) fn package(&self, package: &Package) -> Package {
        Package {
            name: self.text(&package.name),
            version: self.text(&package.version),
            description: self.text(&package.description),
            annotations: self.map(&package.annotations),
            url: self.text(&package.url),
            commit: self.commit(&package.commit),
            target_architecture: self.texts(&package.target_architecture),
            copyright: package.copyright.iter().map(|licence| self.copyright(licence)).collect(),
            dependencies: self.dependencies(&package.dependencies),
            scriptlets: package.scriptlets.as_ref().map(|scripts| self.scriptlets(scripts)),
            ..package.clone()
        }
    }

    fn commit(&self, written: &Text) -> Text {
        if written.is_empty() { Text::from(self.commit) } else { written.clone() }
    }

    fn copyright(&self, copyright: &Copyright) -> Copyright {
        Copyright {
            paths: self.texts(&copyright.paths),
            license: self.text(&copyright.license),
            license_path: self.text(&copyright.license_path),
            ..copyright.clone()
        }
    }

    fn dependencies(&self, dependencies: &Dependencies) -> Dependencies {
        let Dependencies { runtime, provides, replaces, provider_priority, replaces_priority } = dependencies;
        Dependencies {
            runtime: self.texts(runtime),
            provides: self.texts(provides),
            replaces: self.texts(replaces),
            provider_priority: self.text(provider_priority),
            replaces_priority: self.text(replaces_priority),
        }
    }

    fn scriptlets(&self, scriptlets: &Scriptlets) -> Scriptlets {
        let Scriptlets { trigger, .. } = scriptlets;
        Scriptlets {
            trigger: Trigger { script: self.text(&trigger.script), paths: self.texts(&trigger.paths) },
            pre_install: self.text(&scriptlets.pre_install),
            post_install: self.text(&scriptlets.post_install),
            pre_deinstall: self.text(&scriptlets.pre_deinstall),
            post_deinstall: self.text(&scriptlets.post_deinstall),
            pre_upgrade: self.text(&scriptlets.pre_upgrade),
            post_upgrade: self.text(&scriptlets.post_upgrade),
        }
    }

    pub(crate) fn subpackage(&self, subpackage: &Subpackage) -> Subpackage {
        Subpackage {
            condition: self.text(&subpackage.condition),
            name: self.text(&subpackage.name),
            pipeline: self.steps(&subpackage.pipeline),
            dependencies: self.dependencies(&subpackage.dependencies),
            scriptlets: subpackage.scriptlets.as_ref().map(|scripts| self.scriptlets(scripts)),
            description: self.text(&subpackage.description),
            annotations: self.map(&subpackage.annotations),
            url: self.text(&subpackage.url),
            commit: self.commit(&subpackage.commit),
            test: subpackage.test.as_ref().map(|test| self.test(test)),
            range: Text::default(),
            options: subpackage.options,
            checks: subpackage.checks.clone(),
            setcap: subpackage.setcap.clone(),
            at: subpackage.at,
        }
    }

    pub(crate) fn steps(&self, steps: &[Step]) -> Vec<Step> {
        steps.iter().map(|step| self.step(step)).collect()
    }

    fn step(&self, step: &Step) -> Step {
        Step {
            condition: self.text(&step.condition),
            name: self.text(&step.name),
            uses: step.uses.clone(),
            // An empty map counts as absent.
            with: step.with.as_ref().filter(|with| !with.is_empty()).map(|with| self.map(with)),
            runs: self.text(&step.runs),
            pipeline: self.steps(&step.pipeline),
            inputs: step.inputs.clone(),
            needs: step.needs.as_ref().map(|needs| Needs { packages: self.texts(&needs.packages) }),
            label: step.label.clone(),
            assertions: step.assertions.clone(),
            working_directory: self.text(&step.working_directory),
            environment: self.map(&step.environment),
            at: step.at,
        }
    }

    pub(crate) fn test(&self, test: &Test) -> Test {
        Test { environment: self.environment(&test.environment), pipeline: self.steps(&test.pipeline) }
    }

    pub(crate) fn environment(&self, environment: &Environment) -> Environment {
        let Environment { contents, entrypoint, .. } = environment;
        Environment {
            contents: Contents {
                build_repositories: self.texts(&contents.build_repositories),
                repositories: self.texts(&contents.repositories),
                keyring: self.texts(&contents.keyring),
                packages: self.texts(&contents.packages),
                baseimage: contents.baseimage.clone(),
            },
            entrypoint: Entrypoint {
                kind: entrypoint.kind.clone(),
                command: self.text(&entrypoint.command),
                shell_fragment: self.text(&entrypoint.shell_fragment),
                services: self.map(&entrypoint.services),
            },
            cmd: self.text(&environment.cmd),
            stop_signal: self.text(&environment.stop_signal),
            work_dir: self.text(&environment.work_dir),
            variables: self.map(&environment.variables),
            vcs_url: self.text(&environment.vcs_url),
            annotations: self.map(&environment.annotations),
            volumes: self.texts(&environment.volumes),
            accounts: environment.accounts.clone(),
            archs: environment.archs.clone(),
            paths: environment.paths.clone(),
            include: environment.include.clone(),
        }
    }

    pub(crate) fn update(&self, update: &Update) -> Update {
        let monitor = |monitor: &ReleaseMonitor| ReleaseMonitor {
            version_filter_contains: self.text(&monitor.version_filter_contains),
            version_filter_prefix: self.text(&monitor.version_filter_prefix),
            ..monitor.clone()
        };
        let tags = |tags: &Tags| Tags {
            identifier: self.text(&tags.identifier),
            tag_filter: self.text(&tags.tag_filter),
            tag_filter_prefix: self.text(&tags.tag_filter_prefix),
            tag_filter_contains: self.text(&tags.tag_filter_contains),
            ..tags.clone()
        };
        Update {
            release_monitor: update.release_monitor.as_ref().map(monitor),
            github: update.github.as_ref().map(tags),
            git: update.git.as_ref().map(tags),
            ..update.clone()
        }
    }
}
