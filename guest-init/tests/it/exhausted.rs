//! What the agent finds used up when a step has failed.

use std::fs;

use kiln_protocol::{
    Access, Exhausted, ExitStatus, FromGuest, FullDirectory, GuestConfig, MemoryCounter, Mount, MountSource,
    Room, ToGuest,
};

use crate::agent::{Agent, can_be_alone, empty_world, sh};

fn tmpfs(target: &str, options: &str) -> Mount {
    Mount::Filesystem {
        source: MountSource::Name("tmpfs".into()),
        target: target.into(),
        fstype: "tmpfs".into(),
        options: options.into(),
        access: Access::ReadWrite,
    }
}

/// What is said to be used up at the end of a step.
fn end_of(agent: &mut Agent, index: u32, script: &str) -> (ExitStatus, Exhausted) {
    agent.send(&ToGuest::Run(sh(index, script)));
    loop {
        match agent.hear() {
            Some(FromGuest::Ended { step, status, exhausted }) if step == index => {
                return (status, exhausted);
            }
            Some(FromGuest::Output { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_failed_step_reports_full_file_systems_and_what_they_lack() {
    if !can_be_alone() {
        return;
    }
    let scratch = tempfile::tempdir().expect("a directory can be made");
    let [space, inodes, room] = ["space", "inodes", "room"].map(|name| {
        let path = scratch.path().join(name);
        fs::create_dir(&path).expect("made");
        path.to_str().expect("UTF-8").to_owned()
    });
    let mounts = vec![tmpfs(&space, "size=256k"), tmpfs(&inodes, "nr_inodes=4"), tmpfs(&room, "")];
    let written = [&space, &inodes, &room, &"/absent".to_owned()].map(Clone::clone).to_vec();
    let memory = Some(MemoryCounter::Machine);
    let mut agent = Agent::start_alone(GuestConfig { mounts, written, memory, ..empty_world() });
    let (status, exhausted) = end_of(&mut agent, 0, "exit 1");
    assert_eq!((status, exhausted.full), (ExitStatus::Code(1), Vec::new()));
    // How much others on this machine run out of memory is not the agent's.
    assert!(exhausted.memory.is_some());
    let fill = format!("cat /dev/zero > {space}/fill; for n in 1 2 3 4; do : > {inodes}/$n || break; done");
    // What succeeds lacks nothing.
    assert_eq!(end_of(&mut agent, 1, &format!("({fill}) 2>/dev/null; :")).1, Exhausted::default());
    // A mount of the step's own hides nothing.
    let hide = format!("mount -t tmpfs none {space}; exit 1");
    let full = |path: &str, lacks| FullDirectory { path: path.to_owned(), lacks };
    assert_eq!(end_of(&mut agent, 2, &hide).1.full, [full(&space, Room::Space), full(&inodes, Room::Inodes)]);
    assert_eq!(
        end_of(&mut agent, 3, &format!("umount {space}; rm {space}/fill {inodes}/1; exit 1")).1.full,
        []
    );
}
