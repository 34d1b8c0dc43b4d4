//! pnpm: files of packages by their hash.

use super::model::{Ecosystem, Lock, NOTHING};

pub(super) const PNPM: Ecosystem = Ecosystem {
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
