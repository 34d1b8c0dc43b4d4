//! Virtual names that apk packages provide: programs, shared libraries, modules of pkg-config.

use super::{family::Counterpart, table::lookup};

/// The counterpart of `cmd:` (a program), `so:` (a shared library) or `pc:` (a module of pkg-config).
pub(super) fn find(name: &str) -> Option<Counterpart> {
    let (kind, rest) = name.split_once(':')?;
    let dev = |library: &str| {
        let (_, apk) = LIBRARIES.iter().find(|(soname, _)| *soname == library).copied().unwrap_or_default();
        let candidates = [apk.to_owned(), format!("{library}-dev"), format!("lib{library}-dev")];
        candidates.iter().find_map(|name| lookup(name))
    };
    let packages = match kind {
        "cmd" => COMMANDS
            .iter()
            .find(|(command, _)| *command == rest)
            .map(|(_, debian)| vec![(*debian).to_owned()])
            .or_else(|| lookup(rest))?,
        "so" => {
            let soname = rest.split(".so").next().unwrap_or_default();
            if OF_EVERY_ROOT.contains(&soname) || soname.starts_with("ld-") {
                return Some(Counterpart::default());
            }
            dev(soname.strip_prefix("lib")?)?
        }
        "pc" => dev(rest.strip_prefix("lib").unwrap_or(rest)).or_else(|| dev(rest))?,
        _ => return None,
    };
    let note = format!("{name}: Debian has it in {}", packages.join(", "));
    Some(Counterpart { packages, note: Some(note) })
}

/// Programs whose package has another name.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("ar", "binutils"),
    ("awk", "gawk"),
    ("c++", "g++"),
    ("cc", "gcc"),
    ("gmake", "make"),
    ("java", "default-jre-headless"),
    ("javac", "default-jdk-headless"),
    ("ld", "binutils"),
    ("ldd", "libc-bin"),
    ("makeinfo", "texinfo"),
    ("msgfmt", "gettext"),
    ("mvn", "maven"),
    ("node", "nodejs"),
    ("objcopy", "binutils"),
    ("pip3", "python3-pip"),
    ("pkg-config", "pkgconf"),
    ("ps", "procps"),
    ("readelf", "binutils"),
    ("sh", "dash"),
    ("sqlite3", "sqlite3"),
    ("strip", "binutils"),
    ("tclsh", "tcl"),
    ("yacc", "bison"),
];

/// Libraries (without `lib`) and the apk package of their headers, if it has another name.
pub(super) const LIBRARIES: &[(&str, &str)] = &[
    ("asound", "alsa-lib-dev"),
    ("bz2", "bzip2-dev"),
    ("cares", "c-ares-dev"),
    ("crypto", "openssl-dev"),
    ("elf", "elfutils-dev"),
    ("gssapi_krb5", "krb5-dev"),
    ("ldap", "openldap-dev"),
    ("lzma", "xz-dev"),
    ("mount", "util-linux-dev"),
    ("ncursesw", "ncurses-dev"),
    ("pam", "linux-pam-dev"),
    ("pcre2-8", "pcre2-dev"),
    ("pq", "postgresql-dev"),
    ("sqlite3", "sqlite-dev"),
    ("ssl", "openssl-dev"),
    ("sasl2", "cyrus-sasl-dev"),
    ("systemd", "systemd-dev"),
    ("tinfo", "ncurses-dev"),
    ("udev", "eudev-dev"),
    ("uuid", "util-linux-dev"),
    ("z", "zlib-dev"),
];

/// Libraries of every root of Debian.
const OF_EVERY_ROOT: &[&str] =
    &["libc", "libdl", "libgcc_s", "libm", "libpthread", "libresolv", "librt", "libstdc++", "libutil"];
