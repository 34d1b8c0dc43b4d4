//! The recipe of a package's test: a guest of its own, in which the package is installed, and no package to make.

use super::{
    environment,
    recipe::{PackageRequest, Recipe, Test},
};
use crate::manifest::{Package, Source, Text};

/// The package that the test of the main package installs: `NAME` or `NAME=VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestedPackage {
    /// The text, as apk writes a constraint.
    pub constraint: String,
}

impl Recipe {
    /// A recipe for each package with a test that has steps: the main package, then the subpackages whose condition holds. Each has the
    /// tested package's name. `source` is the build file; `tested` stands for the main package in its guest.
    ///
    /// As in melange, repositories and packages are those of the test alone, and the guest of a subpackage's test has no other package of
    /// the build unless one depends on it.
    pub fn tests(&self, source: &Source, tested: Option<&TestedPackage>) -> Vec<Recipe> {
        let main = [(&self.package.name, &self.test, tested)].into_iter();
        let others = self.subpackages.iter().filter(|sub| sub.condition.holds());
        let all = main.chain(others.map(|sub| (&sub.name, &sub.test, None)));
        all.filter_map(|(name, test, tested)| {
            let test = test.as_ref().filter(|test| !test.steps.is_empty())?;
            Some(self.for_test(name, test, source, tested))
        })
        .collect()
    }

    fn for_test(&self, name: &Text, test: &Test, source: &Source, tested: Option<&TestedPackage>) -> Recipe {
        let mut environment = test.environment.clone();
        environment::add_variables(&mut environment, &[], &self.cache_also);
        let packages = &mut environment.contents.packages;
        if let Some(tested) = tested {
            packages.iter_mut().filter(|package| *package == name).for_each(|package| {
                *package = Text::from(tested.constraint.as_str());
            });
        }
        let request = |name: &Text| PackageRequest {
            name: name.clone(),
            source: source.clone(),
            at: name.position,
            definition: None,
        };
        let requests = packages.iter().map(request).collect();
        let package = Package {
            name: name.clone(),
            resources: self.package.test_resources.clone().or_else(|| self.package.resources.clone()),
            ..self.package.clone()
        };
        Recipe {
            package,
            environment,
            requests,
            steps: test.steps.clone(),
            subpackages: Vec::new(),
            test: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        compile::{Arch, Options, compile},
        manifest,
        pipelines::Library,
    };

    const FILE: &str = "
package:
  name: hello
  version: '1.2'
  epoch: 3
  resources: {memory: 1Gi}
  test-resources: {memory: 2Gi}
environment:
  contents: {packages: [gcc], repositories: [./of-the-build]}
  environment: {OF_THE_BUILD: yes}
pipeline: [{runs: make}]
subpackages:
  - name: hello-dev
    test:
      environment: {contents: {packages: [pkgconf]}}
      pipeline: [{runs: pkgconf hello}]
  - name: hello-doc
  - name: hello-off
    if: ${{build.arch}} == 'aarch64'
    test: {pipeline: [{runs: 'false'}]}
test:
  environment:
    contents: {packages: [busybox], repositories: [./of-the-test]}
    environment: {OF_THE_TEST: yes}
  pipeline:
    - runs: hello --version
";

    fn tests(tested: Option<&str>) -> Vec<Recipe> {
        let manifest = manifest::parse(FILE, Path::new("hello.yaml")).expect("it is valid");
        let recipe = compile(&manifest, &Options::new(Arch::X86_64), &Library::new([])).expect("it compiles");
        let tested = tested.map(|constraint| TestedPackage { constraint: constraint.into() });
        recipe.tests(&manifest.source, tested.as_ref())
    }

    fn packages(recipe: &Recipe) -> Vec<&str> {
        recipe.requests.iter().map(|request| request.name.as_str()).collect()
    }

    #[test]
    fn each_package_with_a_test_has_a_guest_of_its_own() {
        let tests = tests(None);
        let names: Vec<&str> = tests.iter().map(|test| test.package.name.as_str()).collect();
        assert_eq!(names, ["hello", "hello-dev"]);
        assert_eq!(packages(&tests[0]), ["busybox", "hello"]);
        assert_eq!(packages(&tests[1]), ["hello-dev", "pkgconf"]);
        let scripts = |test: &Recipe| {
            test.package_steps()[0].runs.iter().map(|run| run.script.clone()).collect::<String>()
        };
        assert!(
            scripts(&tests[0]).contains("hello --version") && scripts(&tests[1]).contains("pkgconf hello")
        );
        assert_eq!(tests[0].package_steps().len(), 1, "no package is made of the subpackages");
    }

    #[test]
    fn nothing_of_the_builds_guest_is_in_a_tests_guest_but_the_usual_variables() {
        let test = &tests(None)[0];
        let variable = |name: &str| test.environment.variables.get(name).map(Text::as_str);
        assert_eq!((variable("OF_THE_TEST"), variable("OF_THE_BUILD")), (Some("yes"), None));
        assert_eq!(variable("HOME"), Some("/home/build"));
        let repositories: Vec<&str> =
            test.environment.contents.repositories.iter().map(Text::as_str).collect();
        assert_eq!(repositories, ["./of-the-test"]);
        assert_eq!(test.package.resources.as_ref().expect("some").memory.as_str(), "2Gi");
        assert!(test.environment.accounts.users.iter().any(|user| user.username == "build"));
    }

    #[test]
    fn the_named_package_stands_for_the_main_package_only() {
        let tests = tests(Some("hello=1.1-r0"));
        assert_eq!(packages(&tests[0]), ["busybox", "hello=1.1-r0"]);
        assert_eq!(packages(&tests[1]), ["hello-dev", "pkgconf"]);
    }
}
