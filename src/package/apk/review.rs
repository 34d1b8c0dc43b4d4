//! What the files of all packages say of each: findings of linters, dependencies, and what the user should know of them.

use crate::{
    event::{Event, WarningKind},
    exit::Failure,
    package::{
        dependencies::{Analysis, Declared, Generated, LibraryVersions, Merged, Options},
        facts::PackageFacts,
        lint::{self, Finding, Settings, Tests},
    },
    plan::{PackageMetadata, PackagingOptions},
};

/// The result for one package.
pub(super) struct Review {
    /// What stands in `.PKGINFO`.
    pub(super) relations: Merged,
    /// What was found, before it was merged with what is declared.
    pub(super) generated: Generated,
}

/// What the linters say of one package.
pub(super) struct Linted {
    /// The findings, in the order of the linters.
    pub(super) findings: Vec<Finding>,
    /// What the user should know.
    remarks: Vec<Event>,
}

/// Runs the linters over all packages. `packages` and `facts` have the same order. A linter that one package disables only warns of
/// those after it, too: melange does not fail a build by it.
pub(super) fn lint(
    packages: &[&PackageMetadata],
    facts: &[PackageFacts],
    options: &PackagingOptions,
) -> Result<Vec<Linted>, Failure> {
    let settings = Settings::new(Some(&options.lint_require), Some(&options.lint_warn))?;
    let mut all_disabled: Vec<String> = Vec::new();
    let of = |(package, facts): (&&PackageMetadata, &PackageFacts)| {
        let (_, unknown) = settings.without(&package.disabled_checks);
        all_disabled.extend(package.disabled_checks.iter().cloned());
        let (settings, _) = settings.without(&all_disabled);
        let uses = package.test_uses;
        let tests = Tests { is_known: true, has_ldd_check: uses.ldd_check, has_pkgconf: uses.pkgconf };
        let findings = lint::lint(facts, tests, &settings);
        let unknown =
            unknown.iter().map(|name| warning(format!("{}: checks.disabled: {name}", package.name)));
        let warned = findings.iter().filter(|finding| !finding.is_required);
        let warned =
            warned.map(|finding| warning(format!("{}: {}", package.name, finding.log_lines().join("\n"))));
        Linted { remarks: unknown.chain(warned).collect(), findings }
    };
    Ok(packages.iter().zip(facts).map(of).collect())
}

/// The failure of required linters in any of the packages.
pub(super) fn failure(linted: &[Linted]) -> Option<Failure> {
    let findings: Vec<Finding> = linted.iter().flat_map(|linted| linted.findings.iter().cloned()).collect();
    lint::failure(&findings)
}

/// Finds the dependencies of all packages. `packages` and `facts` have the same order, the main package first.
pub(super) fn review(
    packages: &[&PackageMetadata],
    facts: &[PackageFacts],
    library_versions: Option<&LibraryVersions>,
) -> Vec<Review> {
    let version = packages.first().map_or("", |package| package.version.as_str());
    let analysis = Analysis::new(facts, version, library_versions);
    let of = |(index, package): (usize, &&PackageMetadata)| {
        let declared = declared(package);
        let generated = analysis.generate(index, &declared);
        Review { relations: generated.merge(&declared), generated }
    };
    packages.iter().enumerate().map(of).collect()
}

/// What the user should know of the files of all packages.
pub(super) fn remarks(packages: &[&PackageMetadata], linted: Vec<Linted>, reviews: &[Review]) -> Vec<Event> {
    let mut remarks: Vec<Event> = linted.into_iter().flat_map(|linted| linted.remarks).collect();
    for (package, review) in packages.iter().zip(reviews) {
        let notes = &review.generated.notes;
        let name = &package.name;
        remarks.extend(notes.list.iter().map(|note| Event::Note { text: format!("{name}: {note}") }));
        if notes.omitted > 0 {
            remarks.push(Event::Note { text: format!("{name}: {} more notes like these", notes.omitted) });
        }
    }
    remarks
}

fn warning(text: String) -> Event {
    Event::Warning { kind: WarningKind::Lint, text }
}

fn declared(package: &PackageMetadata) -> Declared {
    let options = package.options;
    Declared {
        runtime: package.declared.runtime.clone(),
        provides: package.declared.provides.clone(),
        options: Options {
            no_commands: options.no_commands,
            no_depends: options.no_depends,
            no_provides: options.no_provides,
            no_versioned_shlib_deps: options.no_versioned_shlib_deps,
        },
    }
}
