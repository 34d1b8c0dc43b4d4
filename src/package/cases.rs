//! Dependencies and findings are what melange made of the same files: `tests/apk/`, whose entries are made facts of.

mod fixtures;

use std::collections::{BTreeMap, BTreeSet};

use self::fixtures::{cases, value_of, values};
use super::{
    dependencies::Analysis,
    lint::{Finding, results},
};

/// What kiln does otherwise on purpose: the package, the linter, the reason.
const DIFFERENCES: [(&str, &str, &str); 3] = [
    ("lint-warnings", "strip", "melange looks for `.debug`, and misses `.debug_info`"),
    (
        "lint-usrmerge-quirk",
        "usrmerge",
        "a file in / hides what comes after it from melange; here it is a warning",
    ),
    ("python", "python/multiple", "melange cuts names to the length of their extension"),
];

fn differs(package: &str, linter: &str) -> bool {
    DIFFERENCES.iter().any(|(of, named, _)| (*of, *named) == (package, linter))
}

#[test]
fn dependencies_are_those_of_melange() {
    let mut compared = 0;
    for case in cases() {
        let facts = case.facts();
        let Some(first) = case.packages.first() else { continue };
        let analysis = Analysis::new(&facts, value_of(&first.pkginfo, "pkgver"), None);
        for (index, made) in case.packages.iter().enumerate() {
            let merged = analysis.generate(index, &made.declared).merge(&made.declared);
            let expected = |key: &str| values(&made.pkginfo, key).collect::<Vec<_>>();
            let name = &made.facts.name;
            assert_eq!(merged.depends, expected("depend"), "depends of {name}");
            assert_eq!(merged.provides, expected("provides"), "provides of {name}");
            assert_eq!(merged.vendored, expected("# vendored"), "vendored of {name}");
            compared += 1;
        }
    }
    assert_eq!(compared, 50);
}

#[test]
fn findings_are_those_of_melange() {
    let mut different = BTreeSet::new();
    let mut compared = 0;
    for case in cases() {
        for made in &case.packages {
            let name = &made.facts.name;
            let by_linter = |findings: Vec<Vec<String>>| {
                let linter =
                    |lines: &[String]| lines[0].split(['[', ']']).nth(1).expect("it is named").to_owned();
                findings.into_iter().map(|lines| (linter(&lines), lines)).collect::<BTreeMap<_, _>>()
            };
            let mut found = by_linter(case.findings(made).iter().map(Finding::log_lines).collect());
            let mut expected = by_linter(case.logged(name));
            for (_, linter, _) in DIFFERENCES.iter().filter(|(of, ..)| of == name) {
                let (found, expected) = (found.remove(*linter), expected.remove(*linter));
                assert_ne!(found, expected, "{name}: {linter} is no difference");
                different.insert((name.clone(), *linter));
            }
            assert_eq!(found, expected, "{name}");
            compared += found.len();
        }
    }
    assert_eq!(different.len(), DIFFERENCES.len());
    assert_eq!(compared, 42);
}

#[test]
fn only_findings_that_melange_has_fail_a_build() {
    for case in cases() {
        for made in &case.packages {
            let required: Vec<Finding> =
                case.findings(made).into_iter().filter(|finding| finding.is_required).collect();
            assert_eq!(required, [], "{}", made.facts.name);
        }
    }
}

#[test]
fn documents_are_those_of_melange() {
    let mut compared = 0;
    for case in cases() {
        let others = case.document["other_files"].as_object().into_iter().flatten();
        for (path, expected) in others {
            let made = |name: &str| case.packages.iter().position(|made| made.facts.name == name);
            let version = case.packages.first().map(|made| value_of(&made.pkginfo, "pkgver"));
            let got = if let Some(document) = path.strip_prefix("packages/x86_64/lint-") {
                let full_name = document.strip_suffix(".json").expect("it is JSON");
                let name =
                    full_name.strip_suffix(version.expect("it has a version")).expect("it has the version");
                let made = &case.packages[made(name.trim_end_matches('-')).expect("it is made")];
                let findings = case.findings(made).into_iter();
                let same = findings.filter(|finding| !differs(&made.facts.name, finding.linter.name));
                results(full_name, &same.collect::<Vec<_>>()).expect("it is JSON").expect("it has findings")
            } else if path.starts_with("deps.json") {
                let facts = case.facts();
                let analysis = Analysis::new(&facts, version.expect("it has a version"), None);
                let declared = &case.packages.last().expect("it has packages").declared;
                analysis.generate(facts.len() - 1, declared).log_line().expect("it is JSON")
            } else {
                continue;
            };
            assert_eq!(Some(got.as_str()), expected.as_str(), "{path}");
            compared += 1;
        }
    }
    assert_eq!(compared, 2);
}
