//! All tools. Variables and directories of the first seven are the contract of the build cache; do not change them.

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
    model::Ecosystem,
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

/// Where no ecosystem is: repositories of `git-checkout`, each by itself, sources, and directories as wholes.
pub(super) const OTHERS: &[&str] = &["git/*/", "git/*", "*/"];

/// What `fetch` and `git-checkout` make before they give it its name.
pub(super) const OTHERS_UNFINISHED: &[&str] = &[".fetch.*", "git/*/.new.*", "git/*/objects/pack/.new.*"];

/// All of them; those of every build first.
pub const ECOSYSTEMS: &[Ecosystem] = &[
    GO, UV, PIP, COMPOSER, NPM, CARGO, MAVEN, GOCACHE, CCACHE, SCCACHE, GRADLE, YARN, PNPM, BUNDLER, CPAN, R,
    NUGET, BAZEL,
];
