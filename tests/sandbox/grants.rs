//! Capabilities that a build file asks for, and that the command line grants.

use std::{fs, process::Command};

use crate::{has_bwrap, project, said};

type Refusal = Option<(&'static str, &'static str)>;

/// The capabilities of a build file, the granted ones, and the place and names in the refusal.
const GRANTS: &[(&str, &str, Refusal)] = &[
    ("CAP_SYS_ADMIN", "", Some(("file.yaml:3:9: CAP_SYS_ADMIN", "SYS_ADMIN"))),
    ("sys_ptrace", "NET_ADMIN", Some(("file.yaml:3:9: CAP_SYS_PTRACE", "SYS_PTRACE"))),
    ("CHOWN, BPF, SYS_BOOT", "CAP_BPF", Some(("file.yaml:3:21: CAP_SYS_BOOT", "SYS_BOOT"))),
    ("BPF, SYS_BOOT", "", Some(("file.yaml:3:14: CAP_SYS_BOOT", "SYS_BOOT,BPF"))),
    ("SYS_ADMIN", "sys_admin", None),
    ("CAP_BPF, SYS_BOOT", "SYS_BOOT,CAP_BPF", None),
    ("CHOWN, CAP_NET_RAW", "", None),
];

#[test]
fn a_capability_beyond_dockers_default_is_the_persons_to_grant() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let plan = |add: &str, grant: &str| {
        let head = "package: {name: a, version: '1', epoch: 0}";
        let text = format!("{head}\ncapabilities:\n  add: [{add}]\npipeline: [{{runs: 'true'}}]\n");
        fs::write(project.join("file.yaml"), text).expect("written");
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.current_dir(&project).args(["plan", "--runner", "bubblewrap", "--cache-dir", ""]);
        if !grant.is_empty() {
            kiln.args(["--allow-capability", grant]);
        }
        kiln.arg("file.yaml").output().expect("kiln can be started")
    };
    for (add, grant, refused) in GRANTS {
        let output = plan(add, grant);
        let text = said(&output);
        let Some((place, names)) = refused else {
            assert!(output.status.success(), "{add}: {text}");
            let plan = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = plan.lines().find(|line| line.starts_with("capabilities")).expect("a line");
            assert_eq!(line.contains("granted by --allow-capability"), !grant.is_empty(), "{line}");
            continue;
        };
        assert_eq!(output.status.code(), Some(2), "{add}: {text}");
        for part in [place, "--runner bubblewrap", &*format!("--allow-capability {names}.")] {
            assert!(text.contains(part), "{add}: {part}: {text}");
        }
    }
    assert_eq!(plan("CHOWN", "FLY").status.code(), Some(2));
}
