//! Resources that the agent reports as exhausted when a step has failed.

use std::fs;

use kiln_protocol::{
    Access, Exhausted, ExitStatus, FromGuest, FullDirectory, GuestConfig, MemoryCounter, Mount, MountSource,
    Room, ToGuest,
};

use crate::agent::{Agent, can_isolate, empty_config, sh};

fn tmpfs(target: &str, options: &str) -> Mount {
    Mount::Filesystem {
        source: MountSource::Name("tmpfs".into()),
        target: target.into(),
        fstype: "tmpfs".into(),
        options: options.into(),
        access: Access::ReadWrite,
    }
}

/// The exhausted resources at the end of a step.
fn end_of(agent: &mut Agent, index: u32, script: &str) -> (ExitStatus, Exhausted) {
    agent.send(&ToGuest::Run(sh(index, script)));
    loop {
        match agent.recv() {
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
    if !can_isolate() {
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
    let mut agent = Agent::start_isolated(GuestConfig { mounts, written, memory, ..empty_config() });
    let (status, exhausted) = end_of(&mut agent, 0, "exit 1");
    assert_eq!((status, exhausted.full), (ExitStatus::Code(1), Vec::new()));
    // Other processes of this machine may run out of memory meanwhile.
    assert!(exhausted.memory.is_some());
    let fill = format!("cat /dev/zero > {space}/fill; for n in 1 2 3 4; do : > {inodes}/$n || break; done");
    // A step that succeeds has no exhausted resources.
    assert_eq!(end_of(&mut agent, 1, &format!("({fill}) 2>/dev/null; :")).1, Exhausted::default());
    // A step's own mount has no effect.
    let hide = format!("mount -t tmpfs none {space}; exit 1");
    let full = |path: &str, lacks| FullDirectory { path: path.to_owned(), lacks };
    assert_eq!(end_of(&mut agent, 2, &hide).1.full, [full(&space, Room::Space), full(&inodes, Room::Inodes)]);
    assert_eq!(
        end_of(&mut agent, 3, &format!("umount {space}; rm {space}/fill {inodes}/1; exit 1")).1.full,
        []
    );
}
