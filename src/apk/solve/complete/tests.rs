//! Indexes where the greedy resolver fails, and a comparison with all subsets of small indexes.

use std::collections::BTreeSet;

use super::{
    super::{
        super::{
            constraint::Constraint,
            index::Index,
            version::{Operator, Version},
        },
        Chosen, Record, Repository, chosen_of, solve as greedy,
    },
    *,
};

/// A repository without a tag, and one with the tag `e`.
fn both<T>(plain: &str, tagged: &str, then: impl FnOnce(&[Repository<'_>]) -> T) -> T {
    let (plain, tagged) = (Index::parse(plain).expect("valid"), Index::parse(tagged).expect("valid"));
    then(&[
        Repository { url: "r", tag: None, index: &plain },
        Repository { url: "e", tag: Some("e"), index: &tagged },
    ])
}

fn within<'a>(
    world: &[&'a str],
    repositories: &'a [Repository<'a>],
    work: u64,
) -> Result<Vec<Chosen<'a>>, NoSet> {
    let packages = Packages::new(repositories);
    let mut world = world.to_vec();
    world.sort_unstable();
    world.dedup();
    Ok(solve(&packages, &world, work)?.into_iter().map(|id| chosen_of(&packages, id)).collect())
}

fn names(chosen: &[Chosen<'_>]) -> Vec<String> {
    chosen.iter().map(|Chosen { record, .. }| format!("{}-{}", record.name, record.version)).collect()
}

/// The answers of both resolvers.
fn answers(plain: &str, tagged: &str, world: &[&str]) -> (Option<Vec<String>>, Result<Vec<String>, NoSet>) {
    both(plain, tagged, |repositories| {
        let first = greedy(world, repositories).ok().map(|chosen| names(&chosen));
        (first, within(world, repositories, MAX_WORK).map(|chosen| names(&chosen)))
    })
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn sets_are_found_where_the_greedy_resolver_fails() {
    for (what, plain, tagged, world, expected) in [
        (
            "an older version of a request",
            "P:app\nV:1\nD:lib<2\n\nP:lib\nV:1\n\nP:lib\nV:2\n\nP:tool\nV:1\nD:lib\n\nP:tool\nV:2\nD:lib>1\n\n",
            "",
            "app tool",
            "lib-1 app-1 tool-1",
        ),
        (
            "an older version of a dependency",
            "P:a\nV:1\nD:b c\n\nP:b\nV:2\nD:d=2\n\nP:b\nV:1\nD:d\n\nP:c\nV:1\nD:d=1\n\nP:d\nV:1\n\nP:d\nV:2\n\n",
            "",
            "a",
            "d-1 b-1 c-1 a-1",
        ),
        (
            "another provider, whose priority is lower",
            "P:a\nV:1\nD:v\n\nP:x\nV:1\np:v\nk:10\nD:gone\n\nP:y\nV:1\np:v\n\n",
            "",
            "a",
            "y-1 a-1",
        ),
        (
            "a conflict with a request",
            "P:a\nV:1\nD:v\n\nP:x\nV:2\np:v=2\nD:!b\n\nP:y\nV:1\np:v=1\n\nP:b\nV:1\n\n",
            "",
            "a b",
            "y-1 a-1 b-1",
        ),
        (
            "a tag that a request has",
            "P:a\nV:1\nD:l\n\nP:l\nV:1\n\n",
            "P:b\nV:1\nD:m l=2\n\nP:m\nV:1\n\nP:l\nV:2\n\nP:b\nV:0\nD:l=1\n\n",
            "a b@e l=1",
            "l-1 a-1 b-0",
        ),
        (
            "install_if in the set that was found",
            "P:a\nV:1\nD:b c\n\nP:b\nV:2\nD:d=2\n\nP:b\nV:1\nD:d\n\nP:c\nV:1\nD:d=1\n\nP:d\nV:1\n\nP:d\nV:2\n\n\
             P:b-doc\nV:1\ni:b d=1\n\nP:no\nV:1\ni:b d\nD:gone\n\nP:not\nV:1\ni:b d\nD:!c\n\n",
            "",
            "a",
            "d-1 b-1 c-1 b-doc-1 a-1",
        ),
    ] {
        let world = words(world);
        let world: Vec<&str> = world.iter().map(String::as_str).collect();
        let (first, complete) = answers(plain, tagged, &world);
        assert_eq!(complete, Ok(words(expected)), "{what}");
        assert_eq!(first, None, "{what}");
    }
}

#[test]
fn the_newest_versions_are_chosen_where_nothing_is_against_it() {
    let index =
        "P:a\nV:1\nD:b\n\nP:a\nV:3\nD:b\n\nP:a\nV:2\nD:b\n\nP:b\nV:1.9\n\nP:b\nV:1.10\n\nP:b\nV:bad\n\n";
    let (first, complete) = answers(index, "P:b\nV:5\n\n", &["a"]);
    assert_eq!(complete, Ok(words("b-1.10 a-3")));
    assert_eq!(first, complete.ok());
}

#[test]
fn what_no_set_satisfies_is_impossible() {
    for (plain, world) in [
        ("", "a"),
        ("P:a\nV:1\nD:b\n\n", "a"),
        ("P:a\nV:1\nD:b=1\n\nP:b\nV:1\n\nP:b\nV:2\n\nP:c\nV:1\nD:b=2\n\n", "a c"),
        ("P:a\nV:1\nD:!b\n\nP:b\nV:1\n\n", "a b"),
        ("P:a\nV:1\np:v=1\n\nP:b\nV:1\np:v=1\n\n", "a b"),
        ("P:a\nV:1\n\n", "!a"),
        ("P:a\nV:1\n\n", "a=x"),
    ] {
        let world = words(world);
        let world: Vec<&str> = world.iter().map(String::as_str).collect();
        assert_eq!(answers(plain, "P:b\nV:2\n\n", &world).1, Err(NoSet::Impossible), "{plain:?}");
    }
}

/// Work that a build without optimisation does in a moment.
const LITTLE: u64 = 100_000;

#[test]
fn indexes_that_were_made_to_take_long_end() {
    // More packages than places for them: a search without an insight takes ages.
    let pigeons = |count: usize, holes: usize| -> String {
        let pigeon = |at: usize| {
            let place = |hole: usize| format!("P:p{at}h{hole}\nV:1\np:p{at} h{hole}=1\n\n");
            (0..holes).map(place).collect::<String>()
        };
        (0..count).map(pigeon).collect()
    };
    let many = |count: usize| -> String {
        let names: Vec<String> = (0..count).map(|at| format!("v{}", at % 300)).collect();
        let all = names.iter().take(300).cloned().collect::<Vec<_>>().join(" ");
        names
            .iter()
            .enumerate()
            .map(|(at, name)| format!("P:n{at}\nV:1\nD:{all}\np:{name}=1 x=1\n\n"))
            .collect()
    };
    let world: Vec<String> = (0..16).map(|at| format!("p{at}")).collect();
    let world: Vec<&str> = world.iter().map(String::as_str).collect();
    both(&pigeons(16, 15), "", |repositories| {
        assert_eq!(within(&world, repositories, LITTLE).map(|set| names(&set)), Err(NoSet::TooMuchWork));
    });
    let index = many(100_000);
    both(&index, "", |repositories| {
        assert_eq!(
            within(&["v1", "v2"], repositories, MAX_WORK).map(|set| names(&set)),
            Err(NoSet::TooMuchWork)
        );
    });
}

/// Packages, each with a name, a version and lists of a few names.
fn any_index(most: usize) -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let names =
        || prop::collection::vec("!?([a-d]|v|so:x)([=<>~][12])?", 0..3).prop_map(|words| words.join(" "));
    let record = ("[a-d]", "[123x]", names(), names(), "([a-d] ?){0,2}", "[0-2]").prop_map(
        |(name, version, d, p, i, k)| format!("P:{name}\nV:{version}\nD:{d}\np:{p}\ni:{i}\nk:{k}\n\n"),
    );
    prop::collection::vec(record, 0..most).prop_map(|records| records.concat())
}

/// A package with its tag, for the comparison: none of the resolver's own code but versions and constraints.
type Plain<'a> = (&'a Record<'a>, bool);

fn meets((record, _): Plain<'_>, text: &str) -> bool {
    let wanted = Constraint::parse(text);
    let has = |name: &str, version: Option<Version>| {
        name == wanted.name
            && (wanted.operator == Operator::Any
                || version.is_some_and(|version| {
                    wanted
                        .parsed_version()
                        .is_some_and(|wanted_version| wanted.operator.holds(&version, &wanted_version))
                }))
    };
    // The version of its own name is what counts for that.
    if record.name == wanted.name {
        return has(record.name, Version::parse(record.version));
    }
    let invalid = wanted.operator != Operator::Any && wanted.parsed_version().is_none();
    !invalid
        && record.provides.iter().any(|provide| {
            let provide = Constraint::parse(provide);
            has(provide.name, provide.parsed_version())
        })
}

/// For each package whether those with the tag may serve its dependencies.
fn reached<'a>(all: &[Plain<'a>], world: &[&str]) -> Vec<bool> {
    let mut reached: Vec<bool> =
        all.iter().map(|one| world.iter().any(|text| text.ends_with("@e") && meets(*one, text))).collect();
    loop {
        let next: Vec<bool> = (0..all.len())
            .map(|at| {
                reached[at]
                    || (0..all.len()).any(|from| {
                        let dependencies = all[from].0.dependencies;
                        reached[from]
                            && dependencies.iter().any(|text| !text.starts_with('!') && meets(all[at], text))
                    })
            })
            .collect();
        if next == reached {
            return reached;
        }
        reached = next;
    }
}

fn is_valid(all: &[Plain<'_>], reached: &[bool], set: &[usize], world: &[&str]) -> bool {
    let serves = |tag: bool, text: &str| set.iter().any(|at| (!all[*at].1 || tag) && meets(all[*at], text));
    let names = |record: &Record<'_>| -> BTreeSet<(String, bool)> {
        let own = [(record.name.to_owned(), true)].into_iter();
        own.chain(record.provides.iter().map(|text| {
            let provide = Constraint::parse(text);
            (provide.name.to_owned(), !provide.version.is_empty())
        }))
        .collect()
    };
    let apart = |a: usize, b: usize| {
        let (a, b) = (names(all[a].0), names(all[b].0));
        a.iter()
            .all(|(name, version)| b.iter().all(|(other, others)| name != other || !(*version || *others)))
    };
    world.iter().all(|text| serves(text.ends_with("@e"), text))
        && set.iter().all(|at| {
            let record = all[*at].0;
            Version::parse(record.version).is_some()
                && record.dependencies.iter().all(|text| match text.strip_prefix('!') {
                    Some(text) => set.iter().all(|other| other == at || !meets(all[*other], text)),
                    None => meets(all[*at], text) || serves(reached[*at], text),
                })
                && set.iter().all(|other| other == at || apart(*at, *other))
        })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
    /// A set is found exactly if one of all subsets is valid, and what is found is valid, too.
    #[test]
    fn a_set_is_found_exactly_if_there_is_one(
        plain in any_index(8),
        tagged in any_index(4),
        world in proptest::collection::vec("!?[a-dv]([=<>~][12])?(@e)?", 1..4),
    ) {
        let world: Vec<&str> = world.iter().map(String::as_str).collect();
        let (answer, again, exists) = both(&plain, &tagged, |repositories| {
            let all: Vec<Plain<'_>> = repositories.iter()
                .flat_map(|one| one.index.records.iter().map(|record| (record, one.tag.is_some())))
                .collect();
            let reached = reached(&all, &world);
            let subset = |mask: u32| (0..all.len()).filter(|at| mask & 1 << at != 0).collect::<Vec<_>>();
            let exists = (0..1_u32 << all.len()).any(|mask| is_valid(&all, &reached, &subset(mask), &world));
            let answer = within(&world, repositories, MAX_WORK);
            if let Ok(chosen) = &answer {
                let place = |one: &Chosen<'_>| all.iter().position(|(record, _)| std::ptr::eq(*record, one.record)).expect("known");
                let set: Vec<usize> = chosen.iter().map(place).collect();
                assert!(is_valid(&all, &reached, &set, &world), "{:?}", names(chosen));
            }
            let mut reversed = world.clone();
            reversed.reverse();
            let again = within(&reversed, repositories, MAX_WORK).map(|chosen| names(&chosen));
            (answer.map(|chosen| names(&chosen)), again, exists)
        });
        proptest::prop_assert_eq!(answer.is_ok(), exists, "{:?}", answer);
        proptest::prop_assert_eq!(answer, again);
    }
}
