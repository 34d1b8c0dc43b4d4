//! All tools. Variables and directories of the first seven are the contract of the build cache; do not change them.

use std::path::Path;

use super::{
    bazel::BAZEL,
    bundler::BUNDLER,
    cargo::CARGO,
    ccache::CCACHE,
    composer::COMPOSER,
    cpan::CPAN,
    go::{GO, GOCACHE},
    gradle::GRADLE,
    maven::MAVEN,
    model::{Ecosystem, Scope},
    npm::NPM,
    nuget::NUGET,
    pip::PIP,
    pnpm::PNPM,
    r::R,
    sccache::SCCACHE,
    uv::UV,
    yarn::YARN,
};

/// Where the cache appears in every guest.
pub const CACHE: &str = "/var/cache/melange";

/// All of them; those of every build first.
pub const ECOSYSTEMS: &[Ecosystem] = &[
    GO, UV, PIP, COMPOSER, NPM, CARGO, MAVEN, GOCACHE, CCACHE, SCCACHE, GRADLE, YARN, PNPM, BUNDLER, CPAN, R,
    NUGET, BAZEL,
];

/// The ecosystem whose directory holds `path` (relative to the cache), and the rest of the path.
///
/// None for what the table does not know: a file of `fetch`, a directory that a step made for itself, or a cache that is
/// one tool's own, such as a host's `GOMODCACHE`.
pub fn of(path: &Path) -> Option<(&'static Ecosystem, &Path)> {
    ECOSYSTEMS.iter().find_map(|ecosystem| Some((ecosystem, path.strip_prefix(ecosystem.directory).ok()?)))
}

/// The ecosystem of that name.
pub fn named(name: &str) -> Option<&'static Ecosystem> {
    ECOSYSTEMS.iter().find(|ecosystem| ecosystem.name == name)
}

/// Those that every build has.
pub fn always() -> impl Iterator<Item = &'static Ecosystem> {
    ECOSYSTEMS.iter().filter(|ecosystem| ecosystem.scope == Scope::Always)
}

/// Those that `--cache-also` takes.
pub fn on_request() -> impl Iterator<Item = &'static Ecosystem> {
    ECOSYSTEMS.iter().filter(|ecosystem| ecosystem.scope == Scope::OnRequest)
}
