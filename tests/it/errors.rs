//! Errors of a machine or a build file: the whole text, with its way out, and the exit code.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use kiln::{env::Env, home::Home, host::find_program};

use crate::skip::skip;

const GOOD: &str =
    "package: {name: sample, version: '1', epoch: 0}\npipeline:\n- name: one\n  runs: echo made\n";

/// Every module that a build may need, as a kernel lists what is built in.
const BUILT_IN: &str = "kernel/virtio_mmio.ko\nkernel/virtio_console.ko\nkernel/virtio_blk.ko\nkernel/erofs.ko\n\
    kernel/overlay.ko\nkernel/ext4.ko\nkernel/9p.ko\nkernel/9pnet_virtio.ko\nkernel/virtiofs.ko\n";

/// A machine on which there is nothing but what a test puts there: an empty `$PATH`, an empty home of kiln, a project.
pub(crate) struct Bare {
    root: tempfile::TempDir,
}

impl Bare {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("kiln-errors-").tempdir().unwrap();
        for directory in ["bin", "home", "project"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        let bare = Self { root };
        bare.write("project/file.yaml", GOOD);
        bare
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A program that is a shell script.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// A program of this machine.
    pub(crate) fn real(&self, name: &str) -> bool {
        let there = find_program(&Env::of_process(), name);
        if there.is_none() {
            skip(&format!("{name} is not installed"));
        }
        there.is_some_and(|path| symlink(path, self.at("bin").join(name)).is_ok())
    }

    /// A script that answers as QEMU does when it is asked for its version and its firmware.
    fn qemu(&self) {
        self.write("firmware/qboot.rom", "");
        let firmware = self.at("firmware");
        let script = format!(
            "case $1 in --version) echo QEMU emulator version 9.0.0;; -L) echo '{}';; esac",
            firmware.display()
        );
        self.program("qemu-system-x86_64", &script);
    }

    /// A kernel with these modules built in.
    fn kernel(&self, built_in: &str) -> [(&'static str, PathBuf); 2] {
        self.write("modules/modules.dep", "");
        self.write("modules/modules.builtin", built_in);
        let image = self.write("vmlinux", vmlinux());
        [("QEMU_KERNEL_IMAGE", image), ("QEMU_KERNEL_MODULES", self.at("modules"))]
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", self.at("bin")).env("KILN_HOME", self.at("home"));
        command.env("TMPDIR", self.root.path()).current_dir(self.at("project")).stdin(Stdio::null());
        command
    }

    pub(crate) fn kiln(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_kiln"));
        command.args(arguments);
        command
    }

    /// kiln where these directories are empty, whatever this machine has in them.
    fn kiln_without(&self, hidden: &[&str], arguments: &[&str]) -> Option<Command> {
        let Some(bwrap) = find_program(&Env::of_process(), "bwrap") else {
            skip("bwrap is not installed");
            return None;
        };
        let mut command = self.command(bwrap);
        command.args(["--dev-bind", "/", "/"]);
        for directory in hidden.iter().filter(|directory| Path::new(directory).is_dir()) {
            command.args(["--tmpfs", directory]);
        }
        command.arg("--").arg(env!("CARGO_BIN_EXE_kiln")).args(arguments);
        Some(command)
    }

    /// The output of kiln from its first `error:` on, with ROOT for the directory of this machine; it ended with `code`.
    #[track_caller]
    pub(crate) fn error_of(&self, mut command: Command, code: i32) -> String {
        let said = self.said(&command.output().unwrap(), code);
        let start = said.find("error: ").unwrap_or_else(|| panic!("no error: {said}"));
        let result = format!("(exit code {code})\n");
        assert!(said[..start].contains(&result), "{said}");
        said[start..].to_owned()
    }

    #[track_caller]
    pub(crate) fn said(&self, output: &Output, code: i32) -> String {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        said.replace(&*self.root.path().to_string_lossy(), "ROOT")
    }
}

/// The least that is taken for a kernel: an ELF file with a PVH entry, which says its release.
fn vmlinux() -> Vec<u8> {
    const EM_X86_64: u8 = 62;
    const PT_NOTE: u8 = 4;
    const PVH_ENTRY: u32 = 18;
    let mut file = vec![0; 64 + 56];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (file[18], file[32], file[54], file[56]) = (EM_X86_64, 64, 56, 1);
    (file[64], file[64 + 8], file[64 + 32]) = (PT_NOTE, 64 + 56, 20);
    file.extend([4, 4, PVH_ENTRY].iter().flat_map(|number: &u32| number.to_le_bytes()));
    file.extend(b"Xen\0\0\0\0\0Linux version 6.1.0-test (builder)");
    file
}

#[test]
fn a_build_file_with_faults_names_them_all_with_their_places() {
    let bare = Bare::new();
    let faults =
        "package:\n  name: sample\n  version: '1'\n  epoch: many\n  nmae: x\npipeline:\n- runz: make\n";
    bare.write("project/file.yaml", faults);
    assert_eq!(
        bare.error_of(bare.kiln(&["build", "file.yaml"]), 3),
        "error: file.yaml:4:10: expected a whole number, not below 0, without quotes, found `many`
         |
       4 |   epoch: many
         |          ^

       file.yaml:5:3: unknown key `nmae` in package
         |
       5 |   nmae: x
         |   ^
         = did you mean `name`?

       file.yaml:7:3: unknown key `runz` in a step
         |
       7 | - runz: make
         |   ^
         = did you mean `runs`?
"
    );
}

#[test]
fn packages_that_debian_lacks_are_named_with_their_places_and_the_pipelines_that_need_them() {
    let bare = Bare::new();
    bare.write(
        "project/file.yaml",
        "package: {name: sample, version: '1', epoch: 0}
environment:
  contents:
    packages: [make, 'zlib-dve>1', go-1.27]
pipeline:
- uses: maven/pombump
- pipeline:
  - uses: xcover/profile
    with: {executable-path: x}
- needs: {packages: [no-such-thing]}
  runs: make
",
    );
    assert_eq!(
        bare.error_of(bare.kiln(&["build", "file.yaml"]), 3),
        "error: file.yaml:4:22: Debian has no known counterpart of the package `zlib-dve>1`
         |
       4 |     packages: [make, 'zlib-dve>1', go-1.27]
         |                      ^
         = did you mean `zlib-dev`? Otherwise name Debian's package in the image (--image debian:bookworm+package,…) and \
         leave this one out, or give a prepared root (--image DIRECTORY|TAR)

       file.yaml:6:9: the pipeline `maven/pombump` needs the package `pombump`, of which Debian has no known counterpart
         |
       6 | - uses: maven/pombump
         |         ^
         = build in an image that has it (--image DIRECTORY|TAR), or install it in an earlier step, and give a definition \
         `maven/pombump` without it under `needs` in a --pipeline-dir

       file.yaml:8:11: the pipeline `xcover/profile` needs the package `xcover`, of which Debian has no known counterpart
         |
       8 |   - uses: xcover/profile
         |           ^
         = build in an image that has it (--image DIRECTORY|TAR), or install it in an earlier step, and give a definition \
         `xcover/profile` without it under `needs` in a --pipeline-dir

       file.yaml:10:22: Debian has no known counterpart of the package `no-such-thing`
          |
       10 | - needs: {packages: [no-such-thing]}
          |                      ^
         = name Debian's package in the image (--image debian:bookworm+package,…) and leave this one out, or give a \
         prepared root (--image DIRECTORY|TAR)
"
    );
    bare.write("project/file.yaml", GOOD);
    assert_eq!(
        bare.error_of(bare.kiln(&["build", "--package-append", "no-such-thing", "file.yaml"]), 2),
        "error: --package-append: Debian has no known counterpart of no-such-thing\nway out: name Debian's package in the image (--image \
         debian:bookworm+package,…) and leave this one out, or give a prepared root (--image DIRECTORY|TAR)\n"
    );
}

#[test]
fn a_build_file_that_is_not_there_is_named() {
    let bare = Bare::new();
    assert_eq!(
        bare.error_of(bare.kiln(&["build", "absent.yaml"]), 3),
        "error: absent.yaml: cannot be read: No such file or directory (os error 2)\n         \
         = name a file that is there, from the current directory\n"
    );
    assert_eq!(
        bare.error_of(bare.kiln(&["build"]), 2),
        "error: melange.yaml is missing\nway out: name a build file; where none is named, one of these is taken: \
         .melange.yaml, .melange.yml, melange.yaml, melange.yml\n"
    );
}

#[test]
fn what_cannot_be_understood_is_an_error_of_usage() {
    let bare = Bare::new();
    bare.write("project/file", "");
    let mut virtiofs = bare.kiln(&["build", "file.yaml"]);
    virtiofs.env("QEMU_USE_VIRTIOFS", "yes");
    for (command, code, said) in [
        (
            virtiofs,
            2,
            "error: QEMU_USE_VIRTIOFS=yes is neither true nor false\n\
             way out: Write one of 1 t T TRUE true True for true, or of 0 f F FALSE false False for false.\n",
        ),
        (
            bare.kiln(&["build", "--cache-dir", "file", "file.yaml"]),
            7,
            "error: --cache-dir: ROOT/project/file is not a directory\nway out: name a directory, or \"\" for no cache\n",
        ),
        (
            bare.kiln(&["build", "-i", "file.yaml"]),
            2,
            "error: -i: stdin is not a terminal\nway out: run it in a terminal, or leave -i out; --keep-on-failure keeps \
             the workspace\n",
        ),
        (
            bare.kiln(&["build", "--step-timeout", "soon", "file.yaml"]),
            2,
            "error: --step-timeout: \"soon\" is not a duration\nway out: write a duration such as 90s, 10m or 1h30m\n",
        ),
    ] {
        assert_eq!(bare.error_of(command, code), said);
    }
}

#[test]
fn a_program_that_is_missing_is_named_with_its_package() {
    let bare = Bare::new();
    for (runner, said) in [
        (
            "qemu",
            "error: qemu-system-x86_64 is in no directory of $PATH\nway out: apt-get install qemu-system-x86\n",
        ),
        (
            "docker",
            "error: docker is not installed\nway out: images/setup.sh docker (apt-get install docker.io)\n",
        ),
        ("bubblewrap", "error: bwrap is not installed\nway out: apt-get install bubblewrap\n"),
    ] {
        assert_eq!(
            bare.error_of(bare.kiln(&["build", "--runner", runner, "file.yaml"]), 4),
            said,
            "{runner}"
        );
    }
}

const OTHER_KERNEL: &str = "way out: Fetch one with `images/setup.sh kernel`, or name one in QEMU_KERNEL_IMAGE and its \
                            modules in QEMU_KERNEL_MODULES.\n";

#[test]
fn without_a_kernel_there_is_no_guest() {
    let bare = Bare::new();
    bare.qemu();
    if let Some(command) = bare.kiln_without(&["/boot"], &["build", "file.yaml"]) {
        assert_eq!(
            bare.error_of(command, 4),
            format!(
                "error: there is no kernel for the guest: none in the store, none of the host in /boot\n{OTHER_KERNEL}"
            )
        );
    }
    let mut named = bare.kiln(&["build", "file.yaml"]);
    named.env("QEMU_KERNEL_IMAGE", "/nowhere/vmlinuz");
    assert_eq!(
        bare.error_of(named, 4),
        format!(
            "error: QEMU_KERNEL_IMAGE: /nowhere/vmlinuz: No such file or directory (os error 2)\n{OTHER_KERNEL}"
        )
    );
}

#[test]
fn a_kernel_that_lacks_something_is_refused_with_all_that_it_lacks() {
    let bare = Bare::new();
    bare.qemu();
    let some: String =
        BUILT_IN.lines().filter(|line| !line.contains("9p")).map(|line| format!("{line}\n")).collect();
    let some = some.replace("kernel/erofs.ko\n", "");
    let mut command = bare.kiln(&["build", "file.yaml"]);
    command.envs(bare.kernel(&some));
    assert_eq!(
        bare.error_of(command, 4),
        format!("error: kernel 6.1.0-test (ROOT/vmlinux) lacks erofs, 9p (9p, 9pnet_virtio)\n{OTHER_KERNEL}")
    );
}

#[test]
fn without_a_virtiofsd_every_place_that_was_looked_at_is_named() {
    let bare = Bare::new();
    bare.qemu();
    let arguments = ["build", "--accel", "tcg", "file.yaml"];
    if let Some(mut command) = bare.kiln_without(&["/usr/libexec", "/usr/lib/qemu"], &arguments) {
        command.env("QEMU_USE_VIRTIOFS", "1").envs(bare.kernel(BUILT_IN));
        assert_eq!(
            bare.error_of(command, 4),
            "error: no virtiofsd can be used (/usr/libexec/virtiofsd: is not there; /usr/lib/qemu/virtiofsd: is not there; \
             $PATH/virtiofsd: is not there; ROOT/home/bin/virtiofsd: is not there)\n\
             way out: apt-get install virtiofsd (Debian 13, Ubuntu 24.04), or images/setup.sh virtiofsd, or name the directory of \
             another in QEMU_VIRTIOFS_PATH.\n"
        );
    }
    let mut named = bare.kiln(&arguments);
    named.env("QEMU_USE_VIRTIOFS", "1").env("QEMU_VIRTIOFS_PATH", bare.at("bin")).envs(bare.kernel(BUILT_IN));
    assert_eq!(
        bare.error_of(named, 4),
        "error: QEMU_VIRTIOFS_PATH names ROOT/bin, where there is no virtiofsd\n\
         way out: Set it to the directory that has virtiofsd, or unset it.\n"
    );
}

#[test]
fn an_image_that_cannot_be_made_says_what_its_maker_said() {
    let bare = Bare::new();
    if !bare.real("bwrap") {
        return;
    }
    bare.program("mkfs.erofs", "echo packing; echo 'no space left' >&2; exit 3");
    fs::create_dir(bare.at("root")).unwrap();
    let command = bare.kiln(&["build", "--runner", "bubblewrap", "--image", "../root", "file.yaml"]);
    assert_eq!(
        bare.error_of(command, 4),
        "error: image ROOT/root cannot be made: mkfs.erofs: exit status 3: packing\n       no space left\n\
         way out: Its output has the reason; names of packages and suites are Debian's.\n"
    );
    let images: Vec<_> =
        fs::read_dir(bare.at("home/images")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(images.iter().all(|path| path.extension().is_some_and(|ending| ending == "lock")), "{images:?}");
}

#[test]
fn overlays_cannot_lie_in_what_they_are_laid_over() {
    let bare = Bare::new();
    if !bare.real("bwrap") {
        return;
    }
    fs::create_dir_all(bare.at("project/scratch")).unwrap();
    let mut command = bare.kiln(&["build", "--runner", "bubblewrap", "file.yaml"]);
    command.env("QEMU_DISKS_PATH", bare.at("project/scratch"));
    assert_eq!(
        bare.error_of(command, 2),
        "error: QEMU_DISKS_PATH: ROOT/project/scratch lies in the source directory (ROOT/project), over which a \
         sandbox has an overlay: Linux does not allow an upper directory in a lower one\n\
         way out: Set QEMU_DISKS_PATH to a directory elsewhere.\n"
    );
    let mut command = bare.kiln(&[
        "build",
        "--runner",
        "bubblewrap",
        "--cache-dir",
        "../cache",
        "--cache-mode",
        "discard",
        "file.yaml",
    ]);
    fs::create_dir_all(bare.at("cache/scratch")).unwrap();
    command.env("TMPDIR", bare.at("cache/scratch"));
    assert!(
        bare.error_of(command, 2)
            .starts_with("error: TMPDIR: ROOT/cache/scratch lies in the cache directory (ROOT/cache)"),
        "the cache is laid over as well"
    );
}

/// A project on a machine with the programs of a sandbox, and with the images of the user's own home.
fn with_sandboxes() -> Option<Bare> {
    let bare = Bare::new();
    if !bare.real("bwrap") {
        return None;
    }
    for name in ["mkfs.erofs", "mmdebstrap"] {
        assert!(bare.real(name), "{name} is needed for a root");
    }
    let everybodys = Home::find(&Env::of_process()).unwrap();
    symlink(everybodys.dir("images").unwrap(), bare.at("home/images")).unwrap();
    Some(bare)
}

#[test]
fn a_step_that_takes_too_long_says_which_limit_it_was() {
    let Some(bare) = with_sandboxes() else { return };
    bare.write("project/file.yaml", GOOD.replace("echo made", "sleep 1000"));
    for (flag, whose) in [("--step-timeout", "the step"), ("--timeout", "the build")] {
        let arguments = ["build", "--runner", "bubblewrap", "--cache-dir", "", flag, "1s", "file.yaml"];
        let mut command = bare.kiln(&arguments);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        assert_eq!(
            bare.error_of(command, 6),
            format!(
                "error: file.yaml:3: step \"one\" of sample was ended: {whose} may take 1s\n\
                 way out: raise {flag}, or the timeout of the build file\n"
            )
        );
    }
}

#[test]
fn a_step_that_fails_gives_its_status_its_last_lines_and_the_way_to_a_shell() {
    let Some(bare) = with_sandboxes() else { return };
    let lines = "for n in $(seq 30); do echo line $n; done; echo not found >&2; exit 3";
    let steps = format!("- name: compile\n  runs: {lines}\n- runs: echo never\n");
    bare.write("project/a b.yaml", GOOD.replace("- name: one\n  runs: echo made\n", &steps));
    let arguments = ["build", "--runner", "bubblewrap", "--cache-dir", "", "a b.yaml"];
    let mut command = bare.kiln(&arguments);
    // The image's makers, should it have to be made.
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.output().unwrap();
    let said = bare.said(&output, 5);
    let kiln = env!("CARGO_BIN_EXE_kiln");
    let end = format!(
        "  | not found\nerror: a b.yaml:3: step \"compile\" of sample exited with status 3\n\
         way out: a shell at this step: {kiln} build -i --runner bubblewrap --cache-dir '' 'a b.yaml'\n"
    );
    assert!(said.ends_with(&end), "{said}");
    assert!(said.contains("the last lines of its output (20):\n  | line 12\n"), "{said}");
    assert!(said.contains("sample-1-r0: failed after ") && !said.contains("never"), "{said}");
    let logs =
        said.lines().find_map(|line| line.strip_prefix("  logs: ROOT/")).unwrap_or_else(|| panic!("{said}"));
    let kept = fs::read_to_string(bare.at(logs).join("output.log")).unwrap();
    assert!(kept.contains("line 1\n") && kept.contains("not found\n"), "{kept}");
}

#[test]
fn events_have_the_code_the_error_and_the_way_out() {
    let bare = Bare::new();
    let output = bare.kiln(&["build", "--progress", "json", "file.yaml"]).output().unwrap();
    assert_eq!((bare.said(&output, 4).as_str(), output.status.code()), ("", Some(4)));
    let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    let event: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(event["event"], "finished");
    assert_eq!((&event["outcome"], &event["exit_code"]), (&"failed".into(), &4.into()));
    assert_eq!(event["error"], "qemu-system-x86_64 is in no directory of $PATH");
    assert_eq!(event["way_out"], "apt-get install qemu-system-x86");
}

#[test]
fn a_program_is_told_of_a_failed_step_with_its_place() {
    let Some(bare) = with_sandboxes() else { return };
    bare.write("project/steps/outer.yaml", "pipeline:\n  - uses: inner\n");
    bare.write("project/steps/inner.yaml", "pipeline:\n  - runs: 'true'\n  - runs: exit 3\n");
    let options = ["--runner", "bubblewrap", "--cache-dir", "", "--pipeline-dirs", "steps"];
    for (steps, line, column, written_at) in [
        ("- name: ü\n  runs: exit 3\n", 3, 3, ""),
        ("- runs: 'true'\n- name: one\n  uses: outer\n", 5, 9, " (written at steps/inner.yaml:3)"),
    ] {
        bare.write("project/file.yaml", GOOD.replace("- name: one\n  runs: echo made\n", steps));
        for progress in ["json", "plain"] {
            let mut command = bare.kiln(&["build", "--progress", progress]);
            command.args(options).arg("file.yaml").env("PATH", std::env::var_os("PATH").unwrap());
            let output = command.output().unwrap();
            let said = bare.said(&output, 5);
            let place = format!("error: file.yaml:{line}: step ");
            if progress == "plain" {
                assert!(said.contains(&place) && said.contains(written_at), "{said}");
                continue;
            }
            let stdout = String::from_utf8(output.stdout).unwrap();
            let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
            let fault = &last["faults"][0];
            assert_eq!((&fault["line"], &fault["column"]), (&line.into(), &column.into()), "{last}");
            assert_eq!(fault["file"], "file.yaml");
            assert!(fault["message"].as_str().unwrap().ends_with("of sample exited with status 3"), "{last}");
            assert!(last["error"].as_str().unwrap().ends_with(&format!("status 3{written_at}")), "{last}");
        }
    }
}

#[test]
fn kilns_own_errors_are_125_where_the_status_is_a_commands() {
    let bare = Bare::new();
    for (arguments, said) in [
        (
            ["run", "--cpu=many", "--", "true"].as_slice(),
            "kiln: --cpu: \"many\" is not a number of processors\n  write a number such as 2\n",
        ),
        (
            &["run", "--", "true"],
            "kiln: qemu-system-x86_64 is in no directory of $PATH\n  apt-get install qemu-system-x86\n",
        ),
        (
            &["shell"],
            "kiln: kiln shell: stdin is not a terminal\n  run it in a terminal, or use `kiln run -- COMMAND`\n",
        ),
    ] {
        let output = bare.kiln(arguments).output().unwrap();
        assert_eq!(bare.said(&output, 125), said);
    }
}

#[test]
fn a_program_is_told_of_each_fault_with_its_place() {
    let bare = Bare::new();
    bare.write("project/file.yaml", "package:\n  name: sample\n  version: '1'\n  epoch: many\n  nmae: x\n");
    let output = bare.kiln(&["build", "--progress", "json", "file.yaml"]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let place = |at: usize, key: &str| last["faults"][at][key].clone();
    assert_eq!(
        (place(0, "file"), place(0, "line"), place(0, "column")),
        ("file.yaml".into(), 4.into(), 10.into())
    );
    assert_eq!((place(1, "line"), place(1, "hint")), (5.into(), "did you mean `name`?".into()));
    assert_eq!(place(1, "message"), "unknown key `nmae` in package");
    assert!(last["error"].as_str().unwrap().contains("file.yaml:5:3"), "{last}");
}
