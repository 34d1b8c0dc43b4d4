//! Every change of bwrap's command line shows up in a golden file.

use std::{fs, path::Path};

use kiln::{
    backend::bubblewrap::{Files, argv},
    plan::{Bind, BindSource, Ids, Network, Owner, Plan, Platform, RootForm, Sandbox, Writes},
};

use crate::plans::plain;

fn sandbox(ids: Ids, cache: Writes) -> Platform {
    let bind = |source, target: &str, writes| Bind { source, target: target.into(), writes };
    let directory = |path: &str| BindSource::Directory(path.into());
    Platform::Bubblewrap(Sandbox {
        binds: vec![
            bind(BindSource::Agent, "/kiln-agent", Writes::Refused),
            bind(BindSource::Root, "/lower", Writes::Refused),
            bind(BindSource::Scratch, "/scratch", Writes::Through),
            bind(directory("/src/with space"), "/shares/source", Writes::Refused),
            bind(directory("/cache"), "/shares/cache", cache),
        ],
        ids,
        root: RootForm::Tree,
        groups: Vec::new(),
    })
}

#[test]
fn command_lines_are_the_golden_ones() {
    let owner = Owner { guest_uid: 1000, guest_gid: 1000, uid: 1001, gid: 1001 };
    let root = Plan { platform: sandbox(Ids::Own, Writes::Through), ..plain() };
    let range =
        Plan { platform: sandbox(Ids::Range, Writes::Refused), network: Network::Off, owner, ..plain() };
    let sole = Plan { platform: sandbox(Ids::SingleUid, Writes::Through), ..plain() };
    for (name, plan) in [("root", root), ("range", range), ("sole", sole)] {
        let files = Files {
            bwrap: Path::new("/usr/bin/bwrap"),
            agent: Path::new("/home/u/.cache/kiln/agents/a"),
            root: Path::new("/home/u/.cache/kiln/images/r/tree"),
            scratch: Path::new("/var/tmp/kiln-sandbox-1"),
        };
        let words: Vec<String> = argv(&plan, files)
            .into_iter()
            .map(|word| word.into_string().expect("the cases are UTF-8"))
            .collect();
        let made = words.join("\n") + "\n";
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/bwrap-{name}.args"));
        if std::env::var_os("KILN_UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &made).expect("the golden file can be written");
        }
        let kept = fs::read_to_string(&golden).expect("the golden file is there");
        assert_eq!(made, kept, "{}: KILN_UPDATE_GOLDEN=1 cargo test writes it anew", golden.display());
    }
}
