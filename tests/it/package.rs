//! The packages of `images/package.sh`, with this build of kiln in place of a release.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::CommandFactory;
use data_encoding::HEXLOWER;
use kiln::cli::Cli;
use sha2::{Digest, Sha256};

use super::skip::skip;

/// A source tree that is packed, and programs that stand for the slow ones.
struct Source {
    root: tempfile::TempDir,
}

impl Source {
    fn new() -> Self {
        let source = Self { root: tempfile::tempdir().unwrap() };
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["images", "target/release", "bin"] {
            fs::create_dir_all(source.at(name)).unwrap();
        }
        for name in
            ["images/package.sh", "images/README.md", "README.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"]
        {
            fs::copy(own.join(name), source.at(name)).unwrap();
        }
        symlink(own.join("docs"), source.at("docs")).unwrap();
        source.program("target/release/kiln", &format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_kiln")));
        source.program("bin/cargo", "test \"$*\" = 'build --release --locked'");
        source.program("bin/strip", "");
        source
            .program("bin/objdump", "echo GLIBC_2.9 memcpy; echo GLIBC_2.34 pthread; echo GLIBC_2.2.5 puts");
        source
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn program(&self, path: &str, script: &str) {
        fs::write(self.at(path), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Packs, under a umask as some have it; the hashes of what was made, by name.
    fn pack(&self) -> Vec<(String, String)> {
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", "umask 077; exec \"$0\""]).arg(self.at("images/package.sh"));
        let output = command.env("PATH", path).env("SOURCE_DATE_EPOCH", "1000000000").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut made: Vec<(String, String)> = fs::read_dir(self.at("target/package"))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let hash = HEXLOWER.encode(&Sha256::digest(fs::read(&path).unwrap()));
                (path.file_name().unwrap().to_string_lossy().into_owned(), hash)
            })
            .collect();
        made.sort();
        made
    }
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Files, with a path relative to `usr`.
fn files(root: &Path) -> BTreeSet<String> {
    let list = run(Command::new("find").arg(root).args(["-type", "f", "-printf", "%P\n"]));
    list.lines().map(str::to_owned).collect()
}

/// The files that both packages must hold.
fn wanted() -> BTreeSet<String> {
    let mut wanted: BTreeSet<String> = [
        "bin/kiln",
        "share/bash-completion/completions/kiln",
        "share/zsh/vendor-completions/_kiln",
        "share/fish/vendor_completions.d/kiln.fish",
        "share/doc/kiln/README.md",
        "share/doc/kiln/SECURITY.md",
        "share/doc/kiln/images/README.md",
        "share/doc/kiln/CHANGELOG.md",
    ]
    .map(String::from)
    .into();
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    wanted.extend(docs.map(|page| format!("share/doc/kiln/docs/{}", page.unwrap().file_name().display())));
    pages("kiln", &Cli::command(), &mut wanted);
    wanted
}

fn pages(name: &str, command: &clap::Command, wanted: &mut BTreeSet<String>) {
    wanted.insert(format!("share/man/man1/{name}.1.gz"));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(&format!("{name}-{}", below.get_name()), below, wanted);
    }
}

#[test]
fn both_packages_hold_all_that_there_is_and_are_the_same_every_time() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        return skip("dpkg-deb is not installed");
    }
    let source = Source::new();
    let made = source.pack();
    let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    let debian = run(Command::new("dpkg").arg("--print-architecture"));
    let package = format!("kiln_{version}_{}.deb", debian.trim());
    assert_eq!(names, [format!("kiln-{version}-{arch}.tar.gz"), package.clone()]);

    let (archive, root) = (source.at("archive"), source.at("root"));
    let at = |name: &str| source.at("target/package").join(name);
    fs::create_dir(&archive).unwrap();
    run(Command::new("tar").arg("-xzf").arg(at(names[0])).arg("-C").arg(&archive));
    run(Command::new("dpkg-deb").arg("-x").arg(at(&package)).arg(&root));
    let with = |more: &[&str]| {
        let more = more.iter().map(|name| format!("share/doc/kiln/{name}"));
        wanted().into_iter().chain(more).collect::<BTreeSet<_>>()
    };
    assert_eq!(files(&archive), with(&["LICENSE"]));
    assert_eq!(files(&root.join("usr")), with(&["changelog.gz", "copyright"]));
    let field = |name: &str| run(Command::new("dpkg-deb").arg("-f").arg(at(&package)).arg(name));
    assert!(
        field("Depends").starts_with("libc6 (>= 2.34), "),
        "the newest symbol says it: {}",
        field("Depends")
    );
    assert!(field("Installed-Size").trim().parse::<u64>().unwrap() > 0);
    // Other users can read what root installs, whatever umask it was packed under.
    let closed = run(Command::new("find").arg(&root).args(["!", "-perm", "-o=r"]));
    assert_eq!(closed, "");
    let listed = run(Command::new("dpkg-deb").arg("-c").arg(at(&package)));
    assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");

    assert_eq!(run(Command::new(root.join("usr/bin/kiln")).arg("version")), format!("kiln {version}\n"));
    let script = root.join("usr/share/bash-completion/completions/kiln");
    run(Command::new("bash").args(["--norc", "-ec", "source \"$0\"; complete -p kiln"]).arg(script));
    assert_eq!(source.pack(), made, "the second time is the first");
}
