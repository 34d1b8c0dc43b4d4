//! What the files of all packages say of each: dependencies, and what the user should know of them.

use crate::{
    event::Event,
    package::{
        dependencies::{Analysis, Declared, Generated, Merged, Options},
        facts::PackageFacts,
    },
    plan::PackageMetadata,
};

/// The result for one package.
pub(in crate::package) struct Review {
    /// What stands in `.PKGINFO`.
    pub(super) relations: Merged,
    /// What was found, before it was merged with what is declared.
    pub(super) generated: Generated,
}

/// Looks at the files of all packages. `packages` and `facts` have the same order, the main package first.
pub(in crate::package) fn review(packages: &[&PackageMetadata], facts: &[PackageFacts]) -> Vec<Review> {
    let version = packages.first().map_or("", |package| package.version.as_str());
    let analysis = Analysis::new(facts, version, None);
    let of = |(index, package): (usize, &&PackageMetadata)| {
        let declared = declared(package);
        let generated = analysis.generate(index, &declared);
        Review { relations: generated.merge(&declared), generated }
    };
    packages.iter().enumerate().map(of).collect()
}

/// What the user should know of generated dependencies.
pub(in crate::package) fn remarks(packages: &[&PackageMetadata], reviews: &[Review]) -> Vec<Event> {
    let mut remarks = Vec::new();
    for (package, review) in packages.iter().zip(reviews) {
        let notes = &review.generated.notes;
        remarks
            .extend(notes.list.iter().map(|note| Event::Note { text: format!("{}: {note}", package.name) }));
        if notes.omitted > 0 {
            remarks.push(Event::Note {
                text: format!("{}: {} more notes like these", package.name, notes.omitted),
            });
        }
    }
    remarks
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
