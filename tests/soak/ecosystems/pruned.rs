//! A cache of which half was pruned, and its tools: they fetch what went, and work with what stayed as it is.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use kiln::{
    cache::{LockMode, Request, Wanted, prune, try_acquire, would_prune},
    ecosystem,
    home::Home,
};

use super::{
    Backend, Way, build,
    held::Held,
    project::{NAMES, Project},
    wanted,
};
use crate::{place::Place, sampling::Sampler};

#[test]
fn tools_fetch_what_was_pruned_and_leave_alone_what_stayed() {
    // Each fetches all of its packages: that is for the soak.
    let cells = NAMES.map(|name| (name, Backend::Bubblewrap)).to_vec();
    let (sampler, cells) = Sampler::of("ecosystems after a prune", wanted(cells), 0);
    for (name, backend) in cells {
        let place = Place::new();
        let project = Project::new(name, &place.directory(name));
        project.for_the_first();
        build(&place, &project, backend, Way::Direct);
        let filled = Held::of(&project.cache(), place.uid());
        let entries = prune_half(&place, &project, name);
        let left = Held::of(&project.cache(), place.uid());
        let gone = filled.made_anew(&left).len();
        assert!(entries > 0 && gone > 0, "{name}: nothing went");

        build(&place, &project, backend, Way::Direct);
        let after = Held::of(&project.cache(), place.uid());
        let anew = after.made_anew(&left);
        let (spoilt, anew): (Vec<_>, Vec<_>) =
            anew.into_iter().filter(|path| !names_another(path)).partition(|path| left.has(path));
        assert!(spoilt.is_empty(), "{name} made anew what it had: {spoilt:?}");
        assert!((1..=gone).contains(&anew.len()), "{name}: {gone} files went, then came {anew:?}");
        let lost: Vec<_> = left.made_anew(&after).into_iter().filter(|path| !after.has(path)).collect();
        assert!(lost.is_empty(), "{name} lost what had stayed: {lost:?}; anew: {anew:?}");
        let verify =
            place.kiln().args(["cache", "verify", "--cache-dir"]).arg(project.cache()).output().unwrap();
        assert!(verify.status.success(), "{name}: {verify:?}");
        sampler
            .say(&format!("{name}: {entries} entries of {gone} files went, {} files came back", anew.len()));
    }
}

/// Whether a file leads to another one, which uv names anew whenever it unpacks a wheel.
fn names_another(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with("uv/wheels-v"))
}

/// Prunes the project's cache, the least recently used first, until half of what the tool has there is gone; how many
/// entries went.
fn prune_half(place: &Place, project: &Project, name: &str) -> usize {
    let request = Request {
        directory: project.cache(),
        lock_mode: LockMode::Exclusive,
        who: "a test".into(),
        limit: Duration::ZERO,
    };
    let lease = try_acquire(&Home::at(place.root().join("home")), &request).unwrap().unwrap();
    let to = |bytes| Wanted { most_bytes: Some(bytes), ..Wanted::default() };
    let now = SystemTime::now();
    let all = would_prune(&lease, &to(0), now).unwrap().removed;
    let directory = ecosystem::named(name).unwrap().directory;
    let own: Vec<usize> = (0..all.len()).filter(|at| all[*at].kind == directory).collect();
    let stay = &all[own[own.len() / 2] + 1..];
    prune(&lease, &to(stay.iter().map(|entry| entry.amount.bytes).sum()), now).unwrap().removed.len()
}
