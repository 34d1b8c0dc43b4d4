//! The table itself. Variables and directories of the first seven are the contract of the build cache; do not change them.

use super::{Ecosystem, Lock, Scope};

/// Where the cache appears in every guest.
pub const CACHE: &str = "/var/cache/melange";

/// What most rows share.
const NOTHING: Ecosystem = Ecosystem {
    name: "",
    scope: Scope::OnRequest,
    directory: "",
    variables: &[],
    path: &[],
    files: &[],
    keeps: &[],
    junk: &[],
    rewritten: &[],
    lock: Lock::Files,
    entry: "file",
    units: &[],
    unfinished: &[],
};

/// Where no ecosystem is: repositories of `git-checkout`, each by itself, sources, and directories as wholes.
pub(super) const OTHERS: &[&str] = &["git/*/", "git/*", "*/"];

/// What `fetch` and `git-checkout` make before they give it its name.
pub(super) const OTHERS_UNFINISHED: &[&str] = &[".fetch.*", "git/*/.new.*", "git/*/objects/pack/.new.*"];

/// All of them; those of every build first.
pub const ECOSYSTEMS: &[Ecosystem] = &[
    GO, UV, PIP, COMPOSER, NPM, CARGO, MAVEN, GOCACHE, CCACHE, SCCACHE, GRADLE, YARN, PNPM, BUNDLER, CPAN, R,
    NUGET, BAZEL,
];

const GO: Ecosystem = Ecosystem {
    name: "go",
    scope: Scope::Always,
    directory: "gomodcache",
    variables: &[("GOMODCACHE", "/var/cache/melange/gomodcache")],
    // Empty files that mean something only to running processes.
    junk: &["cache/lock", "cache/download/**/*.lock", "cache/vcs/*.lock"],
    entry: "module version",
    units: &[
        "cache/download/**/@v/*.info",
        "cache/download/**/@v/*.mod",
        "cache/download/**/@v/*.zip",
        "cache/download/**/@v/*.ziphash",
        "cache/download/**/@v/*.lock",
        "cache/download/**/@v/*.partial",
        "cache/vcs/*.info",
        "cache/vcs/*.lock",
        "cache/vcs/*/",
        "**/*@*/",
    ],
    unfinished: &["cache/download/**/@v/*.tmp", "cache/download/**/@v/*.partial"],
    ..NOTHING
};

const UV: Ecosystem = Ecosystem {
    name: "uv",
    scope: Scope::Always,
    directory: "uv",
    variables: &[("UV_CACHE_DIR", "/var/cache/melange/uv")],
    junk: &["**/.lock", "**/*.lock", "builds-v0", ".tmp*"],
    rewritten: &["CACHEDIR.TAG", ".gitignore", ".git", "simple-v*", "interpreter-v*"],
    entry: "unpacked wheel",
    units: &[
        "archive-v*/*/",
        "sdists-v*/pypi/*/*/",
        "sdists-v*/index/*/*/*/",
        "sdists-v*/*/*/",
        "git-v*/db/*/",
        "git-v*/checkouts/*/*/",
    ],
    unfinished: &[".tmp*"],
    ..NOTHING
};

const PIP: Ecosystem = Ecosystem {
    name: "pip",
    scope: Scope::Always,
    directory: "pip",
    variables: &[("PIP_CACHE_DIR", "/var/cache/melange/pip")],
    junk: &["selfcheck", "**/*.lock"],
    rewritten: &["http", "http-v2"],
    lock: Lock::Rename,
    entry: "answer or built wheel",
    units: &["wheels/*/*/*/*/", "http-v2/**/*.body", "http-v2/**/*"],
    ..NOTHING
};

const COMPOSER: Ecosystem = Ecosystem {
    name: "composer",
    scope: Scope::Always,
    directory: "composer",
    variables: &[("COMPOSER_CACHE_DIR", "/var/cache/melange/composer")],
    // Metadata that is fetched again when it is old. The archives of `files` are only touched.
    rewritten: &["repo", ".htaccess"],
    lock: Lock::None,
    entry: "archive",
    units: &["vcs/*/"],
    ..NOTHING
};

const NPM: Ecosystem = Ecosystem {
    name: "npm",
    scope: Scope::Always,
    directory: "npm",
    variables: &[("npm_config_cache", "/var/cache/melange/npm")],
    // `_npx` holds programs that a later build would run.
    keeps: &["_cacache"],
    junk: &["_cacache/tmp", "_logs", "_npx", "_update-notifier-last-checked"],
    // A use of what is there is a line more.
    rewritten: &["_cacache/index-v5"],
    // Content is renamed into its place, but the index is appended to.
    lock: Lock::None,
    // What the index names by its hash goes with it.
    entry: "content by its hash",
    unfinished: &["_cacache/tmp/*"],
    ..NOTHING
};

const CARGO: Ecosystem = Ecosystem {
    name: "cargo",
    scope: Scope::Always,
    directory: "cargo",
    variables: &[("CARGO_HOME", "/var/cache/melange/cargo")],
    // Programs (`bin`), configuration and credentials belong to one build; `registry/src` is unpacked from `registry/cache`.
    keeps: &["registry/index", "registry/cache", "git/db"],
    junk: &["**/.package-cache*", "**/*.lock"],
    rewritten: &["registry/index/*/.last-updated", "registry/index/*/config.json"],
    entry: "crate",
    units: &[
        "registry/cache/*/*.crate",
        "registry/src/*/*/",
        "git/db/*/",
        "git/checkouts/*/",
        // A registry that is a repository.
        "registry/index/*/.git/",
    ],
    ..NOTHING
};

const MAVEN: Ecosystem = Ecosystem {
    name: "maven",
    scope: Scope::Always,
    directory: "m2repository",
    // No variable says where it is: the pipelines maven/* link ~/.m2/repository to it.
    junk: &["**/*.lastUpdated", "**/*.part", "**/*.tmp", ".locks"],
    rewritten: &["**/resolver-status.properties", "**/maven-metadata-*.xml"],
    lock: Lock::None,
    entry: "artifact",
    units: &["**/?"],
    unfinished: &["**/*.part", "**/*.tmp"],
    ..NOTHING
};

const GOCACHE: Ecosystem = Ecosystem {
    name: "gocache",
    directory: "gocache",
    variables: &[("GOCACHE", "/var/cache/melange/gocache")],
    rewritten: &["trim.txt", "testexpire.txt", "README"],
    lock: Lock::Rename,
    entry: "compiled package",
    ..NOTHING
};

const CCACHE: Ecosystem = Ecosystem {
    name: "ccache",
    directory: "ccache",
    // A compiler is known by its content: images give all their files the same time.
    variables: &[("CCACHE_DIR", "/var/cache/melange/ccache"), ("CCACHE_COMPILERCHECK", "content")],
    path: &["/usr/lib/ccache", "/usr/lib/ccache/bin"],
    // Its configuration could loosen what counts as a hit.
    junk: &["tmp", "lock", "ccache.conf", "**/*.lock"],
    rewritten: &["**/stats", "**/CACHEDIR.TAG"],
    lock: Lock::Rename,
    entry: "object file",
    ..NOTHING
};

const SCCACHE: Ecosystem = Ecosystem {
    name: "sccache",
    directory: "sccache",
    variables: &[("SCCACHE_DIR", "/var/cache/melange/sccache")],
    junk: &["**/*.tmp", "**/.sccachetmp*"],
    lock: Lock::Rename,
    entry: "object file",
    unfinished: &["**/*.tmp", "**/.sccachetmp*"],
    ..NOTHING
};

const GRADLE: Ecosystem = Ecosystem {
    name: "gradle",
    directory: "gradle",
    variables: &[("GRADLE_USER_HOME", "/var/cache/melange/gradle")],
    // `init.d` and `gradle.properties` would change later builds.
    keeps: &["caches", "wrapper", "native"],
    junk: &["caches/journal-1", "caches/**/*.tmp"],
    entry: "artifact",
    units: &[
        "caches/modules-2/files-2.1/*/*/*/",
        "caches/modules-2/**/*",
        "caches/*/*/",
        "wrapper/dists/*/*/",
        "native/*/",
    ],
    ..NOTHING
};

const YARN: Ecosystem = Ecosystem {
    name: "yarn",
    directory: "yarn",
    // The first is of 1.x, the second of later ones, whose cache lies in it.
    variables: &[
        ("YARN_CACHE_FOLDER", "/var/cache/melange/yarn/cache"),
        ("YARN_GLOBAL_FOLDER", "/var/cache/melange/yarn/berry"),
    ],
    junk: &["**/.tmp", "berry/telemetry.json"],
    lock: Lock::Rename,
    entry: "package",
    units: &["cache/*/*/"],
    ..NOTHING
};

const PNPM: Ecosystem = Ecosystem {
    name: "pnpm",
    directory: "pnpm",
    // pnpm 10 and before read npm's spelling, later ones their own.
    variables: &[
        ("npm_config_store_dir", "/var/cache/melange/pnpm/store"),
        ("pnpm_config_store_dir", "/var/cache/melange/pnpm/store"),
    ],
    junk: &["store/*/tmp", "store/*/projects"],
    lock: Lock::Rename,
    entry: "file by its hash",
    unfinished: &["store/*/tmp/*"],
    ..NOTHING
};

const BUNDLER: Ecosystem = Ecosystem {
    name: "bundler",
    directory: "bundler",
    variables: &[
        ("BUNDLE_USER_CACHE", "/var/cache/melange/bundler"),
        // Without it only the index is cached, not the gems.
        ("BUNDLE_GLOBAL_GEM_CACHE", "true"),
    ],
    rewritten: &["compact_index"],
    lock: Lock::None,
    entry: "gem",
    ..NOTHING
};

const CPAN: Ecosystem = Ecosystem {
    name: "cpan",
    directory: "cpan",
    variables: &[
        ("PERL_CPANM_HOME", "/var/cache/melange/cpan"),
        ("PERL_CPANM_OPT", "--save-dists /var/cache/melange/cpan/dists"),
    ],
    keeps: &["sources", "dists"],
    rewritten: &["sources"],
    lock: Lock::None,
    entry: "distribution",
    ..NOTHING
};

const R: Ecosystem = Ecosystem {
    name: "r",
    directory: "r",
    variables: &[
        ("R_USER_CACHE_DIR", "/var/cache/melange/r"),
        ("RENV_PATHS_CACHE", "/var/cache/melange/r/renv"),
    ],
    junk: &["**/*-lock"],
    entry: "package",
    // Version, platform, package, version.
    units: &["renv/*/*/*/*/*/"],
    ..NOTHING
};

const NUGET: Ecosystem = Ecosystem {
    name: "nuget",
    directory: "nuget",
    variables: &[
        ("NUGET_PACKAGES", "/var/cache/melange/nuget/packages"),
        ("NUGET_HTTP_CACHE_PATH", "/var/cache/melange/nuget/http"),
    ],
    rewritten: &["http"],
    lock: Lock::Rename,
    entry: "package",
    units: &["packages/*/*/"],
    ..NOTHING
};

const BAZEL: Ecosystem = Ecosystem {
    name: "bazel",
    directory: "bazel",
    variables: &[("BAZELISK_HOME", "/var/cache/melange/bazel/bazelisk")],
    files: &[(
        "/etc/bazel.bazelrc",
        "common --repository_cache=/var/cache/melange/bazel/repository\n\
         common --disk_cache=/var/cache/melange/bazel/disk\n",
    )],
    junk: &["disk/tmp", "repository/tmp"],
    lock: Lock::Rename,
    entry: "file by its hash",
    units: &["repository/content_addressable/*/*/", "bazelisk/downloads/*/*/"],
    unfinished: &["disk/tmp/*", "repository/tmp/*"],
    ..NOTHING
};
