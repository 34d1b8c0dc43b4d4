//! The doctor looks at this machine, and at one that has nothing.

use kiln::{
    commands::doctor::{Examination, State, as_json, as_text, can_build, examine},
    env::Env,
    exit::Failure,
    home::Home,
    host::Host,
};

use crate::process::spawner;

#[tokio::test]
async fn without_any_program_every_gap_has_its_mend() {
    let spawner = spawner();
    let dir = tempfile::tempdir().unwrap();
    let env: Env = [("PATH", dir.path())].into_iter().collect();
    let (home, host) = (Home::at(dir.path()), Host::probe());
    let examination = Examination { env: &env, home: &home, host: &host, spawner: &spawner };
    let findings = examine(&examination, Err(Failure::host("no kernel", "fetch one").into())).await;
    assert!(!can_build(&findings));
    for name in ["qemu", "kernel", "mkfs.erofs", "mmdebstrap"] {
        let finding = findings.iter().find(|finding| finding.name == name).unwrap();
        assert_eq!(finding.state, State::Missing, "{finding:?}");
        assert!(finding.mend.is_some(), "{finding:?}");
    }
    assert!(findings.iter().any(|finding| finding.name == "space for images"));
}

#[tokio::test]
async fn what_is_installed_is_found_with_its_version() {
    let spawner = spawner();
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("mkfs.erofs"), "#!/bin/sh\necho mkfs.erofs 1.5\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("mkfs.erofs"), executable).unwrap();
    let env: Env = [("PATH", &bin)].into_iter().collect();
    let (home, host) = (Home::at(dir.path()), Host::probe());
    let examination = Examination { env: &env, home: &home, host: &host, spawner: &spawner };
    let findings = examine(&examination, Err(anyhow::anyhow!("no kernel"))).await;
    let finding = findings.iter().find(|finding| finding.name == "mkfs.erofs").unwrap();
    assert_eq!(
        (finding.state, finding.detail.ends_with("(mkfs.erofs 1.5)")),
        (State::Ok, true),
        "{finding:?}"
    );
}

#[tokio::test]
async fn what_each_backend_isolates_is_told_as_text_and_as_json() {
    let spawner = spawner();
    let dir = tempfile::tempdir().unwrap();
    let env = Env::of_process();
    let (home, host) = (Home::at(dir.path()), Host::probe());
    let examination = Examination { env: &env, home: &home, host: &host, spawner: &spawner };
    let findings = examine(&examination, Err(anyhow::anyhow!("no kernel"))).await;
    let json: serde_json::Value = serde_json::from_str(&as_json(&findings)).unwrap();
    let text = as_text(&findings);
    for (program, name) in [("qemu", "isolation of qemu"), ("bwrap", "isolation of bubblewrap")] {
        let has = findings.iter().any(|finding| finding.name == program && finding.state == State::Ok);
        let told = json["findings"].as_array().unwrap().iter().find(|finding| finding["name"] == name);
        assert_eq!(told.is_some(), has, "{name}");
        let Some(told) = told.filter(|told| told["state"] == "ok") else { continue };
        let list = |key: &str| told["isolation"][key].as_array().unwrap().clone();
        assert!(list("own").contains(&"processes".into()), "{told}");
        assert!(
            list("shared").contains(&"source (read-only) and cache (as --cache-mode says)".into()),
            "{told}"
        );
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.contains("a build's own: ") && line.contains("; shared with the host: "), "{line}");
    }
}
