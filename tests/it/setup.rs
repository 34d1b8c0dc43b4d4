//! The checks of `images/setup.sh`, with scripts in place of the programs that would change this machine.

use std::{env::consts::ARCH, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn program(directory: &Path, name: &str, script: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
}

#[test]
fn the_static_target_is_added_where_the_compiler_finds_none_whatever_rustups_list_says() {
    let target = format!("{ARCH}-unknown-linux-musl");
    let (remove, add) = (format!("target remove {target}\n"), format!("target add {target}\n"));
    for (listed, there, calls) in [
        (true, true, String::new()),
        (true, false, format!("{remove}{add}")),
        (false, false, add.clone()),
        // Wherever it comes from: it is enough for the compiler.
        (false, true, String::new()),
    ] {
        let root = tempfile::tempdir().expect("a directory");
        let (programs, rustlib) = (root.path().join("bin"), root.path().join("lib/rustlib"));
        fs::create_dir_all(&programs).and_then(|()| fs::create_dir_all(&rustlib)).expect("made");
        let library = format!("lib/rustlib/{target}/lib/libstd-1.rlib");
        if listed {
            let list = rustlib.join(format!("manifest-rust-std-{target}"));
            fs::write(list, format!("file:{library}\n")).expect("written");
        }
        if there {
            fs::create_dir_all(root.path().join(&library).parent().expect("it has one")).expect("made");
            fs::write(root.path().join(&library), "").expect("written");
        }
        program(&programs, "dpkg-query", "echo ok installed");
        program(&programs, "rustc", "echo \"$ROOT\"");
        // As rustup does: what is gone cannot be removed.
        let rustup = format!(
            "case \"$2\" in remove) test -e \"$ROOT/{library}\" || exit 1 ;; esac; echo \"$*\" >> \"$ROOT/calls\""
        );
        program(&programs, "rustup", &rustup);
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("there is a PATH"));
        let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/images/setup.sh");
        let mut command = Command::new("bash");
        command.arg(setup).arg("tools").env("PATH", path).env("ROOT", root.path());
        let output = command.output().expect("bash can be started");
        assert!(output.status.success(), "{output:?}");
        let called = fs::read_to_string(root.path().join("calls")).unwrap_or_default();
        assert_eq!(called, calls, "listed: {listed}, there: {there}");
    }
}
