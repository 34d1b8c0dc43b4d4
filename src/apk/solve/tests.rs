//! apko's answers, and cases that the rules decide.

use std::{collections::BTreeMap, fs, path::Path};

use super::{super::index::Index, error::SHOWN_LINKS, *};

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

/// One repository with this index.
fn solved(index: &str, world: &[&str]) -> Result<Vec<String>, SolveError> {
    solved_within(index, world, MAX_WORK)
}

fn solved_within(index: &str, world: &[&str], work: u64) -> Result<Vec<String>, SolveError> {
    let index = Index::parse(index).expect("valid");
    let repositories = [Repository { url: "r", tag: None, index: &index }];
    let chosen = solve_within(world.to_vec(), &repositories, work)?;
    Ok(chosen.iter().map(|chosen| format!("{}-{}", chosen.record.name, chosen.record.version)).collect())
}

#[test]
fn an_error_names_request_chain_reason_and_nearest_names() {
    let index = "P:app\nV:1\nD:middle>0\n\nP:middle\nV:2\nD:libbz>1 x\n\nP:libbz2\nV:1\n\nP:other\nV:1\nD:libbz2>1\n\n";
    let error = solved(index, &["app"]).expect_err("nothing provides libbz");
    assert_eq!(error.request, "app");
    let chain: Vec<_> =
        error.chain.iter().map(|link| (link.constraint.as_str(), link.package.as_str())).collect();
    assert_eq!(chain, [("", "app-1.apk"), ("middle>0", "middle-2.apk")]);
    let nearest = vec!["libbz2".to_owned()];
    assert_eq!(error.cause, Cause::NothingProvides { name: "libbz".into(), nearest });
    assert_eq!(
        error.to_string(),
        "package \"app\" (app-1.apk needs \"middle>0\", which is middle-2.apk): nothing provides \"libbz\" (similar names: libbz2)"
    );
    let error = solved(index, &["other"]).expect_err("too old");
    assert_eq!(
        error.to_string(),
        "package \"other\" (other-1.apk): no package can be chosen for \"libbz2>1\": libbz2-1.apk does not satisfy \"libbz2>1\""
    );
    let error = solved(index, &["app=x"]).expect_err("no version");
    assert_eq!(error.to_string(), "the version of \"app=x\" is invalid");
    let error = solved(index, &["!app"]).expect_err("no name");
    assert!(error.to_string().starts_with("package \"!app\": nothing provides \"!app\""));
}

#[test]
fn an_origin_whose_package_was_replaced_is_forgotten() {
    // `v` takes c-1, whose origin is that of b-1; then `c` takes c-2 in its place.
    let index = "P:c\nV:1\no:o\np:v\n\nP:c\nV:2\nD:b\n\nP:b\nV:1\no:o\n\nP:b\nV:2\n\n";
    assert_eq!(solved(index, &["c", "v"]), Ok(vec!["b-2".to_owned(), "c-2".to_owned()]));
    // Without the second request, the origin counts.
    let index = "P:c\nV:1\no:o\nD:b\n\nP:b\nV:1\no:o\n\nP:b\nV:2\n\n";
    assert_eq!(solved(index, &["c"]), Ok(vec!["b-1".to_owned(), "c-1".to_owned()]));
}

#[test]
fn conditions_are_among_the_dependencies_of_one_request() {
    let index = "P:a\nV:1\nD:x y\n\nP:x\nV:1\n\nP:y\nV:1\n\nP:xy\nV:1\ni:x y=1\n\nP:more\nV:1\ni:xy\n\nP:z\nV:1\ni:y=2 x\n\n";
    assert_eq!(
        solved(index, &["a"]),
        Ok(["x-1", "y-1", "xy-1", "more-1", "a-1"].map(str::to_owned).to_vec())
    );
    assert_eq!(solved(index, &["x", "y"]), Ok(["x-1", "y-1"].map(str::to_owned).to_vec()));
}

#[test]
fn a_long_chain_is_walked_without_recursion() {
    let chain = |length: usize, last: &str| -> String {
        let package = |at: usize| format!("P:p{at}\nV:1\nD:p{}\n\n", at + 1);
        (0..length).map(package).chain([format!("P:p{length}\nV:1\nD:{last}\n\n")]).collect()
    };
    let chosen = solved(&chain(500, ""), &["p0"]).expect("it can be solved");
    assert_eq!(chosen.len(), 501);
    assert_eq!((chosen[0].as_str(), chosen[500].as_str()), ("p500-1", "p0-1"));
    // A chain longer than the stack of a thread ends with an error at its end.
    let error = solved(&chain(20_000, "none"), &["p0"]).expect_err("it ends");
    assert!(matches!(error.cause, Cause::NothingProvides { .. }), "{}", error.cause);
    assert_eq!(error.chain.len(), SHOWN_LINKS, "the chain that is shown is short");
}

#[test]
fn an_index_that_was_made_to_take_long_ends() {
    // Each choice looks at all dependencies that are left.
    let names: Vec<String> = (0..3000).map(|at| format!("v{at}")).collect();
    let one = |name: &String| format!("P:{name}\nV:1\np:y\n\nP:z{name}\nV:1\np:{name}\n\n");
    let index: String = names.iter().map(one).collect();
    let index = format!("P:a\nV:1\nD:{}\n\n{index}", names.join(" "));
    let error = solved_within(&index, &["a"], 100_000).expect_err("it ends");
    assert_eq!(error.cause, Cause::TooMuchWork);
}

#[test]
fn conditions_without_end_end() {
    // Each of the same words is a condition, and all of them are looked at for each.
    let index = format!("P:a\nV:1\nD:l\n\nP:l\nV:1\n\nP:x\nV:1\ni:{}gone\n\n", "l ".repeat(5_000));
    let error = solved_within(&index, &["a"], 100_000).expect_err("it ends");
    assert_eq!(error.cause, Cause::TooMuchWork);
}

/// Packages, each with a name, a version and lists of a few names.
fn any_index() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let names =
        || prop::collection::vec("!?([a-d]|v|so:x)([=<>~][12])?", 0..3).prop_map(|words| words.join(" "));
    let record = ("[a-d]", "[123]", names(), names(), "([a-d] ?){0,2}", "[a-d]?").prop_map(
        |(name, version, d, p, i, o)| format!("P:{name}\nV:{version}\nD:{d}\np:{p}\ni:{i}\no:{o}\n\n"),
    );
    prop::collection::vec(record, 0..12).prop_map(|records| records.concat())
}

proptest::proptest! {
    /// The answer depends on nothing but the question, has each name once, and has what was asked for.
    #[test]
    fn a_set_is_consistent(index in any_index(), world in proptest::collection::vec("!?[a-dv](=[12])?(@e)?", 0..4)) {
        let world: Vec<&str> = world.iter().map(String::as_str).collect();
        let first = solved(&index, &world);
        let mut reversed = world.clone();
        reversed.reverse();
        proptest::prop_assert_eq!(&solved(&index, &reversed), &first);
        if let Ok(chosen) = first {
            let names: HashSet<&str> = chosen.iter().filter_map(|name| name.split('-').next()).collect();
            proptest::prop_assert_eq!(names.len(), chosen.len());
            proptest::prop_assert!(world.is_empty() == chosen.is_empty());
        }
    }
}
