//! A prune that is killed at each of its system calls: the next start finds all that there was, or nothing of it.

use std::time::SystemTime;

use kiln::cache::{LockMode, Wanted, prune, verify};

use super::{
    FEW,
    scene::{Scene, Seen, Size},
    tracee::{Act, Call, End, run, say, traced},
};
use crate::lot::Lot;

/// What the victim says when its prune has returned.
const PRUNED: &str = "pruned";

/// The victim.
#[test]
#[ignore = "not a test of its own"]
fn pruner() {
    traced(|scene| {
        let lease = scene.lease(LockMode::Exclusive).unwrap().expect("nobody uses it");
        let all = Wanted { most_bytes: Some(0), ..Wanted::default() };
        prune(&lease, &all, SystemTime::now()).unwrap();
        say(PRUNED);
    });
}

fn pruner_on(scene: &Scene, act: impl FnMut(Call) -> Act) -> End {
    run("commit::prune::pruner", scene, act)
}

/// What is an entry or part of one; directories that have become empty are nobody's.
fn files(scene: &Scene) -> Seen {
    let mut seen = scene.seen();
    seen.retain(|_, what| !what.starts_with("directory"));
    seen
}

#[test]
fn a_prune_that_is_killed_at_any_system_call_is_all_or_nothing() {
    let scene = Scene::new(Size::Few);
    let before = files(&scene);
    let whole = pruner_on(&scene, |_| Act::Go);
    assert_eq!((whole.said, files(&scene)), (vec![PRUNED.to_owned()], Seen::new()));
    let (lot, cases) = Lot::of("prune kills", (1..=whole.calls).collect(), FEW);
    let mut gone = 0;
    for at in &cases {
        let scene = Scene::new(Size::Few);
        let end = pruner_on(&scene, |call| if call.number == *at { Act::Kill } else { Act::Go });
        let doing = format!("killed at system call {at} of {}", whole.calls);
        assert!(end.killed || end.said == [PRUNED], "{doing}");
        let lease = scene.alone(&doing);
        assert_eq!(verify(&lease).unwrap().faults, [], "{doing}");
        drop(lease);
        let left = files(&scene);
        assert!(left.is_empty() || (left == before && end.said.is_empty()), "{doing}: {left:#?}");
        assert_eq!(scene.left(), [""; 0], "{doing}");
        gone += usize::from(left.is_empty());
    }
    lot.say(&format!("{} killed, after {gone} of them all was gone", cases.len()));
}
