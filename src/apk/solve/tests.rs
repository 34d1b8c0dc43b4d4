//! apko's answers, and cases that the rules decide.

use std::{collections::BTreeMap, fs, path::Path};

use super::{super::index::Index, *};

/// A case of `tests/apk/roots`: the indexes by the last part of their URL, and what apko chose.
#[derive(serde::Deserialize)]
struct Case {
    config: String,
    index: BTreeMap<String, String>,
    resolve: Answer,
}

#[derive(serde::Deserialize)]
struct Answer {
    exit_status: i32,
    packages: Vec<String>,
}

/// The items of a list in the configuration, which has one item a line, quoted or not.
fn list(config: &str, key: &str) -> Vec<String> {
    let lines = config.lines().skip_while(|line| line.trim() != format!("{key}:")).skip(1);
    let items = lines.map_while(|line| line.trim().strip_prefix("- "));
    items.map(|item| item.trim_matches(['\'', '"']).to_owned()).collect()
}

fn check(name: &str, case: &Case) -> Result<(), String> {
    let mut lines = list(&case.config, "repositories");
    lines.sort();
    lines.dedup();
    let parsed: BTreeMap<&str, Index<'_>> =
        case.index.iter().map(|(name, text)| (name.as_str(), Index::parse(text).expect("valid"))).collect();
    let repositories: Vec<Repository<'_>> = lines
        .iter()
        .map(|line| {
            let (tag, url) = match line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
                Some((tag, url)) => (Some(tag), url),
                None => (None, line.as_str()),
            };
            let last = url.rsplit('/').next().expect("it has a part");
            Repository { url, tag, index: parsed.get(last).expect("the index is there") }
        })
        .collect();
    let world = list(&case.config, "packages");
    let solved = solve(&world, &repositories);
    let got = solved.map(|chosen| {
        let line = |Chosen { repository, record }: &Chosen<'_>| {
            let url = repositories.get(*repository).map_or("", |repository| repository.url);
            let Record { name, version, arch, .. } = record;
            format!("{name} {version} {url}/{arch}/{name}-{version}.apk")
        };
        chosen.iter().map(line).collect::<Vec<_>>()
    });
    match (got, case.resolve.exit_status) {
        (Ok(got), 0) if got == case.resolve.packages => Ok(()),
        (Err(error), 1) => {
            assert!(!error.to_string().is_empty());
            Ok(())
        }
        (got, _) => Err(format!("{name}: apko {:?}, kiln {got:?}", case.resolve.packages)),
    }
}

#[test]
fn sets_are_solved_as_apko_solves_them() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk/roots");
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(directory).expect("the cases are there") {
        let path = entry.expect("readable").path();
        let name = path.file_stem().expect("it has a name").to_string_lossy();
        let case: Case = serde_json::from_slice(&fs::read(&path).expect("readable")).expect("a case");
        wrong.extend(check(&name, &case).err());
        count += 1;
    }
    assert!(count > 40, "{count} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
