//! A prune that is killed at each of its system calls: the next start finds all that there was, or nothing of it.

use std::time::SystemTime;

use kiln::cache::{LockMode, Wanted, prune, verify};

use super::{
    FEW,
    fixture::{Fixture, Seen, Size},
    tracee::{Act, Call, End, run, say, traced},
};
use crate::sampling::Sampler;

/// The victim's message after its prune has returned.
const PRUNED: &str = "pruned";

/// The victim.
#[test]
#[ignore = "not a test of its own"]
fn pruner() {
    traced(|fixture| {
        let lease = fixture.lease(LockMode::Exclusive).unwrap().expect("no process uses it");
        let all = Wanted { most_bytes: Some(0), ..Wanted::default() };
        prune(&lease, &all, SystemTime::now()).unwrap();
        say(PRUNED);
    });
}

fn pruner_on(fixture: &Fixture, act: impl FnMut(Call) -> Act) -> End {
    run("commit::prune::pruner", fixture, act)
}

/// Entries and their parts; directories that have become empty belong to no entry.
fn files(fixture: &Fixture) -> Seen {
    let mut seen = fixture.seen();
    seen.retain(|_, what| !what.starts_with("directory"));
    seen
}

#[test]
fn a_prune_that_is_killed_at_any_system_call_is_all_or_nothing() {
    let fixture = Fixture::new(Size::Few);
    let before = files(&fixture);
    let whole = pruner_on(&fixture, |_| Act::Go);
    assert_eq!((whole.said, files(&fixture)), (vec![PRUNED.to_owned()], Seen::new()));
    let (sampler, cases) = Sampler::of("prune kills", (1..=whole.calls).collect(), FEW);
    let mut gone = 0;
    for at in &cases {
        let fixture = Fixture::new(Size::Few);
        let end = pruner_on(&fixture, |call| if call.number == *at { Act::Kill } else { Act::Go });
        let doing = format!("killed at system call {at} of {}", whole.calls);
        assert!(end.killed || end.said == [PRUNED], "{doing}");
        let lease = fixture.alone(&doing);
        assert_eq!(verify(&lease).unwrap().faults, [], "{doing}");
        drop(lease);
        let left = files(&fixture);
        assert!(left.is_empty() || (left == before && end.said.is_empty()), "{doing}: {left:#?}");
        assert_eq!(fixture.left(), [""; 0], "{doing}");
        gone += usize::from(left.is_empty());
    }
    sampler.say(&format!("{} killed, after {gone} of them all was gone", cases.len()));
}
