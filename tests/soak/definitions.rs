//! Definitions of a distribution, unmodified, built without a network: their sources come from the cache, by their hashes.
//!
//! `KILN_SOAK_DEFINITIONS=DIR cargo soak definitions --ignored` builds those of a directory: `NAME.yaml` and perhaps `NAME/` (the
//! patches) for each of them, `pipelines/` of the distribution, and `cache/` with `sha256:HASH` for each source. Debian has many of
//! Wolfi's sources unchanged, as `orig` tarballs: their hash is `expected-sha256` of the definition.
//!
//! ```sh
//! apt-get source --download-only lzo2
//! mv lzo2_2.10.orig.tar.gz "cache/sha256:$(sha256sum < lzo2_2.10.orig.tar.gz | cut -d' ' -f1)"
//! ```

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    place::{Place, build_files},
    sampling::Sampler,
};

/// One root for all of them: an image each would take longer than the builds.
const IMAGE: &str = "debian:bookworm+autoconf,automake,bash,build-essential,busybox,ca-certificates,cmake,libtool,linux-libc-dev,m4,\
                     ninja-build,patch,zlib1g-dev";

/// How many are built where not all are.
const FEW: usize = 2;

/// What was built: the names of the packages; or what was said.
fn build(directory: &Path, file: &Path) -> Result<Vec<String>, String> {
    let place = Place::new();
    let own = file.with_extension("");
    let sources =
        if own.is_dir() { vec!["--source-dir".into(), own] } else { vec!["--empty-workspace".into()] };
    let output = place
        .kiln()
        .args([
            "build",
            "--progress",
            "plain",
            "--runner",
            "bubblewrap",
            "--network",
            "off",
            "--image",
            IMAGE,
        ])
        .args(["--cache-mode", "ro", "--out-dir", "packages", "--cache-dir"])
        .arg(directory.join("cache"))
        .arg("--pipeline-dir")
        .arg(directory.join("pipelines"))
        .args(sources)
        .arg(file)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let packages = fs::read_dir(place.project().join("packages/x86_64")).unwrap();
    let names = packages.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".apk")).collect();
    names.sort();
    Ok(names)
}

#[test]
#[ignore = "it needs definitions and their sources: KILN_SOAK_DEFINITIONS=DIR cargo soak definitions --ignored"]
fn definitions_of_a_distribution_are_built_without_a_network() {
    let directory =
        env::var_os("KILN_SOAK_DEFINITIONS").expect("KILN_SOAK_DEFINITIONS names their directory");
    let directory = PathBuf::from(directory);
    let (sampler, files) = Sampler::of("definitions", build_files(&directory), FEW);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        match build(&directory, &file) {
            Ok(packages) => {
                sampler.say(&format!("{name}: {}", packages.join(", ")));
                assert!(packages.iter().any(|package| package.starts_with(&name)), "{name}: {packages:?}");
            }
            Err(said) => wrong.push(format!("{name}:\n{said}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
