//! Go's module cache of the host as the cache directory, as large as such a cache gets: it is used, and stays as it is.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, Permissions},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{Backend, Way, build, is_there, project::Project, run};
use crate::{place::Place, sampling::Sampler};

/// Files of a module that the build does not need.
const MANY: usize = 20_000;
/// How many lie in one directory.
const TOGETHER: usize = 200;

#[test]
fn a_hosts_own_module_cache_is_used_and_stays_as_it_is() {
    let cells = vec![
        (Backend::Bubblewrap, "ro"),
        (Backend::Bubblewrap, "discard"),
        (Backend::Docker, "ro"),
        (Backend::Docker, "discard"),
        (Backend::Virtiofs, "ro"),
        (Backend::Virtiofs, "discard"),
        // The default with 9p.
        (Backend::NineP, "auto"),
    ];
    let one = |drawn: Vec<(Backend, _)>| {
        drawn.into_iter().find(|(backend, _)| *backend == Backend::Bubblewrap).into_iter().collect()
    };
    let (sampler, cells) = Sampler::choosing("ecosystems: the host's own module cache", cells, one);
    let place = Place::new();
    let project = Project::new("go", &place.directory("go"));
    project.for_the_first();
    build(&place, &project, Backend::Bubblewrap, Way::Direct);
    let own = place.project().join("own");
    fs::rename(project.cache().join("gomodcache"), &own).unwrap();
    add_many(&own.join("example.org/many@v1.0.0"));
    let before = snapshot(&own);
    project.with_module_cache("/var/cache/melange");
    for (backend, mode) in cells.into_iter().filter(|(backend, _)| is_there(*backend)) {
        sampler.say(&format!("--cache-mode {mode} in {backend:?}, {} files", before.len()));
        let cache = ["--cache-dir", own.to_str().unwrap(), "--cache-mode", mode];
        run(&place, &project, backend, Way::Not, &cache);
        assert!(snapshot(&own) == before, "{backend:?} in mode {mode} has changed the host's cache");
    }
}

/// As Go unpacks modules: nothing in them can be written.
fn add_many(module: &Path) {
    for at in 0..MANY / TOGETHER {
        let directory = module.join(format!("p{at}"));
        DirBuilder::new().recursive(true).mode(0o755).create(&directory).unwrap();
        for n in 0..TOGETHER {
            let file = File::create(directory.join(format!("f{n}.go"))).unwrap();
            file.set_permissions(Permissions::from_mode(0o444)).unwrap();
        }
        fs::set_permissions(&directory, Permissions::from_mode(0o555)).unwrap();
    }
}

/// For each file and directory, the numbers that change whenever it does.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let state = (metadata.ino(), metadata.mode(), metadata.ctime(), metadata.ctime_nsec());
        found.insert(path, state);
    }
    found
}
