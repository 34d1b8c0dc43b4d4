//! How a Debian root is installed: which repositories, and mmdebstrap's command line. Pure but for [`Mirror::of_host`].
//!
//! Before it: a recipe. After it: [`super::making`] runs the command and packs what it made.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::plan::ImageRecipe;

/// Signs Debian's repositories; package debian-archive-keyring.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    main: String,
    security: String,
}

impl Default for Mirror {
    /// mmdebstrap's own.
    fn default() -> Self {
        Self {
            main: "http://deb.debian.org/debian".into(),
            security: "http://security.debian.org/debian-security".into(),
        }
    }
}

impl Mirror {
    /// Those of this host's apt, if the host is Debian; else mmdebstrap's.
    pub(super) fn of_host() -> Self {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        if !text(Path::new("/etc/os-release")).lines().any(|line| line == "ID=debian") {
            return Self::default();
        }
        let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
        let directory = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
        let known = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "list" || kind == "sources");
        files.extend(directory.map(|entry| entry.path()).filter(known));
        files[1..].sort();
        Self::parse(&files.iter().map(|file| text(file)).collect::<Vec<_>>().join("\n"))
    }

    /// The first address of each kind in sources.list(5), of either format. Debian's mirrors end in `/debian`.
    fn parse(text: &str) -> Self {
        let addresses = || {
            text.lines().map(str::trim).filter(|line| !line.starts_with('#')).flat_map(|line| {
                let entry = line.starts_with("deb ") || line.starts_with("URIs:");
                line.split_whitespace().filter(move |word| entry && word.contains(":/"))
            })
        };
        let ending = |end: &str| {
            addresses()
                .map(|word| word.trim_end_matches('/'))
                .find(|word| word.ends_with(end))
                .map(String::from)
        };
        let default = Self::default();
        Self {
            main: ending("/debian").unwrap_or(default.main),
            security: ending("/debian-security").unwrap_or(default.security),
        }
    }
}

/// The lines of sources.list: Debian's own for the suite, then those of the build file.
pub(super) fn sources(suite: &str, repositories: &[String], mirror: &Mirror) -> Vec<String> {
    let Mirror { main, security } = mirror;
    let mut lines = vec![format!("deb {main} {suite} main")];
    // unstable has neither.
    if !["sid", "unstable", "experimental"].contains(&suite) {
        lines.push(format!("deb {main} {suite}-updates main"));
        lines.push(format!("deb {security} {suite}-security main"));
    }
    lines.extend(repositories.iter().cloned());
    lines
}

/// mmdebstrap's arguments, one root into `root`.
pub(super) fn arguments(
    recipe: &ImageRecipe,
    suite: &str,
    mode: &str,
    root: &Path,
    sources: &[String],
) -> Vec<OsString> {
    let mut packages = recipe.packages.clone();
    packages.push("ca-certificates".into());
    let mut arguments: Vec<OsString> = [
        "--variant=minbase",
        &format!("--mode={mode}"),
        "--format=directory",
        &format!("--architectures={}", recipe.arch),
        &format!("--keyring={KEYRING}"),
        &format!("--include={}", packages.join(",")),
        // Nobody reads manuals in a build; they are a tenth of a root.
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/info/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        // The root is thrown away when its image is made, and what a crash leaves is made anew: no package is worth waiting for.
        "--dpkgopt=force-unsafe-io",
        // Packages with alternatives (openjdk) link manuals into these and fail where they are missing.
        r#"--essential-hook=for n in 1 2 3 4 5 6 7 8; do mkdir -p "$1/usr/share/man/man$n"; done"#,
        // Their InRelease files say what the root was made from; they are removed after that.
        "--skip=cleanup/apt/lists",
    ]
    .map(OsString::from)
    .into();
    arguments.push(suite.into());
    arguments.push(root.into());
    arguments.extend(sources.iter().map(OsString::from));
    arguments
}

/// For sh: in single quotes, with those inside taken out.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ImageSource as Source;

    #[test]
    fn the_hosts_mirrors_are_found_in_both_formats() {
        let deb822 = "Types: deb\n# http://old/debian\nURIs: http://m.example/debian/\nSuites: bookworm\n\n\
                      Types: deb\nURIs: http://m.example/debian-security\n";
        let expected = Mirror {
            main: "http://m.example/debian".into(),
            security: "http://m.example/debian-security".into(),
        };
        assert_eq!(Mirror::parse(deb822), expected);
        let list = "# deb http://no/debian x main\ndeb [arch=amd64] http://m.example/debian bookworm main\n\
                    deb-src http://s/debian bookworm main\ndeb http://m.example/debian-security bookworm-security main\n";
        assert_eq!(Mirror::parse(list), expected);
        assert_eq!(Mirror::parse("deb http://other.example/ubuntu noble main"), Mirror::default());
    }

    #[test]
    fn mmdebstraps_command_line() {
        let recipe = ImageRecipe::new(
            Source::Debian { suite: "bookworm".into() },
            vec!["make".into(), "gcc".into()],
            vec!["deb [trusted=yes] http://r.example/ x main".into()],
            "amd64",
        )
        .expect("valid");
        let sources = sources("bookworm", &recipe.repositories, &Mirror::default());
        let arguments = arguments(&recipe, "bookworm", "unshare", Path::new("/s/root"), &sources);
        let expected = [
            "--variant=minbase",
            "--mode=unshare",
            "--format=directory",
            "--architectures=amd64",
            "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
            "--include=gcc,make,ca-certificates",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/info/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            "--dpkgopt=force-unsafe-io",
            r#"--essential-hook=for n in 1 2 3 4 5 6 7 8; do mkdir -p "$1/usr/share/man/man$n"; done"#,
            "--skip=cleanup/apt/lists",
            "bookworm",
            "/s/root",
            "deb http://deb.debian.org/debian bookworm main",
            "deb http://deb.debian.org/debian bookworm-updates main",
            "deb http://security.debian.org/debian-security bookworm-security main",
            "deb [trusted=yes] http://r.example/ x main",
        ];
        assert_eq!(arguments, expected.map(OsString::from));
    }

    #[test]
    fn sid_has_no_security() {
        assert_eq!(sources("sid", &[], &Mirror::default()).len(), 1);
    }

    #[test]
    fn a_path_is_one_word_of_sh() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
