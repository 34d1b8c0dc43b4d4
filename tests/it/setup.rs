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

/// A machine on which `images/setup.sh kernel-backports` runs: what its distribution is and has, and what is in kiln's store.
struct Machine {
    os_release: &'static str,
    usual: &'static str,
    backports: &'static str,
    hwe: &'static str,
    stored: &'static [&'static str],
    /// Whether the signature of the package list is right.
    signed: bool,
}

const BOOKWORM: Machine = Machine {
    os_release: "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm",
    usual: "6.1.0-57-amd64",
    backports: "6.12.95+deb12-amd64",
    hwe: "",
    stored: &["6.1.0-57-amd64"],
    signed: true,
};

/// What the script did: its exit code, its words, what it asked of apt, and the kernels of the store.
struct Done {
    code: Option<i32>,
    said: String,
    asked: String,
    stored: Vec<String>,
}

/// Writes the programs that the script asks, as they answer on this machine.
fn distribution(programs: &Path, machine: &Machine) {
    let Machine { os_release: _, usual, backports, hwe, stored: _, signed } = machine;
    program(programs, "id", "echo 1000");
    program(programs, "dpkg-query", "echo ok installed");
    let depends = |version: &str| match version {
        "" => "exit 100".to_owned(),
        version => format!("echo '  Depends: linux-image-{version}'"),
    };
    let apt_cache = format!(
        "case \"$*\" in *linux-image-generic-hwe-24.04*) {} ;; *depends\\ linux-image-[0-9]*) ;; *Dir::Etc*) {} ;; *) {} ;; esac",
        depends(hwe),
        depends(backports),
        depends(usual)
    );
    program(programs, "apt-cache", &apt_cache);
    // The package has the name of its version.
    let apt_get = format!(
        "echo \"$*\" >> \"$ROOT/asked\"
case \"$*\" in
  indextargets*) echo http://mirror.test/debian/ ;;
  *update*) cat \"$ROOT\"/tmp/*/sources.list >> \"$ROOT/asked\"; {signed} ;;
  *download*) for last; do :; done; touch \"$last.deb\" ;;
esac"
    );
    program(programs, "apt-get", &apt_get);
    let dpkg = "version=${2##*linux-image-}; version=${version%.deb}
mkdir -p \"$3/boot\" \"$3/lib/modules/$version\" && echo kernel > \"$3/boot/vmlinuz-$version\"";
    program(programs, "dpkg", dpkg);
    program(programs, "depmod", "touch \"$2/lib/modules/$3/modules.dep\"");
}

fn kernel_backports(machine: &Machine) -> Done {
    let Machine { os_release, stored, .. } = machine;
    let root = tempfile::tempdir().expect("a directory");
    let (programs, scratch, home) =
        (root.path().join("bin"), root.path().join("tmp"), root.path().join("home"));
    for directory in [&programs, &scratch, &home.join("kernels")] {
        fs::create_dir_all(directory).expect("made");
    }
    for version in *stored {
        let kernel = home.join("kernels").join(version);
        fs::create_dir_all(&kernel).and_then(|()| fs::write(kernel.join("vmlinuz"), "")).expect("made");
    }
    distribution(&programs, machine);
    fs::write(root.path().join("os-release"), os_release).expect("written");
    let script = include_str!("../../images/setup.sh");
    assert!(script.contains(". /etc/os-release\n"), "it reads the distribution's name there");
    let here = root.path().join("os-release").display().to_string();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("there is a PATH"));
    let mut command = Command::new("bash");
    command.args(["-c", &script.replace("/etc/os-release", &here), "setup", "kernel-backports"]);
    command.env("PATH", path).env("ROOT", root.path()).env("TMPDIR", &scratch).env("KILN_HOME", &home);
    let output = command.output().expect("bash can be started");
    assert_eq!(fs::read_dir(&scratch).expect("it is there").count(), 0, "no scratch is left: {output:?}");
    let complete = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("UTF-8");
        entry.path().join("vmlinuz").is_file().then_some(name)
    };
    let kernels = fs::read_dir(home.join("kernels")).expect("it is there");
    let mut kernels: Vec<String> = kernels.filter_map(|entry| complete(entry.expect("listed"))).collect();
    kernels.sort_unstable();
    Done {
        code: output.status.code(),
        said: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        asked: fs::read_to_string(root.path().join("asked")).unwrap_or_default(),
        stored: kernels,
    }
}

#[test]
fn a_newer_kernel_of_debian_comes_by_sources_of_its_own_with_debians_keys() {
    let done = kernel_backports(&BOOKWORM);
    assert_eq!(done.code, Some(0), "{}", done.said);
    assert_eq!(done.stored, ["6.1.0-57-amd64", "6.12.95+deb12-amd64"], "{}", done.said);
    let source = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.test/debian/ \
                  bookworm-backports main\n";
    assert!(done.asked.contains(source), "{}", done.asked);
    for line in done.asked.lines().filter(|line| line.contains("update") || line.contains("download")) {
        for option in
            ["Dir::Etc::sourcelist=", "Dir::Etc::sourceparts=/dev/null", "Dir::State::lists=", "Dir::Cache="]
        {
            assert!(line.contains(option), "the host's own is used: {line}");
        }
        assert!(!line.contains(" install"), "{line}");
    }
}

#[test]
fn where_the_usual_kernel_is_new_enough_it_is_taken_and_named() {
    for (os_release, version) in [
        ("ID=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie", "6.12.60+deb13-amd64"),
        ("ID=ubuntu\nVERSION_ID=26.04", "7.0.0-14-generic"),
    ] {
        let done = kernel_backports(&Machine { os_release, usual: version, stored: &[], ..BOOKWORM });
        assert_eq!((done.code, done.stored), (Some(0), vec![version.to_owned()]), "{}", done.said);
        assert!(done.said.contains("is new enough") && !done.asked.contains("update"), "{}", done.said);
    }
    let hwe = Machine {
        os_release: "ID=ubuntu\nVERSION_ID=24.04",
        usual: "6.8.0-151-generic",
        hwe: "7.0.0-44-generic",
        ..BOOKWORM
    };
    assert_eq!(kernel_backports(&hwe).stored, ["6.1.0-57-amd64", "7.0.0-44-generic"]);
}

#[test]
fn a_newer_kernel_that_is_there_is_not_fetched_again() {
    let done = kernel_backports(&Machine { stored: &["6.1.0-57-amd64", "6.11.2-amd64"], ..BOOKWORM });
    assert_eq!((done.code, done.asked.as_str()), (Some(0), ""), "{}", done.said);
    assert!(done.said.contains("kernel 6.11.2-amd64 is there"), "{}", done.said);
}

#[test]
fn without_a_newer_kernel_or_a_good_signature_nothing_is_stored() {
    let too_old = Machine { backports: "6.10.11+bpo-amd64", ..BOOKWORM };
    let none = Machine { os_release: "ID=other\nVERSION_ID=1", usual: "", ..BOOKWORM };
    let unsigned = Machine { signed: false, ..BOOKWORM };
    for (machine, why) in
        [(too_old, "offers no kernel"), (none, "offers no kernel"), (unsigned, "reads the package list")]
    {
        let done = kernel_backports(&machine);
        assert!(done.code != Some(0) && done.said.contains(why), "{}", done.said);
        assert_eq!(done.stored, ["6.1.0-57-amd64"], "{}", done.said);
        assert!(!done.asked.contains("download"), "{}", done.asked);
    }
}
