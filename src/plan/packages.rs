//! Names of packages: build files name apk packages, Debian roots need Debian's. One table, applied by the plan only.
//!
//! Recipes keep the names as written. A name that neither the table nor a family of names knows is an error, not a guess:
//! Debian has packages of the same name with other contents.

mod family;
mod provided;
mod wanted;

pub use self::family::SUITES;
use self::{family::Found, wanted::Wanted};
use crate::{
    compile::PackageRequest,
    exit::Failure,
    manifest::{Diagnostic, Diagnostics, nearest},
};

/// (apk's name, Debian's names); none: the root has it anyway, or it has no meaning there.
const TABLE: &[(&str, &[&str])] = &[
    // What a root of apk packages starts from.
    ("alpine-base", &[]),
    ("alpine-baselayout", &[]),
    ("alpine-sdk", &["build-essential", "git"]),
    ("apk-tools", &[]),
    ("build-base", &["build-essential"]),
    ("busybox", &["busybox"]),
    ("ca-certificates-bundle", &["ca-certificates"]),
    ("glibc", &[]),
    ("glibc-dev", &["libc6-dev"]),
    ("glibc-iconv", &[]),
    ("glibc-locale-en", &["locales"]),
    ("ld-linux", &[]),
    ("libc-dev", &["libc6-dev"]),
    ("linux-headers", &["linux-libc-dev"]),
    ("merged-bin", &[]),
    ("merged-lib", &[]),
    ("merged-sbin", &[]),
    ("merged-usrsbin", &[]),
    ("musl-dev", &["libc6-dev"]),
    ("posix-libc-utils", &["libc-bin"]),
    ("scanelf", &["pax-utils"]),
    ("wolfi-base", &[]),
    ("wolfi-baselayout", &[]),
    ("wolfi-keys", &[]),
    // Tools with another name.
    ("asciidoctor", &["asciidoctor"]),
    ("bdftopcf", &["xfonts-utils"]),
    ("clang-15", &["clang-15"]),
    ("docbook-xml", &["docbook-xml"]),
    ("docbook-xsl", &["docbook-xsl"]),
    ("font-util", &["xfonts-utils"]),
    ("gcc-12", &["gcc-12"]),
    ("gnupg-utils", &["gnupg-utils"]),
    ("gnutar", &["tar"]),
    ("gobject-introspection-dev", &["libgirepository1.0-dev"]),
    ("gtk-doc", &["gtk-doc-tools"]),
    ("hardening-check", &["devscripts"]),
    ("jq", &["jq"]),
    ("libcap-utils", &["libcap2-bin"]),
    ("libxml2-utils", &["libxml2-utils"]),
    ("libxslt", &["xsltproc"]),
    ("mkfontscale", &["xfonts-utils"]),
    ("ninja", &["ninja-build"]),
    ("ninja-build", &["ninja-build"]),
    ("openssh", &["openssh-client", "openssh-server"]),
    ("openssh-client", &["openssh-client"]),
    ("openssh-keygen", &["openssh-client"]),
    ("openssh-server", &["openssh-server"]),
    ("pkgconf", &["pkgconf"]),
    ("pkgconf-dev", &["libpkgconf-dev"]),
    ("posix-cc-wrappers", &[]),
    ("protobuf", &["protobuf-compiler"]),
    ("protoc", &["protobuf-compiler"]),
    ("samurai", &["ninja-build"]),
    ("setuidgid", &["daemontools"]),
    ("upx", &["upx-ucl"]),
    ("util-linux-misc", &["util-linux"]),
    ("util-macros", &["xutils-dev"]),
    ("util-macros-dev", &["xutils-dev"]),
    ("which", &["debianutils"]),
    ("xz", &["xz-utils"]),
    // Languages.
    ("R", &["r-base-core"]),
    ("R-dev", &["r-base-dev"]),
    ("R-doc", &[]),
    // Debian has none; cargo/build goes without it and says so.
    ("cargo-auditable", &[]),
    ("composer", &["composer"]),
    ("erlang", &["erlang-nox"]),
    ("go", &["golang-go"]),
    ("ghc", &["ghc"]),
    ("lua5.4", &["lua5.4"]),
    ("lua5.4-dev", &["liblua5.4-dev"]),
    ("maven", &["maven"]),
    ("nodejs", &["nodejs"]),
    ("npm", &["npm"]),
    ("openjdk-17", &["openjdk-17-jdk-headless"]),
    ("openjdk-17-default-jdk", &["openjdk-17-jdk-headless"]),
    ("openjdk-17-default-jvm", &["openjdk-17-jre-headless"]),
    ("openjdk-17-jre", &["openjdk-17-jre-headless"]),
    ("openjdk-21", &["openjdk-21-jdk-headless"]),
    ("openjdk-21-default-jdk", &["openjdk-21-jdk-headless"]),
    ("openjdk-21-default-jvm", &["openjdk-21-jre-headless"]),
    ("openjdk-21-jre", &["openjdk-21-jre-headless"]),
    ("perl-dev", &["libperl-dev"]),
    ("perl-yaml-syck", &["libyaml-syck-perl"]),
    ("php", &["php-cli"]),
    ("py3-build", &["python3-build"]),
    ("py3-cffi", &["python3-cffi"]),
    ("py3-cryptography", &["python3-cryptography"]),
    ("py3-cython", &["cython3"]),
    ("py3-docutils", &["python3-docutils"]),
    ("py3-flit-core", &["flit"]),
    ("py3-gpep517", &["python3-installer"]),
    ("py3-hatchling", &["python3-hatchling"]),
    ("py3-installer", &["python3-installer"]),
    ("py3-jinja2", &["python3-jinja2"]),
    ("py3-numpy", &["python3-numpy"]),
    ("py3-packaging", &["python3-packaging"]),
    ("py3-pip", &["python3-pip"]),
    ("py3-poetry-core", &["python3-poetry-core"]),
    ("py3-pytest", &["python3-pytest"]),
    ("py3-pyyaml", &["python3-yaml"]),
    ("py3-requests", &["python3-requests"]),
    ("py3-setuptools", &["python3-setuptools"]),
    ("py3-setuptools-scm", &["python3-setuptools-scm"]),
    (
        "py3-supported-build-base",
        &["python3-build", "python3-dev", "python3-installer", "python3-setuptools", "python3-wheel"],
    ),
    ("py3-supported-build-base-dev", &["python3-all-dev"]),
    ("py3-supported-pip", &["python3-pip"]),
    ("py3-supported-python", &["python3"]),
    ("py3-supported-python-dev", &["python3-dev"]),
    ("py3-supported-setuptools", &["python3-setuptools"]),
    ("py3-supported-wheel", &["python3-wheel"]),
    ("py3-virtualenv", &["python3-virtualenv"]),
    ("py3-wheel", &["python3-wheel"]),
    ("python3", &["python3", "python3-venv"]),
    ("python3-dev", &["python3-dev"]),
    ("ruby", &["ruby"]),
    ("ruby-bundler", &["ruby-bundler"]),
    ("ruby-dev", &["ruby-dev"]),
    ("rust", &["cargo", "rustc"]),
    ("yarn", &["yarnpkg"]),
    // Libraries.
    ("acl-dev", &["libacl1-dev"]),
    ("alsa-lib-dev", &["libasound2-dev"]),
    ("apache2-dev", &["apache2-dev"]),
    ("attr-dev", &["libattr1-dev"]),
    ("benchmark-dev", &["libbenchmark-dev"]),
    ("binutils-dev", &["binutils-dev"]),
    ("boost-dev", &["libboost-all-dev"]),
    ("brotli-dev", &["libbrotli-dev"]),
    ("bzip2-dev", &["libbz2-dev"]),
    ("c-ares-dev", &["libc-ares-dev"]),
    ("cairo-dev", &["libcairo2-dev"]),
    ("curl-dev", &["libcurl4-openssl-dev"]),
    ("cyrus-sasl-dev", &["libsasl2-dev"]),
    ("dbus-dev", &["libdbus-1-dev"]),
    ("e2fsprogs-dev", &["libext2fs-dev"]),
    ("elfutils-dev", &["libelf-dev", "libdw-dev"]),
    ("eudev-dev", &["libudev-dev"]),
    ("expat-dev", &["libexpat1-dev"]),
    ("fontconfig-dev", &["libfontconfig-dev"]),
    ("freetype-dev", &["libfreetype-dev"]),
    ("fribidi-dev", &["libfribidi-dev"]),
    ("fuse3-dev", &["libfuse3-dev"]),
    ("gdbm-dev", &["libgdbm-dev"]),
    ("gettext-dev", &["gettext"]),
    ("giflib-dev", &["libgif-dev"]),
    ("glib-dev", &["libglib2.0-dev"]),
    ("gmp-dev", &["libgmp-dev"]),
    ("gnutls-dev", &["libgnutls28-dev"]),
    ("harfbuzz-dev", &["libharfbuzz-dev"]),
    ("icu-dev", &["libicu-dev"]),
    ("jansson-dev", &["libjansson-dev"]),
    ("jemalloc-dev", &["libjemalloc-dev"]),
    ("json-c-dev", &["libjson-c-dev"]),
    ("keyutils-dev", &["libkeyutils-dev"]),
    ("krb5-dev", &["libkrb5-dev"]),
    ("lcms2-dev", &["liblcms2-dev"]),
    ("libarchive-dev", &["libarchive-dev"]),
    ("libcap-dev", &["libcap-dev"]),
    ("libcap-ng-dev", &["libcap-ng-dev"]),
    ("libedit-dev", &["libedit-dev"]),
    ("libev-dev", &["libev-dev"]),
    ("libevent-dev", &["libevent-dev"]),
    ("libffi-dev", &["libffi-dev"]),
    ("libgcrypt-dev", &["libgcrypt20-dev"]),
    ("libgit2-dev", &["libgit2-dev"]),
    ("libgpg-error-dev", &["libgpg-error-dev"]),
    ("libice-dev", &["libice-dev"]),
    ("libidn2-dev", &["libidn2-dev"]),
    ("libjpeg-turbo-dev", &["libjpeg-dev"]),
    ("libmnl-dev", &["libmnl-dev"]),
    ("libnl3-dev", &["libnl-3-dev"]),
    ("libpng-dev", &["libpng-dev"]),
    ("libpsl-dev", &["libpsl-dev"]),
    ("libseccomp-dev", &["libseccomp-dev"]),
    ("libsodium-dev", &["libsodium-dev"]),
    ("libssh2-dev", &["libssh2-1-dev"]),
    ("libstdc++-dev", &["libstdc++-12-dev"]),
    ("libtirpc-dev", &["libtirpc-dev"]),
    ("libunistring-dev", &["libunistring-dev"]),
    ("libunwind-dev", &["libunwind-dev"]),
    ("liburing-dev", &["liburing-dev"]),
    ("libusb-dev", &["libusb-1.0-0-dev"]),
    ("libuv-dev", &["libuv1-dev"]),
    ("libwebp-dev", &["libwebp-dev"]),
    ("libx11-dev", &["libx11-dev"]),
    ("libxext-dev", &["libxext-dev"]),
    ("libxft-dev", &["libxft-dev"]),
    ("libxml2-dev", &["libxml2-dev"]),
    ("libxrandr-dev", &["libxrandr-dev"]),
    ("libxslt-dev", &["libxslt1-dev"]),
    ("libxtst-dev", &["libxtst-dev"]),
    ("linux-pam-dev", &["libpam0g-dev"]),
    ("lz4-dev", &["liblz4-dev"]),
    ("mpc-dev", &["libmpc-dev"]),
    ("mpfr-dev", &["libmpfr-dev"]),
    ("ncurses-dev", &["libncurses-dev"]),
    ("nghttp2-dev", &["libnghttp2-dev"]),
    ("numactl-dev", &["libnuma-dev"]),
    ("oniguruma-dev", &["libonig-dev"]),
    ("openldap-dev", &["libldap-dev"]),
    ("openssl-dev", &["libssl-dev"]),
    ("opus-dev", &["libopus-dev"]),
    ("pango-dev", &["libpango1.0-dev"]),
    ("pcre-dev", &["libpcre3-dev"]),
    ("pcre2-dev", &["libpcre2-dev"]),
    ("popt-dev", &["libpopt-dev"]),
    ("postgresql-dev", &["libpq-dev"]),
    ("protobuf-dev", &["libprotobuf-dev", "protobuf-compiler"]),
    ("re2-dev", &["libre2-dev"]),
    ("readline-dev", &["libreadline-dev"]),
    ("snappy-dev", &["libsnappy-dev"]),
    ("sqlite", &["sqlite3"]),
    ("sqlite-dev", &["libsqlite3-dev"]),
    ("systemd-dev", &["libsystemd-dev", "libudev-dev"]),
    ("tiff-dev", &["libtiff-dev"]),
    ("unixodbc-dev", &["unixodbc-dev"]),
    ("util-linux-dev", &["libblkid-dev", "libmount-dev", "uuid-dev"]),
    ("xxhash-dev", &["libxxhash-dev"]),
    ("xz-dev", &["liblzma-dev"]),
    ("yaml-dev", &["libyaml-dev"]),
    ("zeromq-dev", &["libzmq3-dev"]),
    ("zlib-dev", &["zlib1g-dev"]),
    ("zstd-dev", &["libzstd-dev"]),
    ("zstd-static", &["libzstd-dev"]),
];

/// Packages that have the same name and the same use in both worlds.
const IDENTICAL: &[&str] = &[
    "acl",
    "attr",
    "autoconf",
    "autoconf-archive",
    "automake",
    "bash",
    "bc",
    "bind9-dnsutils",
    "binutils",
    "bison",
    "build-essential",
    "bzip2",
    "ca-certificates",
    "cargo",
    "cargo-web",
    "ccache",
    "chrpath",
    "clang",
    "cmake",
    "coreutils",
    "cpio",
    "curl",
    "dash",
    "diffutils",
    "doxygen",
    "ed",
    "elfutils",
    "expect",
    "ffmpeg",
    "file",
    "findutils",
    "flex",
    "fontconfig",
    "g++",
    "gawk",
    "gcc",
    "gdb",
    "gettext",
    "gfortran",
    "git",
    "git-lfs",
    "gnupg",
    "golang-go",
    "gperf",
    "graphviz",
    "grep",
    "groff",
    "gzip",
    "help2man",
    "iproute2",
    "intltool",
    "less",
    "libclang-rt-14-dev",
    "libtool",
    "lld",
    "llvm",
    "llvm-14",
    "llvm-15",
    "llvm-16",
    "llvm-19",
    "lsof",
    "lzip",
    "m4",
    "make",
    "man-db",
    "mercurial",
    "meson",
    "mold",
    "mtools",
    "nasm",
    "ncurses-bin",
    "netcat-openbsd",
    "nginx",
    "ocaml",
    "opam",
    "openssl",
    "pandoc",
    "patch",
    "patchelf",
    "patchutils",
    "pax-utils",
    "perl",
    "php-dev",
    "pkg-config",
    "postgresql",
    "procps",
    "psmisc",
    "pybuild-plugin-pyproject",
    "python3-pip",
    "python3-venv",
    "quilt",
    "re2c",
    "redis",
    "rsync",
    "rustc",
    "rustc-web",
    "scons",
    "sed",
    "shellcheck",
    "socat",
    "squashfs-tools",
    "strace",
    "subversion",
    "sudo",
    "swig",
    "tar",
    "tcl",
    "texinfo",
    "time",
    "tini",
    "tree",
    "tzdata",
    "unzip",
    "util-linux",
    "valgrind",
    "vim",
    "wget",
    "xmlto",
    "xvfb",
    "yasm",
    "zip",
    "zsh",
    "zstd",
];

/// What a build file's packages are in Debian.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapped {
    /// Debian's names; sorted, each once.
    pub packages: Vec<String>,
    /// Lines for the user: where Debian has something near what was asked for.
    pub notes: Vec<String>,
}

/// The most unknown names that are reported: beyond that nobody reads.
const MAX_UNKNOWN: usize = 50;

/// Every name that [`map_packages`] knows, sorted; of those that carry a version, the versions that Debian's suites have.
pub fn known_packages() -> Vec<String> {
    let table = TABLE.iter().map(|(name, _)| *name).chain(IDENTICAL.iter().copied());
    let mut names: Vec<String> = table.map(str::to_owned).chain(family::names()).collect();
    names.sort();
    names.dedup();
    names
}

/// Every name of Debian's that [`map_packages`] gives, sorted.
pub fn debian_packages() -> Vec<&'static str> {
    let table = TABLE.iter().flat_map(|(_, debian)| *debian).chain(IDENTICAL).chain(family::all());
    let mut names: Vec<&str> = table.copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Debian's names for those of a build file and of `--package-append`, for a suite.
///
/// # Errors
/// All names that are not known: with their places, exit code 3; those of the command line alone, exit code 2.
pub fn map_packages(
    requests: &[PackageRequest],
    appended: &[String],
    suite: &str,
) -> Result<Mapped, Failure> {
    let mut mapped = Mapped::default();
    let mut unknown = Vec::new();
    for request in requests {
        if !mapped.add(&request.name, suite) && unknown.len() < MAX_UNKNOWN {
            unknown.push(fault(request, suite));
        }
    }
    let appended: Vec<&str> =
        appended.iter().map(String::as_str).filter(|name| !mapped.add(name, suite)).collect();
    if !unknown.is_empty() {
        return Err(Diagnostics(unknown).sorted().into());
    }
    if let Some(first) = appended.first() {
        let what = format!("--package-append: Debian has no known counterpart of {}", appended.join(", "));
        return Err(Failure::usage(what, way_out(first, suite)));
    }
    mapped.packages.sort();
    mapped.packages.dedup();
    mapped.notes.sort();
    mapped.notes.dedup();
    Ok(mapped)
}

/// The requests of a build file that a package of Debian's stands for.
pub fn requests_for<'r>(
    requests: &'r [PackageRequest],
    package: &str,
    suite: &str,
) -> impl Iterator<Item = &'r PackageRequest> {
    requests.iter().filter(move |request| {
        find(&Wanted::parse(&request.name), suite)
            .is_some_and(|found| found.packages.iter().any(|found| found == package))
    })
}

impl Mapped {
    /// Adds what a name stands for; whether that is known.
    fn add(&mut self, written: &str, suite: &str) -> bool {
        let wanted = Wanted::parse(written);
        let Some(found) = find(&wanted, suite) else { return false };
        let Found { packages, note } = found;
        self.notes.extend(note.or_else(|| wanted.note(&packages)));
        self.packages.extend(packages);
        true
    }
}

fn fault(request: &PackageRequest, suite: &str) -> Diagnostic {
    let PackageRequest { name, source, at, definition } = request;
    match definition {
        None => {
            let message = format!("Debian has no known counterpart of the package `{name}`");
            source.diagnostic(*at, message).hint(way_out(name, suite))
        }
        Some(definition) => {
            let message = format!(
                "the pipeline `{definition}` needs the package `{name}`, of which Debian has no known counterpart"
            );
            let hint = format!(
                "build in an image that has it (--image DIRECTORY|TAR), or install it in an earlier step, and give a \
                 definition `{definition}` without it under `needs` in a --pipeline-dir"
            );
            source.diagnostic(*at, message).hint(hint)
        }
    }
}

fn way_out(name: &str, suite: &str) -> String {
    let known: Vec<&str> = TABLE.iter().map(|(apk, _)| *apk).chain(IDENTICAL.iter().copied()).collect();
    let near = nearest(Wanted::parse(name).name, &known);
    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? Otherwise "));
    format!(
        "{near}name Debian's package in the image (--image debian:{suite}+package,…) and leave this one out, or give a \
         prepared root (--image DIRECTORY|TAR)"
    )
}

/// The counterparts of one name: the table first, then what a family of names stands for.
fn find(wanted: &Wanted<'_>, suite: &str) -> Option<Found> {
    if wanted.excluded {
        return Some(Found::default());
    }
    lookup(wanted.name)
        .map(Found::same)
        .or_else(|| provided::find(wanted.name))
        .or_else(|| family::find(wanted.name, suite))
}

fn lookup(name: &str) -> Option<Vec<String>> {
    if let Some((_, debian)) = TABLE.iter().find(|(apk, _)| *apk == name) {
        return Some(debian.iter().map(ToString::to_string).collect());
    }
    IDENTICAL.contains(&name).then(|| vec![name.to_owned()])
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::{
        exit::Code,
        manifest::{Position, Source, Text},
        plan::image::is_debian_name,
    };

    fn request(name: &str, line: u32, definition: Option<&str>) -> PackageRequest {
        let source = Source::new(Path::new("a.yaml"), "one\ntwo\nthree\n");
        let at = Position { line, column: 1 };
        PackageRequest { name: name.into(), source, at, definition: definition.map(Text::from) }
    }

    fn map(names: &[&str]) -> Result<Mapped, Failure> {
        let requests: Vec<PackageRequest> = names.iter().map(|name| request(name, 1, None)).collect();
        map_packages(&requests, &[], "bookworm")
    }

    fn mapped(names: &[&str]) -> Vec<String> {
        map(names).unwrap().packages
    }

    #[test]
    fn maps_sorts_and_says_each_once() {
        let packages = mapped(&["wolfi-base", "zlib-dev", "build-base", "rust", "cargo", "make", "busybox"]);
        assert_eq!(packages, ["build-essential", "busybox", "cargo", "make", "rustc", "zlib1g-dev"]);
        assert_eq!(mapped(&["ca-certificates-bundle", "wolfi-baselayout"]), ["ca-certificates"]);
    }

    #[test]
    fn constraints_exclusions_and_virtual_names_are_those_of_apk() {
        for (written, packages, note) in [
            ("bash", &["bash"][..], None),
            ("bash>=5", &["bash"], Some("bash>=5: Debian's bash is installed, whatever its version")),
            ("bash~5", &["bash"], Some("bash~5: Debian's bash is installed, whatever its version")),
            ("bash=5.2-r0", &["bash"], Some("bash=5.2-r0: Debian's bash is installed, whatever its version")),
            ("bash@local", &["bash"], Some("bash@local: Debian's bash is installed, whatever its version")),
            ("glibc>2", &[], None),
            (
                "!bash",
                &[],
                Some("!bash: Debian's roots are made of what is asked for, and nothing is excluded"),
            ),
            ("cmd:bash", &["bash"], Some("cmd:bash: Debian has it in bash")),
            ("cmd:msgfmt", &["gettext"], Some("cmd:msgfmt: Debian has it in gettext")),
            ("so:libc.so.6", &[], None),
            ("so:ld-linux-x86-64.so.2", &[], None),
            ("so:libssl.so.3", &["libssl-dev"], Some("so:libssl.so.3: Debian has it in libssl-dev")),
            (
                "so:libcurl.so.4",
                &["libcurl4-openssl-dev"],
                Some("so:libcurl.so.4: Debian has it in libcurl4-openssl-dev"),
            ),
            ("so:libxml2.so.2", &["libxml2-dev"], Some("so:libxml2.so.2: Debian has it in libxml2-dev")),
            ("pc:libpng", &["libpng-dev"], Some("pc:libpng: Debian has it in libpng-dev")),
        ] {
            let found = map(&[written]).unwrap_or_else(|failure| panic!("{written}: {failure}"));
            assert_eq!(found.packages, packages, "{written}");
            assert_eq!(found.notes.first().map(String::as_str), note, "{written}");
        }
        for unknown in
            ["cmd:nope", "so:libnope.so.1", "so:nope", "pc:nope", "x:bash", "", "-o", "../x", "go-", "go-x"]
        {
            assert!(map(&[unknown]).is_err(), "{unknown}");
        }
    }

    #[test]
    fn all_unknown_names_are_one_error_with_places_and_ways_out() {
        let requests = [
            request("make", 1, None),
            request("pombump", 3, Some("maven/pombump")),
            request("zlib-dve>1", 2, None),
        ];
        let failure = map_packages(&requests, &[], "trixie").unwrap_err();
        assert_eq!(failure.code, Code::BuildFile);
        let (first, second) = failure.what.split_once("\n\n").unwrap();
        assert!(
            first.starts_with("a.yaml:2:1: Debian has no known counterpart of the package `zlib-dve>1`\n"),
            "{first}"
        );
        assert!(
            first.contains("did you mean `zlib-dev`?") && first.contains("debian:trixie+package"),
            "{first}"
        );
        assert!(
            second.starts_with("a.yaml:3:1: the pipeline `maven/pombump` needs the package `pombump`,"),
            "{second}"
        );
        assert!(second.contains("--image") && second.contains("--pipeline-dir"), "{second}");

        let failure = map_packages(&requests[..1], &["bash".into(), "nope".into()], "bookworm").unwrap_err();
        assert_eq!(failure.code, Code::Usage);
        assert_eq!(failure.what, "--package-append: Debian has no known counterpart of nope");
    }

    #[test]
    fn every_name_that_is_said_to_be_known_is() {
        let names = known_packages();
        for name in ["build-base", "cmake", "go-1.24", "python-3.11-dev", "R-dev"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        let requests: Vec<&str> = names.iter().map(String::as_str).collect();
        let debian = debian_packages();
        for name in mapped(&requests) {
            assert!(debian.contains(&&*name), "{name}");
        }
    }

    #[test]
    fn no_name_is_listed_twice_and_all_are_debians() {
        let mut seen = BTreeSet::new();
        for name in TABLE.iter().map(|(apk, _)| *apk).chain(IDENTICAL.iter().copied()) {
            assert!(seen.insert(name), "{name} is listed twice");
        }
        let debian = TABLE.iter().flat_map(|(_, debian)| *debian).chain(IDENTICAL);
        for name in debian.chain(provided::COMMANDS.iter().map(|(_, debian)| debian)).chain(family::all()) {
            assert!(is_debian_name(name), "{name}");
        }
        for (library, apk) in provided::LIBRARIES {
            assert!(lookup(apk).is_some(), "{library}: {apk}");
        }
    }
}
