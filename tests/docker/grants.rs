//! Capabilities that a build file asks for, and that the command line grants.

use std::process::{Command, Output};

use crate::world::{Place, daemon, said};

#[test]
fn a_capability_beyond_dockers_default_is_the_persons_to_grant() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    place.tail("capabilities:\n  add: [CHOWN, CAP_SYS_ADMIN]\n");
    place.project_of("root", &["true"]);
    let plan = |more: &[&str]| -> Output {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.args(["plan", "--runner", "docker", "--cache-dir", "cache"]).args(more).arg("file.yaml");
        kiln.current_dir(place.project()).env("KILN_HOME", place.home()).output().unwrap()
    };
    let refused = plan(&[]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    for part in ["file.yaml:9:16: CAP_SYS_ADMIN", "--runner docker", "--allow-capability SYS_ADMIN."] {
        assert!(said(&refused).contains(part), "{part}: {}", said(&refused));
    }
    let granted = plan(&["--allow-capability", "CAP_SYS_ADMIN"]);
    assert!(granted.status.success(), "{}", said(&granted));
    let plan = String::from_utf8_lossy(&granted.stdout).into_owned();
    for part in [
        "capabilities docker's default set, and SYS_ADMIN (granted by --allow-capability)",
        "--cap-add SYS_ADMIN",
        "note         docker: SYS_ADMIN granted: root in a container is root of this host",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
}
