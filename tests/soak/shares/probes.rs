//! What package managers, databases and git do with files, on each share: `probes.py` tries and explains each.

use std::fs;

use super::{
    expected::{ANY_HOST, Cause, Deviation, Results, differences},
    run::{Host, give, run},
    share::{Share, VIRTIOFS, usable},
};
use crate::{place::Place, sampling::Sampler, skip::skip};

/// How many of the cases run outside the soak.
const FEW: usize = 2;

const PROBES: &str = include_str!("probes.py");

/// Files that are there before the build, and their text.
const OLD_FILES: [(&str, &str); 4] =
    [("old-directory/file", ""), ("old-file", ""), ("old-text", "old"), ("old-linked", "")];

/// What does not work, and why.
pub(super) const TABLE: &[Deviation] = &[
    Deviation {
        cause: Cause::Unnamed,
        shares: &[
            Share::NinePOverlay,
            Share::NineP,
            Share::SpawnedShared,
            Share::SpawnedAlone,
            Share::EmbeddedShared,
            Share::EmbeddedAlone,
            Share::Workspace,
        ],
        hosts: ANY_HOST,
        tests: &["unnamed-file"],
    },
    Deviation { cause: Cause::AttributesOff, shares: VIRTIOFS, hosts: ANY_HOST, tests: &["user-attributes"] },
    Deviation {
        cause: Cause::UnreadableNew,
        shares: &[Share::SpawnedAlone],
        hosts: ANY_HOST,
        tests: &["piece-of-new-file"],
    },
    Deviation {
        cause: Cause::OldLinkCopied,
        shares: &[Share::NinePOverlay],
        hosts: ANY_HOST,
        tests: &["hard-link-to-old-file"],
    },
    Deviation {
        cause: Cause::NinePSpecial,
        shares: &[Share::NineP],
        hosts: ANY_HOST,
        tests: &["fifo", "unix-socket"],
    },
    Deviation { cause: Cause::NinePTime, shares: &[Share::NineP], hosts: ANY_HOST, tests: &["nanoseconds"] },
    Deviation {
        cause: Cause::NinePExchange,
        shares: &[Share::NineP],
        hosts: ANY_HOST,
        tests: &["rename-exchange"],
    },
    Deviation {
        cause: Cause::NinePUnlinked,
        shares: &[Share::NineP],
        hosts: ANY_HOST,
        tests: &["unlinked-file"],
    },
];

/// A share, the user that runs kiln, and the user of the step.
type Case = (Share, Host, &'static str);

/// All shares of root; and those of an ordinary user that are other programs, or serve other users, then.
fn cases() -> Vec<Case> {
    let shares = usable();
    let of_user = |share: &Share| !matches!(share, Share::Docker | Share::NinePOverlay | Share::Workspace);
    let root = shares.iter().map(|share| (*share, Host::Root));
    let user = shares.iter().copied().filter(of_user).map(|share| (share, Host::User));
    root.chain(user).flat_map(|(share, host)| ["root", "build"].map(|run_as| (share, host, run_as))).collect()
}

#[test]
fn what_tools_do_with_files_works_where_the_table_says() {
    let (sampler, cases) = Sampler::of("probes of shares", cases(), FEW);
    let mut found = Vec::new();
    for (share, host, run_as) in cases {
        if let Some(why) = host.lacks() {
            skip(why);
            continue;
        }
        let case = format!("{share:?} of {host:?} as {run_as}");
        let said = tried(share, host, run_as);
        let results = results(&said);
        let last = format!("{} probes\n", PROBES.matches("\n@probe\n").count());
        assert!(said.ends_with(&last) && last.starts_with(&results.len().to_string()), "{case}: {said}");
        let lines = differences(TABLE, share, host, &results);
        let failed =
            results.iter().filter_map(|(name, result)| Some(format!("{name}: {}", result.as_ref()?)));
        let failed: Vec<String> = failed.collect();
        sampler.say(&format!("{case}: {failed:?}, {} unexpected", lines.len()));
        lines.iter().for_each(|line| sampler.say(line));
        found.extend(lines.into_iter().map(|line| format!("{case}: {line}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn tried(share: Share, host: Host, run_as: &str) -> String {
    let place = host.place();
    give(&place, "probes.py", PROBES.as_bytes());
    give_old_files(&place, share);
    run(&place, share, run_as, &format!("python3 /home/build/probes.py {}", share.directory()))
}

fn give_old_files(place: &Place, share: Share) {
    let directory = place.project().join(share.on_the_host());
    for (name, text) in OLD_FILES {
        let path = directory.join(name);
        let parent = path.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        fs::write(&path, text).unwrap();
        place.give_to_user(parent);
        place.give_to_user(&path);
    }
}

/// What each probe said.
fn results(said: &str) -> Results {
    let probes = said.lines().filter_map(|line| line.strip_prefix("probe ")?.split_once(": "));
    probes.map(|(name, result)| (name.to_owned(), (result != "ok").then(|| result.to_owned()))).collect()
}
