//! Builds at once that add their packages to one index: none is lost, whatever the moment.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{place::Place, sampling::Sampler};

/// How many rounds there are in the soak, and otherwise.
const ROUNDS: usize = 20;
const FEW_ROUNDS: usize = 1;
/// How many builds run at once.
const BUILDS: usize = 8;
/// Within this span the builds of a round start.
const STARTS: std::ops::Range<Duration> = Duration::ZERO..Duration::from_millis(150);
/// Where the packages are.
const DIRECTORY: &str = "packages/x86_64";

/// A build of two packages.
fn build_file(name: &str, version: usize) -> String {
    format!(
        "package: {{name: {name}, version: '{version}', epoch: 0}}
pipeline: [{{runs: 'mkdir -p ${{{{targets.destdir}}}}/usr; echo {version} > ${{{{targets.destdir}}}}/usr/{name}'}}]
subpackages:
  - name: {name}-doc
    pipeline: [{{runs: 'mkdir -p ${{{{targets.contextdir}}}}/usr/share'}}]
"
    )
}

#[test]
fn no_package_is_lost_from_an_index_that_several_builds_add_to() {
    let (mut sampler, rounds) = Sampler::of("indexes", (1..=ROUNDS).collect(), FEW_ROUNDS);
    if Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_err() {
        return crate::skip::skip("bwrap is not installed");
    }
    let place = Place::new();
    let mut expected = BTreeMap::new();
    for (at, version) in rounds.iter().enumerate() {
        let mut running: Vec<(String, Child)> = Vec::new();
        for build in 0..BUILDS {
            let name = format!("p{build}");
            fs::write(place.project().join(format!("{name}.yaml")), build_file(&name, *version)).unwrap();
            running.push((name.clone(), start(&place, &name)));
            thread::sleep(sampler.moment(STARTS) / BUILDS as u32);
        }
        for (name, child) in running {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            for package in [name.clone(), format!("{name}-doc")] {
                let file = place.project().join(DIRECTORY).join(format!("{package}-{version}-r0.apk"));
                expected.insert((package, format!("{version}-r0")), fs::metadata(file).unwrap().len());
            }
        }
        assert_eq!(indexed(&place.project()), expected, "after round {}", at + 1);
        sampler.say(&format!("{}/{}: {} packages in the index", at + 1, rounds.len(), expected.len()));
    }
}

fn start(place: &Place, name: &str) -> Child {
    let mut kiln = place.kiln();
    kiln.args(["build", "--runner", "bubblewrap", "--progress", "plain", "--cache-dir", ""]);
    kiln.args(["--out-dir", "packages"]).arg(format!("{name}.yaml"));
    kiln.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The packages of the index by name and version, with their sizes.
fn indexed(project: &Path) -> BTreeMap<(String, String), u64> {
    let mut tar = Command::new("tar");
    tar.args(["-xzOf"]).arg(project.join(DIRECTORY).join("APKINDEX.tar.gz")).arg("APKINDEX");
    let output = tar.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let records = text.split("\n\n").filter(|record| !record.trim().is_empty());
    let field = |record: &str, letter: &str| {
        let value = record.lines().find_map(|line| line.strip_prefix(letter));
        value.unwrap_or_else(|| panic!("no {letter} in {record}")).to_owned()
    };
    let all: Vec<_> = records
        .map(|record| {
            ((field(record, "P:"), field(record, "V:")), field(record, "S:").parse().expect("a number"))
        })
        .collect();
    let unique: BTreeMap<_, _> = all.iter().cloned().collect();
    assert_eq!(unique.len(), all.len(), "a package is there twice: {text}");
    unique
}
