//! The cause of a failed step in the error.

use std::fs;

use super::{kiln, project, said, step_cause};

#[test]
fn a_guest_without_memory_or_disk_is_told_the_limit_and_what_raises_it() {
    let steps = ["true", "head -c 1G /dev/zero > fill || exit 3"];
    let inodes = ["true", "mkdir many; cd many; perl -e 'while (1) { open F, q(>), $n++ or exit 3 }'"];
    let memory = "one of its processes for want of memory: this build has 300 MiB";
    for (steps, parts) in [
        (["true", step_cause::EAT], ["status 137", memory, "way out: raise package.resources.memory\n"]),
        (
            steps,
            [
                "status 3",
                "no space is left on the guest's disk of 200 MiB",
                "way out: raise package.resources.disk\n",
            ],
        ),
        (
            inodes,
            [
                "status 3",
                "no inode is left for another file on the guest's disk",
                "raise package.resources.disk\n",
            ],
        ),
    ] {
        let directory = project("root", &steps);
        let file = directory.path().join("file.yaml");
        let text = fs::read_to_string(&file).expect("read");
        let resources = "  epoch: 3\n  resources: {memory: 300Mi, disk: 200Mi}\n";
        fs::write(&file, text.replace("  epoch: 3\n", resources)).expect("written");
        let output = kiln(directory.path()).output().expect("kiln can be started");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(5), "{text}");
        for part in parts {
            assert!(step_cause::error_of(&text).contains(part), "{part}: {text}");
        }
    }
}
