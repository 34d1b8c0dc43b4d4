//! Rights and owners in a cache that a sandbox writes straight into, however its build ends.

use nix::unistd::{getegid, geteuid};

use super::{
    command, has_bwrap, project,
    step_rights::{Ending, left, next_start},
};

#[test]
fn no_rights_devices_and_other_owners_stay_in_the_cache_however_a_build_ends() {
    if !has_bwrap() {
        return;
    }
    let all = [Ending::Success, Ending::StepFails, Ending::Terminated, Ending::Killed];
    for (ending, run_as) in all.into_iter().flat_map(|ending| [(ending, "root"), (ending, "build")]) {
        let (_directory, project) = project();
        let mut build = command(&project, run_as, &ending.steps(), &["--progress", "plain"]);
        let said = ending.of(&mut build);
        let cache = project.join("cache");
        if ending == Ending::Killed {
            next_start(&build, &cache);
        } else {
            assert!(said.contains("corrected in the cache: set-id bits taken from"), "{said}");
        }
        let own = (geteuid().as_raw(), getegid().as_raw());
        assert_eq!(left(&cache, own), Vec::<String>::new(), "{ending:?}, run-as {run_as}: {said}");
        assert!(cache.join("a/b/m4755").is_file() && cache.join("own").is_dir());
    }
}
