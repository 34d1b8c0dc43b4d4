//! The `repositories` of a build file: lines of sources.list(5), checked word by word before they are passed to apt.
//!
//! A build file chooses the installed packages. It must not change whose signatures the host's apt trusts, which files of the
//! host apt reads, or which services of the host apt connects to. An unknown word is refused, since apt may know it.

use super::loopback::Loopback;
use crate::{exit::Failure, manifest::Text};

/// Whether the user allows repositories that are not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsecureRepositories {
    /// Each repository must be signed with a key of the host.
    Refused,
    /// `--allow-insecure-repositories`.
    Allowed,
}

/// Options with which apt accepts repositories without a signature, or with a weak one.
const INSECURE: [&str; 4] = ["trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"];
/// Values that switch them off; for apt every other value means on.
const OFF: [&str; 6] = ["no", "false", "without", "off", "disable", "0"];
/// Options that do not affect signatures. `check-valid-until=no` is for snapshots, whose signature has expired.
const HARMLESS: [&str; 5] = ["arch", "lang", "by-hash", "pdiffs", "check-valid-until"];
/// The host's directories of keys for `signed-by` (sources.list(5)).
const KEYRINGS: [&str; 2] = ["/usr/share/keyrings/", "/etc/apt/keyrings/"];
/// The flag that allows them.
const FLAG: &str = "--allow-insecure-repositories";

/// A fault of a line.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// No flag allows it.
    Refused(String),
    /// The user may allow it.
    Insecure(String),
}

/// The lines, if each of them may be passed to apt.
///
/// # Errors
/// One failure of the build file that names all lines that may not, with their positions.
pub fn allowed_repositories<'l>(
    lines: impl IntoIterator<Item = &'l Text>,
    insecure: InsecureRepositories,
) -> Result<Vec<String>, Failure> {
    let (mut allowed, mut faults, mut grantable) = (Vec::new(), Vec::new(), true);
    for line in lines {
        let text = line.to_string();
        let fault = match fault(&text) {
            Some(Fault::Insecure(_)) if insecure == InsecureRepositories::Allowed => None,
            fault => fault,
        };
        if let Some(fault) = fault {
            grantable &= matches!(fault, Fault::Insecure(_));
            let (Fault::Refused(why) | Fault::Insecure(why)) = fault;
            let at = line.position;
            faults.push(format!("line {}, column {}: {text:?}: {why}", at.line, at.column));
        }
        allowed.push(text);
    }
    if faults.is_empty() {
        return Ok(allowed);
    }
    let way_out = match grantable {
        true => format!(
            "Have the repository signed and name its key (signed-by=), or give {FLAG} if you trust it and the way to it."
        ),
        false => "Write deb [arch=… signed-by=/usr/share/keyrings/…] http(s)://HOST/PATH SUITE COMPONENT…."
            .to_owned(),
    };
    Err(Failure::build_file(
        format!("repositories that are not passed to apt: {}", faults.join("; ")),
        way_out,
    ))
}

/// Lines that do not begin with `deb ` (apk's) are refused by [`super::ImageRecipe::new`].
fn fault(line: &str) -> Option<Fault> {
    let refused = |why: String| Some(Fault::Refused(why));
    let rest = line.strip_prefix("deb ")?;
    if let Some(odd) = rest.chars().find(|&c| !is_plain(c)) {
        return refused(format!("the character {odd:?} is not allowed in it"));
    }
    let (options, rest) = match rest.trim_start().strip_prefix('[') {
        Some(rest) => match rest.split_once("] ") {
            Some(parts) => parts,
            None => return refused("its options have no end".into()),
        },
        None => ("", rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let Some(url) = words.next() else { return refused("it has no URL".into()) };
    let faults = options.split_ascii_whitespace().map(option_fault).chain([url_fault(url)]);
    let mut faults: Vec<Fault> = faults.flatten().collect();
    match words.find(|word| word.contains(['[', ']', '='])) {
        Some(word) => refused(format!("{word} is neither a suite nor a component")),
        None if words.next().is_none() && rest.split_ascii_whitespace().count() < 2 => {
            refused("it has no suite".into())
        }
        // A fault that no flag allows is reported first.
        None => {
            faults.sort_by_key(|fault| matches!(fault, Fault::Insecure(_)));
            faults.into_iter().next()
        }
    }
}

/// Characters without a special meaning: apt unquotes, unescapes and expands others.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || " -_.,:/+~@=[]?&;!*".contains(c)
}

fn option_fault(option: &str) -> Option<Fault> {
    let Some((name, value)) = option.split_once('=') else {
        return Some(Fault::Refused(format!("{option} is not an option")));
    };
    match name {
        _ if HARMLESS.contains(&name) => None,
        _ if INSECURE.contains(&name) && OFF.contains(&value) => None,
        _ if INSECURE.contains(&name) => {
            Some(Fault::Insecure(format!("with {option} apt installs packages without a valid signature")))
        }
        "signed-by" => signed_by_fault(value),
        _ => Some(Fault::Refused(format!("{name} is an option that kiln does not pass on"))),
    }
}

/// Fingerprints select keys that apt has; files must be in the host's directories of public keys.
fn signed_by_fault(value: &str) -> Option<Fault> {
    let known = |key: &str| {
        let fingerprint = key.strip_suffix('!').unwrap_or(key);
        let file = KEYRINGS.iter().find_map(|directory| key.strip_prefix(directory));
        (fingerprint.len() >= 40 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()))
            || file.is_some_and(|name| !name.is_empty() && !name.starts_with('.') && !name.contains('/'))
    };
    let bad = value.split(',').find(|key| !known(key))?;
    let places = KEYRINGS.join(" or ");
    Some(Fault::Refused(format!("signed-by={bad} is neither a fingerprint nor a file in {places}")))
}

fn url_fault(url: &str) -> Option<Fault> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest {
        None => Some(Fault::Refused(format!("{url} is not an http:// or https:// URL"))),
        Some(rest) if rest.starts_with(['/', ':', '?']) || rest.is_empty() => {
            Some(Fault::Refused(format!("{url} names no host")))
        }
        Some(_) if Loopback::of(url).is_some() => {
            Some(Fault::Insecure(format!("{url} is a service on this host's loopback")))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exit::Code,
        manifest::{Layout, Position},
    };

    fn check(line: &str, insecure: InsecureRepositories) -> Result<Vec<String>, Failure> {
        let position = Position { line: 8, column: 9 };
        allowed_repositories([&Text::new(line, position, Layout::default())], insecure)
    }

    #[test]
    fn signed_repositories_are_passed_unchanged() {
        for line in [
            "deb http://deb.debian.org/debian bookworm-backports main contrib",
            "deb  https://user:word@mirror.example:8080/debian/  bookworm  main",
            "deb [arch=amd64] http://m.example/ ./",
            "deb [ arch=amd64,i386 by-hash=force trusted=no ] http://m.example/ stable/updates main",
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://m.example/ sid main",
            "deb [signed-by=/etc/apt/keyrings/a.asc,AAAABBBBCCCCDDDDEEEEFFFF0000111122223333!] https://m.example/ sid main",
            "deb [check-valid-until=no] http://snapshot.debian.org/archive/debian/20250101T000000Z bookworm main",
            "deb http://[2001:db8::1]:80/debian bookworm main",
        ] {
            assert_eq!(check(line, InsecureRepositories::Refused), Ok(vec![line.into()]), "{line}");
        }
    }

    #[test]
    fn unsigned_repositories_and_the_hosts_loopback_need_the_flag() {
        for line in [
            "deb [trusted=yes] http://m.example/ ./",
            "deb [trusted=true] http://m.example/ ./",
            "deb [trusted=1] http://m.example/ ./",
            "deb [trusted=YES] http://m.example/ ./",
            "deb [trusted=anything] http://m.example/ ./",
            "deb [ arch=amd64 trusted=yes ] http://m.example/ ./",
            "deb [allow-insecure=yes] http://m.example/ ./",
            "deb [allow-weak=yes] http://m.example/ ./",
            "deb [allow-downgrade-to-insecure=yes] http://m.example/ ./",
            "deb http://127.0.0.1:18996/ ./",
            "deb http://127.1/ ./",
            "deb http://2130706433/ ./",
            "deb http://0x7f.1/ ./",
            "deb http://0.0.0.0/ ./",
            "deb http://localhost./debian sid main",
            "deb http://x@LOCALHOST/debian sid main",
            "deb https://a.localhost/ ./",
            "deb http://[::1]/ ./",
            "deb http://[::ffff:127.0.0.1]:80/ ./",
        ] {
            let failure = check(line, InsecureRepositories::Refused).unwrap_err();
            assert_eq!(failure.code, Code::BuildFile, "{line}");
            assert!(failure.what.contains("line 8, column 9") && failure.way_out.contains(FLAG), "{failure}");
            assert!(check(line, InsecureRepositories::Allowed).is_ok(), "{line}");
        }
    }

    #[test]
    fn lines_that_read_the_host_or_are_not_understood_are_always_refused() {
        for line in [
            "deb file:///srv/debian ./",
            "deb file:/srv/debian ./",
            "deb copy:/srv/debian ./",
            "deb cdrom:[x]/ sid main",
            "deb ssh://host/debian sid main",
            "deb rsh://host/debian sid main",
            "deb ftp://host/debian sid main",
            "deb mirror+file:/etc/mirrors sid main",
            "deb mirror+http://host/mirrors sid main",
            "deb tor+http://host/debian sid main",
            "deb store:/etc/passwd ./",
            "deb HTTP://127.0.0.1/ ./",
            "deb /srv/debian ./",
            "deb http:/debian ./",
            "deb http:///debian ./",
            "deb http://:80/debian ./",
            "deb http://host/",
            "deb ",
            "deb [trusted=yes]http://host/ ./",
            "deb [trusted=yes http://host/ ./",
            "deb [trusted] http://host/ ./",
            "deb [Trusted=yes] http://host/ ./",
            "deb [trusted+=yes] http://host/ ./",
            "deb [arch=amd64] [trusted=yes] http://host/ ./",
            "deb http://host/ [trusted=yes] ./",
            "deb http://host/ ./ [trusted=yes]",
            "deb http://host/ sid trusted=yes",
            "deb [\"trusted=yes\"] http://host/ ./",
            "deb [tru%73ted=yes] http://host/ ./",
            "deb http://%31%32%37.0.0.1/ ./",
            "deb \"http://host/\" ./",
            "deb http://host/ $(ARCH)/",
            "deb http://host/ ./ # x",
            "deb\thttp://host/ ./",
            "deb http://host/ ./\ndeb [trusted=yes] http://host/ ./",
            "deb http://host/ ./\rX: y",
            "deb [signed-by=/etc/shadow] http://host/ ./",
            "deb [signed-by=/usr/share/keyrings/../../../etc/shadow] http://host/ ./",
            "deb [signed-by=/etc/apt/keyrings/] http://host/ ./",
            "deb [signed-by=./key.gpg] http://host/ ./",
            "deb [signed-by=] http://host/ ./",
            "deb [signed-by=ABCD] http://host/ ./",
            "deb [inrelease-path=../../x] http://host/ ./",
            "deb [snapshot=enable] http://host/ ./",
            "deb [check-date=no] http://host/ ./",
            "deb [target=x] http://host/ ./",
        ] {
            let failure = match check(line, InsecureRepositories::Allowed) {
                Err(failure) => failure,
                // Lines that do not begin with `deb ` are refused by the recipe.
                Ok(lines) => {
                    assert!(!line.starts_with("deb "), "{line:?}");
                    let root = crate::plan::DebianRoot {
                        suite: "sid".into(),
                        repositories: lines,
                        ..Default::default()
                    };
                    let source = crate::plan::ImageSource::Debian(root);
                    crate::plan::ImageRecipe::new(source, "amd64").unwrap_err()
                }
            };
            assert!([Code::BuildFile, Code::Host].contains(&failure.code), "{line}");
            assert!(!failure.way_out.contains(FLAG) && !failure.way_out.is_empty(), "{line}: {failure}");
        }
    }

    #[test]
    fn all_lines_are_one_error() {
        let text = |line: &str, at| Text::new(line, Position { line: at, column: 1 }, Layout::default());
        let lines = [
            text("deb [trusted=yes] http://a/ ./", 1),
            text("deb http://b/ ./", 2),
            text("deb file:/c ./", 3),
        ];
        let failure = allowed_repositories(&lines, InsecureRepositories::Refused).unwrap_err();
        assert!(failure.what.contains("line 1,") && failure.what.contains("line 3,"), "{failure}");
        assert!(!failure.what.contains("line 2,"), "{failure}");
    }
}
