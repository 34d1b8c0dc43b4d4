//! cpanm: distributions of CPAN.

use super::model::{Ecosystem, Lock, NOTHING};

pub(super) const CPAN: Ecosystem = Ecosystem {
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
