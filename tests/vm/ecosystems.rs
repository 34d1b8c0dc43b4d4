//! Seven package managers, real projects, real registries.

/// One root for all seven, made once.
pub(crate) const IMAGE: &str = "debian:bookworm+build-essential,ca-certificates,cargo-web,composer,curl,git,golang-go,maven,nodejs,npm,openjdk-17-jdk-headless,openssl,php-cli,php-mbstring,php-zip,python3,python3-pip,python3-setuptools,python3-wheel,rustc-web,unzip,zip";
