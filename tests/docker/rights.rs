//! Rights and owners in a cache that a container writes straight into, however its build ends: {root, an ordinary user of the
//! docker group}.

use nix::unistd::geteuid;

use crate::{
    owners::{ORDINARY, by_member},
    skip::skip,
    step_rights::{Ending, left, next_start},
    world::{Place, daemon},
};

#[test]
fn no_rights_devices_and_other_owners_stay_in_the_cache_however_a_build_ends() {
    let Some(_) = daemon() else { return };
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    for (outside, run_as, ending) in [
        (0, "root", Ending::Success),
        (0, "build", Ending::StepFails),
        (0, "root", Ending::Terminated),
        (0, "root", Ending::Killed),
        (0, "build", Ending::Killed),
        (ORDINARY, "root", Ending::Success),
        (ORDINARY, "build", Ending::StepFails),
    ] {
        let place = Place::new();
        let mut build = place.command(run_as, &ending.steps(), &[]);
        if outside != 0 {
            build = by_member(&place, &build, outside);
        }
        let said = ending.of(&mut build);
        let cache = place.project().join("cache");
        if ending == Ending::Killed {
            next_start(&build, &cache);
        }
        assert_eq!(
            left(&cache, (outside, outside)),
            Vec::<String>::new(),
            "uid {outside}, run-as {run_as}, {ending:?}: {said}"
        );
        assert!(cache.join("a/b/m4755").is_file() && cache.join("own").is_dir());
    }
}
