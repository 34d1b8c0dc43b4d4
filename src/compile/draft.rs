//! A build file between its passes: the result of the literal pass, of which the strict pass makes the [`Recipe`].

use std::collections::{HashMap, HashSet};

use super::{
    Options, PackageRequest, PipelineSource, Recipe, Subpackage, Test, check, environment,
    faults::Faults,
    literal::Literal,
    shell,
    substitute::Scope,
    uses::{self, Expander},
    variables,
};
use crate::manifest::{self, Diagnostics, Environment, Manifest, Map, Source, Text};

/// A file after its first pass: ranges are expanded, steps are as written.
pub(super) struct Draft {
    pub(super) package: manifest::Package,
    environment: Environment,
    pipeline: Vec<manifest::Step>,
    subpackages: Vec<manifest::Subpackage>,
    test: Option<manifest::Test>,
    update: manifest::Update,
}

impl Draft {
    pub(super) fn new(
        manifest: &Manifest,
        options: &Options<'_>,
        literal: &Literal<'_>,
        faults: &mut Faults,
    ) -> Self {
        let mut package = literal.package(&manifest.package);
        package.resources.get_or_insert_default();
        let mut environment = literal.environment(&manifest.environment);
        build_options(&mut environment, manifest, options, literal);
        environment::add_accounts(&mut environment.accounts);
        environment::add_variables(&mut environment, &options.env, &options.cache_also);
        let mut pipeline = literal.steps(&manifest.pipeline);
        pipeline.iter_mut().for_each(propagate);
        let mut test = manifest.test.as_ref().map(|test| literal.test(test));
        if let Some(test) = &mut test {
            environment::add_accounts(&mut test.environment.accounts);
        }
        // A subpackage without a commit has that of its package.
        let of_package = Literal { scope: literal.scope, commit: &package.commit };
        Self {
            subpackages: subpackages(manifest, &of_package, faults),
            update: literal.update(&manifest.update),
            package,
            environment,
            pipeline,
            test,
        }
    }

    /// The strict pass over texts with variables of `package.*` and `vars.*` only.
    pub(super) fn strict(&mut self, source: &Source, scope: &Scope<'_>, faults: &mut Faults) {
        let tests = self.subpackages.iter_mut().filter_map(|sub| sub.test.as_mut()).chain(self.test.as_mut());
        for environment in tests.map(|test| &mut test.environment).chain([&mut self.environment]) {
            faults.strict_all(source, &mut environment.contents.packages, scope);
        }
        let others = self.subpackages.iter_mut().map(|sub| &mut sub.dependencies);
        for dependencies in others.chain([&mut self.package.dependencies]) {
            faults.strict_all(source, &mut dependencies.runtime, scope);
            faults.strict_all(source, &mut dependencies.provides, scope);
            faults.strict_all(source, &mut dependencies.replaces, scope);
            dependencies.provider_priority = faults.strict(source, &dependencies.provider_priority, scope);
            dependencies.replaces_priority = faults.strict(source, &dependencies.replaces_priority, scope);
        }
    }

    /// melange's rules beyond types, and options that it ignores silently.
    pub(super) fn check(&self, manifest: &Manifest, options: &Options<'_>, faults: &mut Faults) {
        let source = &manifest.source;
        check::environment(&self.environment, source, faults);
        check::all(&self.package, &self.pipeline, &self.subpackages, source, faults);
        let tests = self.subpackages.iter().filter_map(|sub| sub.test.as_ref()).chain(&self.test);
        check::tests(tests, source, faults);
        check::build_options(&options.build_options, manifest, faults);
    }

    /// The strict pass over steps makes the recipe.
    pub(super) fn finish(
        mut self,
        manifest: &Manifest,
        options: &Options<'_>,
        first: &Scope<'_>,
        vars: Map,
        definitions: &dyn PipelineSource,
        mut faults: Faults,
    ) -> Result<Recipe, Diagnostics> {
        let source = &manifest.source;
        let names = self.subpackages.iter().map(|sub| sub.name.to_string()).collect::<Vec<_>>();
        let scope = variables::second_pass(first, &self.package, names.into_iter(), manifest, options);
        let mut expander = Expander::new(definitions, &mut faults);
        let steps = expander.pipeline(&self.pipeline, source, &scope);
        let subpackages = self
            .subpackages
            .into_iter()
            .map(|sub| finish_subpackage(sub, source, &scope, &mut expander))
            .collect();
        let packages = &mut self.environment.contents.packages;
        let own = packages.iter().map(|name| PackageRequest {
            name: name.clone(),
            source: source.clone(),
            at: name.position,
            definition: None,
        });
        let requests: Vec<PackageRequest> = own.chain(expander.needs.drain(..)).collect();
        *packages = requests.iter().map(|request| request.name.clone()).collect();
        let test = self.test.map(|test| finish_test(test, &self.package.name, source, &scope, &mut expander));
        let fragments = expander.fragments;
        shell::check(&fragments, options.opinion, &mut faults);
        let recipe = Recipe {
            arch: options.arch,
            package: self.package,
            environment: self.environment,
            requests,
            appended_packages: options.packages.clone(),
            cache_also: options.cache_also.clone(),
            capabilities: manifest.capabilities.clone(),
            steps,
            subpackages,
            update: self.update,
            vars,
            var_transforms: manifest.var_transforms.clone(),
            options: manifest.options.clone(),
            test,
            warnings: Diagnostics(faults.warnings).sorted().0,
        };
        if faults.faults.is_empty() { Ok(recipe) } else { Err(Diagnostics(faults.faults).sorted()) }
    }
}

/// Adds the packages of the enabled build options to the guest's, then removes theirs.
fn build_options(
    environment: &mut Environment,
    manifest: &Manifest,
    options: &Options<'_>,
    literal: &Literal<'_>,
) {
    let packages = &mut environment.contents.packages;
    for name in &options.build_options {
        if let Some(option) = manifest.options.0.get(name.as_str()) {
            let list = &option.environment.contents.packages;
            packages.extend(list.add.iter().map(|text| literal.text(text)));
            let remove: HashSet<Text> = list.remove.iter().map(|text| literal.text(text)).collect();
            packages.retain(|package| !remove.contains(package));
        }
    }
}

/// All subpackages after their first pass, one copy for each item of a range, sorted by key.
fn subpackages(manifest: &Manifest, literal: &Literal<'_>, faults: &mut Faults) -> Vec<manifest::Subpackage> {
    let tables: HashMap<&str, &Map> =
        manifest.data.iter().map(|table| (table.name.as_str(), &table.items)).collect();
    let mut all = Vec::with_capacity(manifest.subpackages.len());
    for written in &manifest.subpackages {
        if written.range.is_empty() {
            all.push(literal.subpackage(written));
            continue;
        }
        let Some(items) = tables.get(written.range.as_str()) else {
            if faults.is_full() {
                continue;
            }
            let message = format!("no table of `data` is called `{}`", written.range);
            let fault = manifest.source.diagnostic(written.range.position, message);
            let names: Vec<&str> = tables.keys().copied().collect();
            faults.push(match manifest::nearest(&written.range, &names) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault,
            });
            continue;
        };
        for (key, value) in *items {
            if literal.scope.is_spent() {
                break;
            }
            let mut scope = Scope::over(literal.scope);
            scope.set("range.key", key.as_str());
            scope.set("range.value", value.as_str());
            all.push(Literal { scope: &scope, commit: literal.commit }.subpackage(written));
        }
    }
    for subpackage in &mut all {
        subpackage.pipeline.iter_mut().for_each(propagate);
        // As in melange, a test without steps is not changed.
        if let Some(test) = subpackage.test.as_mut().filter(|test| !test.pipeline.is_empty()) {
            environment::add_accounts(&mut test.environment.accounts);
        }
    }
    all
}

/// Nested steps inherit directory and variables, as melange prints them.
pub(super) fn propagate(step: &mut manifest::Step) {
    for child in &mut step.pipeline {
        if child.working_directory.is_empty() {
            child.working_directory = step.working_directory.clone();
        }
        for (name, value) in &step.environment {
            child.environment.entry(name.clone()).or_insert_with(|| value.clone());
        }
        propagate(child);
    }
}

fn finish_subpackage(
    written: manifest::Subpackage,
    source: &Source,
    common: &Scope<'_>,
    expander: &mut Expander<'_>,
) -> Subpackage {
    let scope = variables::subpackage(common, &written.name);
    let condition = uses::decide(&written.condition, source, &scope, expander.faults);
    let steps = expander.pipeline(&written.pipeline, source, &scope);
    let test = written.test.map(|test| finish_test(test, &written.name, source, &scope, expander));
    Subpackage {
        condition,
        name: written.name,
        steps,
        dependencies: written.dependencies,
        options: written.options,
        scriptlets: written.scriptlets,
        description: written.description,
        annotations: written.annotations,
        url: written.url,
        commit: written.commit,
        checks: written.checks,
        test,
    }
}

/// A test's guest has the package itself and the packages that the steps need, sorted, each once.
fn finish_test(
    written: manifest::Test,
    package: &Text,
    source: &Source,
    scope: &Scope<'_>,
    expander: &mut Expander<'_>,
) -> Test {
    let build_needs = std::mem::take(&mut expander.needs);
    let steps = expander.pipeline(&written.pipeline, source, scope);
    let mut environment = written.environment;
    let packages = &mut environment.contents.packages;
    packages.extend(expander.needs.drain(..).map(|request| request.name));
    packages.push(package.clone());
    packages.sort();
    packages.dedup();
    expander.needs = build_needs;
    Test { environment, steps }
}
