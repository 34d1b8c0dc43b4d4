//! The power is cut while commits are made: every commit that kiln called kept is there, and no commit is there by half.
//!
//! A process that is killed loses nothing of what it wrote: the page cache is the kernel's. So here it is a whole machine
//! ([`machine`]) that dies, with its page cache, and of its disks only that is left which was flushed. Its first and only
//! program is this test binary ([`guest`]): it takes the lease, which is the recovery, looks whether the cache is exactly
//! what some number of commits makes of it ([`trace`]), says so, and makes further commits until the end. The disks go from
//! one machine to the next, so that each start judges the cut before it; a cut may come during the recovery, too.
//!
//! The control: on a file system that ignores every flush (overlayfs's `volatile`) the same commits are lost.

mod guest;
mod machine;
mod trace;

use std::time::Duration;

use self::{
    guest::Job,
    machine::{Disks, Layout, Machine},
};
use crate::{sampling::Sampler, skip::skip};

/// How many cuts there are in the soak, for each layout of disks.
const CUTS: usize = 25;
/// In this span after the mount, which some commits fill even where the guest is slow, the plug is pulled.
const SPAN: std::ops::Range<Duration> = Duration::ZERO..Duration::from_secs(5);
/// In this one, every third time: the recovery and its look take about so long.
const EARLY: std::ops::Range<Duration> = Duration::ZERO..Duration::from_millis(300);
/// The control goes on until so many commits are said to be kept.
const CONTROLLED: u64 = 3;

#[test]
fn what_was_kept_when_the_plug_was_pulled_is_whole() {
    let cases = Layout::ALL.iter().flat_map(|layout| vec![*layout; CUTS]).collect();
    // Two machines start for each of them: that is for the soak.
    let (mut sampler, cases) = Sampler::of("powercuts", cases, 0);
    if cases.is_empty() {
        return;
    }
    let Some(machine) = Machine::find() else { return };
    for layout in Layout::ALL {
        let cuts = cases.iter().filter(|case| **case == layout).count();
        let disks = Disks::new(layout);
        let mut kept = 0;
        let mut during = 0;
        for cut in 0..cuts {
            let doing = format!("{layout:?}, cut {cut}");
            let mut guest = machine.start(&disks, Job::Commits, cut);
            guest.wait_for("mounted", &doing);
            guest.run_for(sampler.moment(if cut % 3 == 2 { EARLY } else { SPAN }));
            let said = guest.cut();
            if said.found.is_none() {
                during += 1;
            }
            said.judge(&mut kept, &doing);
        }
        let said = machine.start(&disks, Job::Look, cuts).ended();
        assert!(said.found.is_some(), "{layout:?}: {}", said.all);
        said.judge(&mut kept, &format!("{layout:?}, the end"));
        sampler.say(&format!(
            "{layout:?}: {cuts} cuts, {during} of them before a recovery had ended, {kept} commits kept"
        ));
    }
}

#[test]
fn without_flushes_what_was_kept_is_lost() {
    let (sampler, cases) = Sampler::of("powercuts' control", vec![()], 0);
    if cases.is_empty() {
        return;
    }
    let Some(machine) = Machine::find() else { return };
    let disks = Disks::new(Layout::One);
    let mut guest = machine.start(&disks, Job::CommitsUnflushed, 0);
    guest.wait_for(&format!("kept {CONTROLLED}"), "the control");
    let kept = guest.cut().kept;
    let said = machine.start(&disks, Job::Look, 0).ended();
    assert_eq!((kept >= Some(CONTROLLED), said.found), (true, Some(0)), "{}", said.all);
    sampler.say(&format!("{kept:?} commits were said to be kept, none is there"));
}
