//! NuGet: packages, and answers of its server.

use super::model::{Ecosystem, Lock, NOTHING};

pub(super) const NUGET: Ecosystem = Ecosystem {
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
