//! Reports packages that Debian does not have before an image is made, with their positions in the build file.

use anyhow::Result;

use crate::{
    compile::PackageRequest,
    event::Sink,
    exit::Failure,
    image::{Missing, Store},
    manifest::{Diagnostic, Diagnostics, nearest},
    plan::{DebianRoot, ImageRecipe, ImageSource, requests_for},
    process::Spawner,
};

/// How many names are compared at once.
const CHUNK: usize = 2000;

/// Checks that the distribution has all packages, unless the image exists or the lists of packages are not available. `requests`
/// are those of a build file.
///
/// # Errors
/// A failure of the build file (3) for its packages, or a usage failure (2) for those of the command line.
pub(crate) async fn check(
    store: &Store,
    recipe: &ImageRecipe,
    requests: &[PackageRequest],
    spawner: &Spawner,
    sink: &mut dyn Sink,
) -> Result<()> {
    let ImageSource::Debian(DebianRoot { suite, .. }) = &recipe.source else { return Ok(()) };
    let missing = store.missing_packages(recipe, spawner, sink).await?;
    failure(&missing, suite, requests).map_or(Ok(()), |failure| Err(failure.into()))
}

fn failure(missing: &Missing, suite: &str, requests: &[PackageRequest]) -> Option<Failure> {
    let Missing { packages, known } = missing;
    let first = packages.first()?;
    let faults_of = |package| {
        let fault = move |request| fault(request, package, suite, known);
        requests_for(requests, package, suite).map(fault)
    };
    let faults: Vec<Diagnostic> = packages.iter().flat_map(|package| faults_of(package)).collect();
    if !faults.is_empty() {
        return Some(Diagnostics(faults).sorted().into());
    }
    let what = format!("--image: Debian {suite} has no package {}", packages.join(", "));
    Some(Failure::usage(what, format!("{}name one of Debian's packages", did_you_mean(first, known))))
}

fn fault(request: &PackageRequest, package: &str, suite: &str, known: &[String]) -> Diagnostic {
    let PackageRequest { name, source, at, definition } = request;
    let needs = definition.as_ref().map_or(String::new(), |definition| {
        format!("the pipeline `{definition}` needs the package `{name}`: ")
    });
    let message = match package == &**name {
        true => format!("{needs}Debian {suite} has no package `{package}`"),
        false => format!("{needs}Debian {suite} has no package `{package}`, which stands for `{name}`"),
    };
    let hint = format!(
        "{}leave it out, take another suite (--image debian:SUITE), or give a prepared root (--image DIRECTORY|TAR)",
        did_you_mean(package, known)
    );
    source.diagnostic(*at, message).hint(hint)
}

fn did_you_mean(package: &str, known: &[String]) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let best: Vec<&str> = known.chunks(CHUNK).filter_map(|chunk| nearest(package, chunk)).collect();
    nearest(package, &best).map_or(String::new(), |near| format!("did you mean `{near}`? Otherwise "))
}
