//! How a Debian root is installed: which repositories, and mmdebstrap's command line. Pure but for [`Mirror::of_host`].
//!
//! Before it: a recipe. After it: [`super::builder`] runs the command and packs the root.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::scripts::{FETCH, FETCH_MORE, HOOK, IN_RELEASE, INSTALL, SEED};
use crate::plan::DebianRoot;

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
                line.split_whitespace().filter(move |word| entry && word.starts_with("http"))
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
pub(super) fn sources(root: &DebianRoot, mirror: &Mirror) -> Vec<String> {
    let DebianRoot { suite, packages: _, repositories } = root;
    let Mirror { main, security } = mirror;
    let mut lines = vec![format!("deb {main} {suite} main")];
    // unstable has neither.
    if !["sid", "unstable", "experimental"].contains(&suite.as_str()) {
        lines.push(format!("deb {main} {suite}-updates main"));
        lines.push(format!("deb {security} {suite}-security main"));
    }
    lines.extend(repositories.iter().cloned());
    lines
}

/// A hook and mmdebstrap's arguments for an empty root with apt's lists and the files of all packages, not unpacked.
pub(super) fn fetching(debian: &DebianRoot, arch: &str, root: &Path, sources: &[String]) -> Vec<OsString> {
    fetch(FETCH, debian, arch, root, sources)
}

/// As [`fetching`], but of the packages only that a root lacks which was made from `release`, the hash of InRelease files.
pub(super) fn fetching_more(
    debian: &DebianRoot,
    arch: &str,
    root: &Path,
    sources: &[String],
    release: &str,
) -> Vec<OsString> {
    let hook = format!("{IN_RELEASE}{}", FETCH_MORE.replace("RELEASE", release));
    fetch(&hook, debian, arch, root, sources)
}

/// A hook and mmdebstrap's arguments for a root that exists and gets the packages that [`fetching_more`] has fetched.
pub(super) fn extending(debian: &DebianRoot, arch: &str, root: &Path, sources: &[String]) -> Vec<OsString> {
    let own = [
        "--mode=root".to_owned(),
        "--variant=custom".to_owned(),
        format!("--customize-hook={HOOK}"),
        "--skip=update,check/empty".to_owned(),
        "--skip=chroot/mount/sys".to_owned(),
    ];
    let hook = format!("{SEED}{}", INSTALL.replace("PACKAGES", &packages(debian).join(" ")));
    arguments(debian, arch, hook, own, root, sources)
}

fn fetch(hook: &str, debian: &DebianRoot, arch: &str, root: &Path, sources: &[String]) -> Vec<OsString> {
    let suite = &debian.suite;
    // As mmdebstrap does, of the suite proper: a package's priority may be another one elsewhere.
    let narrow = |what: &str| {
        format!("?narrow(?or(?archive(^{suite}$),?codename(^{suite}$)),?architecture({arch}),{what})")
    };
    let fetch = hook
        .replace("ESSENTIAL", &narrow("?essential"))
        .replace("PRIORITY", &narrow("?and(?priority(required),?not(?essential))"))
        .replace("PACKAGES", &packages(debian).join(" "));
    let own = [
        // Nothing is mounted in it.
        "--mode=chrootless".to_owned(),
        "--variant=custom".to_owned(),
        "--skip=cleanup".to_owned(),
        format!("--customize-hook={HOOK}"),
    ];
    arguments(debian, arch, fetch, own, root, sources)
}

/// A hook and mmdebstrap's arguments for a root of the packages that [`fetching`] has fetched.
pub(super) fn installing(debian: &DebianRoot, arch: &str, root: &Path, sources: &[String]) -> Vec<OsString> {
    let own = [
        // This mode needs root, which kiln is in the user namespace of a jail.
        "--mode=root".to_owned(),
        "--variant=minbase".to_owned(),
        format!("--include={}", packages(debian).join(",")),
        format!("--setup-hook={HOOK}"),
        // Newer ones refuse packages that they have not fetched.
        "--skip=update,download/empty".to_owned(),
        // A network namespace of the same owner would have to be there.
        "--skip=chroot/mount/sys".to_owned(),
        // A build reads no manuals; they are a tenth of a root.
        "--dpkgopt=path-exclude=/usr/share/man/*".to_owned(),
        "--dpkgopt=path-exclude=/usr/share/info/*".to_owned(),
        "--dpkgopt=path-exclude=/usr/share/doc/*".to_owned(),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright".to_owned(),
        // The root is removed when its image is made, and made anew after a crash: dpkg need not wait for the disk.
        "--dpkgopt=force-unsafe-io".to_owned(),
        // Packages with alternatives (openjdk) link manuals into these and fail where they are missing.
        r#"--essential-hook=for n in 1 2 3 4 5 6 7 8; do mkdir -p "$1/usr/share/man/man$n"; done"#.to_owned(),
    ];
    arguments(debian, arch, SEED.to_owned(), own, root, sources)
}

fn arguments<const N: usize>(
    debian: &DebianRoot,
    arch: &str,
    hook: String,
    own: [String; N],
    root: &Path,
    sources: &[String],
) -> Vec<OsString> {
    let common = [
        hook,
        "--format=directory".to_owned(),
        format!("--architectures={arch}"),
        format!("--keyring={KEYRING}"),
    ];
    let mut arguments: Vec<OsString> = common.into_iter().chain(own).map(OsString::from).collect();
    arguments.push(debian.suite.as_str().into());
    arguments.push(root.into());
    arguments.extend(sources.iter().map(OsString::from));
    arguments
}

fn packages(debian: &DebianRoot) -> Vec<String> {
    let mut packages = debian.packages.clone();
    packages.push("ca-certificates".into());
    packages
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn root() -> DebianRoot {
        DebianRoot {
            suite: "bookworm".into(),
            packages: vec!["gcc".into(), "make".into()],
            repositories: vec!["deb [arch=amd64] http://r.example/ x main".into()],
        }
    }

    const SOURCES: [&str; 4] = [
        "deb http://deb.debian.org/debian bookworm main",
        "deb http://deb.debian.org/debian bookworm-updates main",
        "deb http://security.debian.org/debian-security bookworm-security main",
        "deb [arch=amd64] http://r.example/ x main",
    ];

    #[test]
    fn mmdebstraps_command_line() {
        let debian = root();
        let sources = sources(&debian, &Mirror::default());
        let arguments = installing(&debian, "amd64", Path::new("/s/root"), &sources);
        let expected = [
            SEED,
            "--format=directory",
            "--architectures=amd64",
            "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
            "--mode=root",
            "--variant=minbase",
            "--include=gcc,make,ca-certificates",
            "--setup-hook=/work/hook",
            "--skip=update,download/empty",
            "--skip=chroot/mount/sys",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/info/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            "--dpkgopt=force-unsafe-io",
            r#"--essential-hook=for n in 1 2 3 4 5 6 7 8; do mkdir -p "$1/usr/share/man/man$n"; done"#,
            "bookworm",
            "/s/root",
        ];
        let expected: Vec<OsString> = expected.into_iter().chain(SOURCES).map(OsString::from).collect();
        assert_eq!(arguments, expected);
    }

    #[test]
    fn packages_are_fetched_in_the_transactions_in_which_they_are_installed() {
        let debian = root();
        let sources = sources(&debian, &Mirror::default());
        let arguments = fetching(&debian, "amd64", Path::new("/s/seed"), &sources);
        let hook = arguments[0].to_str().expect("UTF-8");
        let narrow = "?narrow(?or(?archive(^bookworm$),?codename(^bookworm$)),?architecture(amd64),";
        for install in [
            format!("install '{narrow}?essential)'\n"),
            format!(
                "install gcc make ca-certificates '{narrow}?and(?priority(required),?not(?essential)))'\n"
            ),
        ] {
            assert!(hook.contains(&install), "{hook}");
        }
        assert_eq!(arguments[8..10], ["bookworm", "/s/seed"]);
        assert_eq!(arguments[10..], SOURCES);
    }

    #[test]
    fn a_root_that_exists_gets_the_packages_that_it_lacks() {
        let debian = root();
        let sources = sources(&debian, &Mirror::default());
        let release = "a".repeat(64);
        let arguments = fetching_more(&debian, "amd64", Path::new("/s/seed"), &sources, &release);
        let hook = arguments[0].to_str().expect("UTF-8");
        assert!(
            hook.contains(&format!("'inrelease {release}'")) && hook.contains("in_release() {"),
            "{hook}"
        );
        assert!(hook.contains("simulate status gcc make ca-certificates > more &\n"), "{hook}");
        assert!(!hook.contains("PACKAGES") && !hook.contains("ESSENTIAL") && !hook.contains("PRIORITY"));
        let arguments = extending(&debian, "amd64", Path::new("/s/root"), &sources);
        let hook = arguments[0].to_str().expect("UTF-8");
        assert!(hook.starts_with(SEED) && hook.ends_with("install gcc make ca-certificates\n"), "{hook}");
        assert_eq!(arguments[9..11], ["bookworm", "/s/root"]);
    }

    #[test]
    fn sid_has_no_security() {
        let sid = DebianRoot { suite: "sid".into(), ..DebianRoot::default() };
        assert_eq!(sources(&sid, &Mirror::default()).len(), 1);
    }
}
