//! `/etc/ld.so.cache`, which `ldconfig` would make: glibc's loader finds libraries in the directories of `/etc/ld.so.conf` only by it.
//!
//! The form is that of glibc's `sysdeps/generic/dl-cache.h` since 2.2: a head, an entry for each library, their texts.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fs::File,
};

use crate::image::erofs::Kind;

use super::{
    base::read,
    elf::library,
    root::{Fault, Found, Root},
};

const CONFIGURATION: &str = "etc/ld.so.conf";
/// Directories that the loader knows, and that `ldconfig` looks into as well.
const USUAL: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// The most files of the configuration and lines that include some, directories, and libraries.
const MOST_FILES: usize = 64;
const MOST_DIRECTORIES: usize = 256;
const MOST_LIBRARIES: usize = 20_000;
/// `e_machine`, and the flags of entries for its libraries: ELF for glibc 2, and the machine.
const MACHINES: [(u16, u32); 2] = [(62, 0x0303), (183, 0x0a03)];
/// The head, and an entry.
const HEAD: usize = 48;
const ENTRY: usize = 24;

/// Writes the cache, if the root has a configuration of glibc's loader.
pub(super) fn cache(root: &mut Root, sources: &[File]) -> Result<(), Fault> {
    if root.find(CONFIGURATION.as_bytes(), true)? == Found::Missing {
        return Ok(());
    }
    let mut libraries = BTreeMap::new();
    for directory in directories(root, sources)? {
        collect(root, sources, &directory, &mut libraries)?;
    }
    root.write(b"etc/ld.so.cache", encode(libraries), 0o644)
}

/// The directories of the configuration in their order, then the usual ones.
fn directories(root: &Root, sources: &[File]) -> Result<Vec<String>, Fault> {
    let mut open = vec![CONFIGURATION.to_owned()];
    let (mut seen, mut found, mut includes) = (BTreeSet::new(), Vec::new(), 0);
    while let Some(path) = open.pop() {
        if seen.len() == MOST_FILES || !seen.insert(path.clone()) {
            continue;
        }
        let text = read(root, path.as_bytes(), sources)?.unwrap_or_default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            match line.split_once(char::is_whitespace) {
                Some(("include", pattern)) if includes < MOST_FILES => {
                    includes += 1;
                    open.extend(included(root, pattern.trim())?.into_iter().rev());
                }
                _ if line.starts_with('/') && found.len() < MOST_DIRECTORIES => {
                    found.extend(Some(line.to_owned()).filter(|line| !found.contains(line)));
                }
                _ => {}
            }
        }
    }
    found.extend(USUAL.map(str::to_owned));
    Ok(found)
}

/// The files of a pattern with stars in its last part only, relative to /etc.
fn included(root: &Root, pattern: &str) -> Result<Vec<String>, Fault> {
    let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("etc/{pattern}") };
    let (above, last) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
    let (start, end) = last.split_once('*').unwrap_or((last, ""));
    let Some(directory) = root.directory(above.as_bytes())? else { return Ok(Vec::new()) };
    let names = root.tree.entries(directory).into_iter().flatten().filter_map(|(name, _)| {
        let name = std::str::from_utf8(name).ok()?;
        let fits = match last.contains('*') {
            true => {
                name.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)) && !name.starts_with('.')
            }
            false => name == last,
        };
        fits.then(|| format!("{above}/{name}"))
    });
    Ok(names.take(MOST_FILES).collect())
}

/// Adds the libraries of a directory: what comes first stays.
fn collect(
    root: &Root,
    sources: &[File],
    path: &str,
    libraries: &mut BTreeMap<String, (u32, String)>,
) -> Result<(), Fault> {
    let Some(directory) = root.directory(path.as_bytes())? else { return Ok(()) };
    let mut own: BTreeMap<String, (u32, String)> = BTreeMap::new();
    for name in root.tree.entries(directory).into_iter().flatten().map(|(name, _)| name) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let is_library = (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so");
        let file = format!("{}/{name}", path.trim_end_matches('/'));
        if !is_library || libraries.len() + own.len() >= MOST_LIBRARIES {
            continue;
        }
        let Found::Node(node) = root.find(file.as_bytes(), true)? else { continue };
        let Some(Kind::File(content)) = root.node(node).map(|node| &node.kind) else { continue };
        let Some(found) = library(content, sources) else { continue };
        let Some((_, flags)) = MACHINES.iter().find(|(machine, _)| *machine == found.machine) else {
            continue;
        };
        let soname = found.soname.unwrap_or_else(|| name.to_owned());
        // The file with the name that is asked for, else the newest.
        let is_better = name == soname
            || own.get(&soname).is_none_or(|(_, before)| {
                !before.ends_with(&format!("/{soname}"))
                    && compare(before.as_bytes(), file.as_bytes()).is_lt()
            });
        if is_better {
            own.insert(soname, (*flags, file));
        }
    }
    for (soname, entry) in own {
        libraries.entry(soname).or_insert(entry);
    }
    Ok(())
}

fn encode(libraries: BTreeMap<String, (u32, String)>) -> Vec<u8> {
    let mut libraries: Vec<_> = libraries.into_iter().collect();
    libraries.sort_by(|(a, _), (b, _)| compare(b.as_bytes(), a.as_bytes()));
    let start = HEAD + libraries.len() * ENTRY;
    let (mut entries, mut texts) = (Vec::new(), Vec::new());
    for (soname, (flags, path)) in &libraries {
        entries.extend(flags.to_le_bytes());
        for text in [soname, path] {
            // Paths and numbers of libraries are bounded.
            entries.extend(((start + texts.len()) as u32).to_le_bytes());
            texts.extend(text.as_bytes());
            texts.push(0);
        }
        entries.extend([0; 12]);
    }
    let mut bytes = b"glibc-ld.so.cache1.1".to_vec();
    bytes.extend((libraries.len() as u32).to_le_bytes());
    bytes.extend((texts.len() as u32).to_le_bytes());
    // Little endian, and no extensions.
    bytes.push(2);
    bytes.resize(HEAD, 0);
    [bytes, entries, texts].concat()
}

/// The order of the loader (`_dl_cache_libcmp`): numbers by their value.
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let number = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    loop {
        match (a.split_first(), b.split_first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((first, rest)), Some((other, others))) => match (number(a), number(b)) {
                (0, 0) if first == other => (a, b) = (rest, others),
                (0, 0) => return first.cmp(other),
                (0, _) => return Ordering::Less,
                (_, 0) => return Ordering::Greater,
                (length, length_of_b) => {
                    let (digits, rest) = a.split_at(length);
                    let (digits_of_b, rest_of_b) = b.split_at(length_of_b);
                    let trim =
                        |text: &'_ [u8]| text.iter().position(|byte| *byte != b'0').unwrap_or(text.len());
                    let (one, two) = (&digits[trim(digits)..], &digits_of_b[trim(digits_of_b)..]);
                    match one.len().cmp(&two.len()).then_with(|| one.cmp(two)) {
                        Ordering::Equal => (a, b) = (rest, rest_of_b),
                        unequal => return unequal,
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[test]
    fn names_are_compared_as_the_loader_does() {
        for (a, b) in [
            ("libx.so.9", "libx.so.10"),
            ("liba.so.1", "libb.so.1"),
            ("libx.so", "libx.so.1"),
            ("libx.so.", "libx.so.01"),
        ] {
            assert_eq!(compare(a.as_bytes(), b.as_bytes()), Ordering::Less, "{a} {b}");
            assert_eq!(compare(b.as_bytes(), a.as_bytes()), Ordering::Greater, "{a} {b}");
        }
        assert_eq!(compare(b"libx.so.01", b"libx.so.1"), Ordering::Equal);
    }

    #[test]
    fn ldconfig_reads_what_is_written_of_libraries_in_the_configured_directories() {
        let mut root = Root::new();
        let own = fs::read_dir("/lib/x86_64-linux-gnu").expect("a host with glibc").flatten();
        let library =
            own.map(|entry| entry.path()).find(|path| path.ends_with("libc.so.6")).expect("the C library");
        let bytes = fs::read(library).expect("read");
        root.write(
            b"etc/ld.so.conf",
            b"# own\ninclude ld.so.conf.d/*.conf\n/usr/local/lib\n".to_vec(),
            0o644,
        )
        .expect("written");
        root.write(b"etc/ld.so.conf.d/x.conf", b"/opt/x\n".to_vec(), 0o644).expect("written");
        root.write(b"opt/x/libanything.so.2.36", bytes.clone(), 0o755).expect("written");
        root.write(b"usr/lib/libc.so.6", bytes, 0o755).expect("written");
        root.write(b"usr/lib/libbad.so", b"\x7fELF\x02\x01 and no more".to_vec(), 0o755).expect("written");
        cache(&mut root, &[]).expect("written");
        let text = |path: &[u8]| match root.find(path, true) {
            Ok(Found::Node(node)) => match &root.tree.nodes[node].kind {
                Kind::File(crate::image::erofs::Content::Bytes(bytes)) => bytes.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text(b"etc/ld.so.cache")).expect("written");
        let output =
            Command::new("/sbin/ldconfig").args(["-p", "-C"]).arg(file.path()).output().expect("ldconfig");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("1 libs found"), "{said}");
        assert!(said.contains("libc.so.6 (libc6,x86-64) => /opt/x/libanything.so.2.36"), "{said}");
    }
}
