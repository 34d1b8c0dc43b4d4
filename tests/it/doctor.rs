//! `kiln doctor` on this machine, and on one without programs.

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
    assert!(findings.iter().any(|finding| finding.name == "images and state"));
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

/// The findings on a machine without programs, as text and as JSON.
#[test]
fn the_program_says_so_in_text_and_as_json_and_ends_with_4() {
    let dir = tempfile::tempdir().unwrap();
    let doctor = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
        command
            .arg("doctor")
            .args(arguments)
            .env_clear()
            .env("PATH", dir.path())
            .env("KILN_HOME", dir.path());
        command.env("QEMU_DISKS_PATH", "/no/such").env("QEMU_VIRTIOFS_PATH", dir.path());
        command.env("QEMU_KERNEL_IMAGE", "/no/kernel");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert_eq!(output.stderr, b"", "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = doctor(&[]);
    for line in [
        "missing  qemu              qemu-system-x86_64 is in no directory of $PATH\n                           \
         -> apt-get install qemu-system-x86\n",
        "missing  kernel            QEMU_KERNEL_IMAGE: /no/kernel: No such file or directory",
        "warning  kvm               not probed",
        "warning  virtiofsd         QEMU_VIRTIOFS_PATH names ",
        "missing  mkfs.erofs        not installed; images are made with it\n",
        "missing  mmdebstrap        not installed; Debian images are made with it\n",
        "warning  bwrap             not installed; --runner bubblewrap needs it\n",
        "warning  docker            docker is not installed\n",
        "missing  scratch files     /no/such: this user cannot write in /no/such: No such file or directory\n",
        "-> Set QEMU_DISKS_PATH to a directory that this user can write, on a disk with space.\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&doctor(&["--json"])).unwrap();
    assert_eq!(json["can_build"], false);
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), text.lines().filter(|line| !line.starts_with("  ")).count());
    // Each missing part has its fix.
    for finding in findings.iter().filter(|finding| finding["state"] == "missing") {
        assert!(finding["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{finding}");
    }
}

#[tokio::test]
async fn every_virtiofsd_is_named_the_one_that_is_taken_first() {
    let spawner = spawner();
    let dir = tempfile::tempdir().unwrap();
    for (place, version) in [("named", "1.13.1"), ("home/bin", "1.9.0")] {
        let program = dir.path().join(place).join("virtiofsd");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, format!("#!/bin/sh\necho virtiofsd {version}\n")).unwrap();
        std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let env: Env = [("PATH", dir.path().to_owned()), ("QEMU_VIRTIOFS_PATH", dir.path().join("named"))]
        .into_iter()
        .collect();
    let (home, host) = (Home::at(dir.path().join("home")), Host::probe());
    let examination = Examination { env: &env, home: &home, host: &host, spawner: &spawner };
    let findings = examine(&examination, Err(anyhow::anyhow!("no kernel"))).await;
    let finding = findings.iter().find(|finding| finding.name == "virtiofsd").unwrap();
    let detail = finding.detail.replace(&*dir.path().to_string_lossy(), "DIR");
    assert_eq!(finding.state, State::Ok, "{finding:?}");
    assert!(detail.starts_with("DIR/named/virtiofsd (1.13.1)"), "{detail}");
    assert!(detail.ends_with("DIR/home/bin/virtiofsd is version 1.9, older than 1.10"), "{detail}");
}

/// With `--fix` what can be installed is installed and looked at again; what fails is an error that says what to do.
#[test]
fn with_fix_what_is_missing_is_set_up_and_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let (bin, home) = (dir.path().join("bin"), dir.path().join("home"));
    let executable = |path: &std::path::Path, text: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    for (name, text) in [
        ("dpkg-query", "exit 1"),
        ("id", "echo 0"),
        ("grep", "exit 1"),
        (
            "apt-get",
            "[ \"$1\" = update ] || printf '#!/bin/sh\\necho mkfs.erofs 1.5\\n' > \"${0%/*}/mkfs.erofs\"; \
             /bin/chmod -f 755 \"${0%/*}/mkfs.erofs\" || :",
        ),
    ] {
        executable(&bin.join(name), &format!("#!/bin/sh\n{text}\n"));
    }
    executable(&home.join("bin/virtiofsd"), "#!/bin/sh\necho virtiofsd 1.14.0\n");
    executable(&home.join("kernels/none/vmlinuz"), "");
    std::os::unix::fs::symlink("/bin/bash", bin.join("bash")).unwrap();
    let doctor = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.args(["doctor", "--fix"]).env_clear().env("PATH", &bin).env("KILN_HOME", &home);
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        (output.status.code(), out, err)
    };
    let (code, out, err) = doctor();
    assert!(err.starts_with("setup: installs qemu-system-x86 "), "{err}");
    assert!(out.contains("mkfs.erofs 1.5)") && out.contains("missing  qemu "), "{out}\n{err}");
    assert_eq!(code, Some(4), "QEMU is missing still");
    executable(&bin.join("apt-get"), "#!/bin/sh\necho no network >&2\nexit 100\n");
    let (code, out, err) = doctor();
    assert!(code == Some(4) && out.contains("missing  qemu "), "{out}");
    let said = "no network\nkiln: setting up tools, kernel failed (exit status 100)";
    assert!(err.contains(said) && err.contains("start kiln doctor --fix again"), "{err}");
}
