//! Tab in real shells: the offers, and that no name on this machine runs or breaks a line.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::CommandFactory;
use kiln::cli::Cli;

use super::pty::Person;

/// Directories whose names a shell would do something with; each begins with another letter.
const HOSTILE: [&str; 12] = [
    "a space",
    "b'quote",
    "c\"quote",
    "d$(touch ran)",
    "e`touch ran`",
    "f;touch ran",
    "g&touch ran",
    "h\\slash",
    "i*",
    "j:colon",
    "k@at",
    "l>ran",
];

/// Names that are not offered: they would break a line or a terminal.
const NOT_OFFERED: [&str; 2] = ["x\nline", "y\u{1b}[2J"];

/// A store with images of such directories, a directory to work in, and kiln in a PATH.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { root: tempfile::tempdir().unwrap() };
        for directory in ["bin", "work", "home/images"] {
            fs::create_dir_all(machine.at(directory)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_kiln"), machine.at("bin/kiln")).unwrap();
        for name in HOSTILE.iter().chain(&NOT_OFFERED) {
            let image = machine.at("img").join(name);
            fs::create_dir_all(&image).unwrap();
            machine.keep(&serde_json::json!({"directory": image}), &[], &[]);
        }
        machine.keep(&serde_json::json!({"debian": {"suite": "bookworm"}}), &["git"], &[]);
        // These cannot be said again.
        machine.keep(&serde_json::json!({"debian": {"suite": "sid"}}), &[], &["deb http://x y z"]);
        machine.keep(&serde_json::json!({"directory": "/nowhere/gone"}), &[], &[]);
        fs::create_dir_all(machine.at("home/images").join(hash("broken"))).unwrap();
        fs::write(machine.at("home/images").join(hash("broken")).join("image.json"), "{").unwrap();
        for name in ["m $(touch ran).yaml", "n.yml", "n.txt", "o"] {
            fs::write(machine.at("work").join(name), "").unwrap();
        }
        fs::create_dir(machine.at("work/p dir")).unwrap();
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// An image of the store, as far as its record goes.
    fn keep(&self, source: &serde_json::Value, packages: &[&str], repositories: &[&str]) {
        let entry = self.at("home/images").join(hash(&source.to_string()));
        fs::create_dir_all(&entry).unwrap();
        let recipe = serde_json::json!(
            {"source": source, "packages": packages, "repositories": repositories, "arch": "amd64"}
        );
        let record = serde_json::json!({"recipe": recipe, "made": 0, "in_release": null, "packages": []});
        fs::write(entry.join("image.json"), record.to_string()).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        command.current_dir(self.at("work")).env("PATH", path).env("KILN_HOME", self.at("home"));
        // Their own files would be the user's.
        command.env("HOME", self.at("work")).env("ZDOTDIR", self.at("zsh")).env_remove("XDG_CONFIG_HOME");
        command
    }

    /// Writes the script of a shell to a file.
    fn script(&self, shell: &str) -> PathBuf {
        let output = self.command("kiln").args(["completion", shell]).output().unwrap();
        assert!(output.status.success(), "{shell}: {output:?}");
        let path = self.at(&format!("kiln.{shell}"));
        fs::write(&path, output.stdout).unwrap();
        path
    }

    fn complete(&self, words: &[&str]) -> Vec<String> {
        let output = self.command("kiln").args(["complete", "--", "kiln"]).args(words).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().skip(1).map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }
}

/// The name of an image's directory.
fn hash(text: &str) -> String {
    use sha2::{Digest, Sha256};
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

#[test]
fn every_command_is_offered_and_the_store_s_images_that_can_be_said() {
    let machine = Machine::new();
    let commands = machine.complete(&[""]);
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        assert!(commands.iter().any(|offered| offered == command.get_name()), "{commands:?}");
    }
    let images = machine.complete(&["build", "--image", ""]);
    let mut expected: Vec<String> =
        HOSTILE.iter().map(|name| machine.at("img").join(name).display().to_string()).collect();
    expected.extend(["debian:bookworm", "debian:bookworm+git", "debian:trixie"].map(String::from));
    assert_eq!(images, expected);
    // Nothing is made for a look.
    let home = machine.at("none");
    let asked = machine
        .command("kiln")
        .env("KILN_HOME", &home)
        .args(["complete", "--", "kiln", "build", "--image", ""])
        .output();
    assert!(asked.unwrap().status.success() && !home.exists());
}

#[test]
fn elvish_and_powershell_know_commands_and_options() {
    let machine = Machine::new();
    for shell in ["elvish", "powershell"] {
        let text = fs::read_to_string(machine.script(shell)).unwrap();
        for word in ["update-cache", "--cache-dir", "prune"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
    }
}

/// The text before Tab, and the beginnings of the words that the shell then has.
fn typed(machine: &Machine) -> Vec<(String, String)> {
    let images = machine.at("img").display().to_string();
    let mut cases: Vec<(String, String)> = Vec::new();
    for name in HOSTILE {
        let (first, expected) = (&name[..1], format!("<{images}/{name}"));
        cases.push((format!("build --image {images}/{first}"), format!("<build><--image>{expected}")));
        cases.push((format!("build --image={images}/{first}"), format!("<--image={images}/{name}")));
    }
    // A quote that is open, where the name can stand in it.
    for name in ["a space", "d$(touch ran)", "f;touch ran"] {
        let expected = format!("<run><--image><{images}/{name}");
        cases.push((format!("run --image '{images}/{}", &name[..1]), expected.clone()));
        cases.push((format!("run --image \"{images}/{}", &name[..1]), expected));
    }
    let others = [
        ("build m", "<build><m $(touch ran).yaml>"),
        ("plan --json n", "<plan><--json><n.yml>"),
        ("build --out-dir=p", "<build><--out-dir=p dir"),
        ("build --env-file n.yml,n.t", "<build><--env-file><n.yml,n.txt>"),
        ("build --runner=bub", "<build><--runner=bubblewrap>"),
        ("shell --image debian:tri", "<shell><--image><debian:trixie>"),
        ("shell --image=debian:bookworm+ninj", "<shell><--image=debian:bookworm+ninja-build>"),
        ("build --package-append make,build-b", "<build><--package-append><make,build-base>"),
        ("cache prune --keep go,sou", "<cache><prune><--keep><go,sources>"),
        ("update-c", "<update-cache>"),
        ("-q build --keep-on", "<-q><build><--keep-on-failure>"),
    ];
    cases.extend(others.map(|(typed, words)| (typed.to_owned(), words.to_owned())));
    cases
}

/// Types each line with a Tab, and has the shell say which words it takes the line for.
fn press_tab(machine: &Machine, shell: &Command) {
    let mut person = Person::at(shell);
    person.sees("READY");
    for (line, words) in typed(machine) {
        // To the beginning of the line, which runs nothing of kiln's then; an open quote is closed by what completes it.
        person.types(&format!("kiln {line}\t\u{1}show \n"));
        person.sees(&words);
    }
    person.types("exit\n");
    let (shown, _) = person.waits();
    assert!(!machine.at("work/ran").exists(), "a name was run: {shown}");
}

/// A command that prints words so that they can be told apart.
const SHOW: &str = "show() { printf '<%s>' \"$@\"; echo; }";

#[test]
fn bash_completes_names_and_runs_none() {
    let machine = Machine::new();
    let rc = machine.at("rc");
    let script = machine.script("bash");
    fs::write(&rc, format!("{SHOW}\nPS1='$ '\nsource '{}'\nprintf 'READ%s\\n' Y\n", script.display()))
        .unwrap();
    let mut bash = machine.command("bash");
    bash.args(["--noprofile", "--rcfile"]).arg(&rc).arg("-i");
    press_tab(&machine, &bash);
}

/// Whether a shell is there that neither kiln nor its builds need: a strict run does without it.
fn has(shell: &str) -> bool {
    let there = Command::new(shell).arg("--version").output().is_ok();
    if !there {
        #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
        {
            eprintln!("SKIP: {shell} is not installed");
        }
    }
    there
}

#[test]
fn zsh_completes_names_and_runs_none() {
    if !has("zsh") {
        return;
    }
    let machine = Machine::new();
    let script = machine.script("zsh");
    fs::create_dir(machine.at("zsh")).unwrap();
    let begin = "autoload -U compinit; compinit -u -D; bindkey -e; PS1='$ '";
    let rc = format!("{SHOW}\n{begin}\nsource '{}'\nprintf 'READ%s\\n' Y\n", script.display());
    fs::write(machine.at("zsh/.zshrc"), rc).unwrap();
    let mut zsh = machine.command("zsh");
    zsh.args(["-o", "no_global_rcs", "-i"]);
    press_tab(&machine, &zsh);
}

#[test]
fn fish_is_offered_the_same() {
    if !has("fish") {
        return;
    }
    let machine = Machine::new();
    let script = machine.script("fish");
    let offered = |line: &str| -> Vec<String> {
        let command = format!("source '{}'; complete -C $argv[1]", script.display());
        let Output { stdout, .. } =
            machine.command("fish").args(["--no-config", "-c", &command, "--", line]).output().unwrap();
        let text = String::from_utf8(stdout).unwrap();
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    let images = machine.at("img").display().to_string();
    for name in HOSTILE {
        for option in ["--image ", "--image=", "--image '", "--image \""] {
            let first = &name[..1];
            let offers = offered(&format!("kiln build {option}{images}/{first}"));
            let before = if option.ends_with('=') { "--image=" } else { "" };
            assert!(offers.contains(&format!("{before}{images}/{name}")), "{option}{first}: {offers:?}");
        }
    }
    assert_eq!(offered("kiln build m"), ["m $(touch ran).yaml"]);
    assert_eq!(offered("kiln build --out-dir=p"), ["--out-dir=p dir/"]);
    assert_eq!(offered("kiln build --env-file n.yml,n.t"), ["n.yml,n.txt"]);
    assert_eq!(offered("kiln build --package-append make,build-b"), ["make,build-base"]);
    assert!(!machine.at("work/ran").exists());
}

#[test]
fn tab_runs_the_kiln_of_path_and_no_other() {
    let machine = Machine::new();
    let script = machine.script("bash");
    let other = machine.at("work/kiln");
    fs::write(&other, "#!/bin/sh\ntouch ran\n").unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ask = "source \"$1\"; COMP_WORDS=(./kiln build --runner =  dock) COMP_CWORD=4; _kiln ./kiln dock =; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = machine.command("bash");
    let output = bash.args(["--norc", "-c", ask, "bash"]).arg(&script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "docker\n", "{output:?}");
    assert!(!Path::new(&machine.at("work/ran")).exists());
}
