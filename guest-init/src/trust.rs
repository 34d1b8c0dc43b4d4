//! Certificates that the host trusts become the guest's: its bundle gets what it lacks, Java its own store.
//!
//! Nothing of the host's is kept: these files belong to the root, which is thrown away.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kiln_protocol::Trust;

/// Where distributions keep the bundle. The first is made where it is missing; the others are added to where they exist.
const BUNDLES: [&str; 4] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];
/// Where distributions keep Java's store; their JDKs link to it.
const JAVA: &str = "etc/ssl/certs/java/cacerts";
/// Below it lie JDKs, and in each, perhaps, a store of its own.
const JDKS: &str = "usr/lib/jvm";
/// Where in a JDK.
const OF_A_JDK: &str = "lib/security/cacerts";

/// Ends a certificate.
const END: &str = "-----END CERTIFICATE-----";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Makes the guest trust what the host does.
pub(crate) fn install(trust: &Trust) -> Result<()> {
    below(Path::new("/"), trust)
}

fn below(root: &Path, trust: &Trust) -> Result<()> {
    let Trust { bundle, truststore } = trust;
    let mut done = HashSet::new();
    for (at, path) in BUNDLES.iter().map(|path| root.join(path)).enumerate() {
        // Two names of one file are one bundle.
        let path = real(&path);
        if (at == 0 || path.exists()) && done.insert(path.clone()) {
            add(&path, bundle)?;
        }
    }
    for path in [real(&root.join(JAVA))].into_iter().chain(stores_of_jdks(root)) {
        replace(&path, truststore)?;
    }
    Ok(())
}

/// The file that a name leads to; the name where it leads to none.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Adds to a bundle what it does not hold.
fn add(path: &Path, bundle: &str) -> Result<()> {
    let held = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let known: HashSet<&str> = blocks(&held).collect();
    let missing: Vec<&str> = blocks(bundle).filter(|block| !known.contains(block)).collect();
    if missing.is_empty() {
        // As a rule: most bundles are the distribution's own, as it broke their lines.
        return Ok(());
    }
    let known: HashSet<String> = known.into_iter().map(content).collect();
    let mut text = held.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for block in missing.into_iter().filter(|block| !known.contains(&content(block))) {
        text += block;
        text.push('\n');
    }
    if text == held { Ok(()) } else { replace(path, text.as_bytes()) }
}

/// The certificates of a bundle, without what stands between them.
fn blocks(bundle: &str) -> impl Iterator<Item = &str> {
    bundle.split_inclusive(END).filter_map(|piece| Some(&piece[piece.find(BEGIN)?..]))
}

/// What a certificate is, however its lines are broken.
fn content(block: &str) -> String {
    block.chars().filter(|c| !c.is_whitespace()).collect()
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("write the host's certificates to {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    fs::write(path, bytes).with_context(context)
}

/// Stores that JDKs keep for themselves; a link leads to the distribution's.
fn stores_of_jdks(root: &Path) -> Vec<PathBuf> {
    let Ok(jdks) = fs::read_dir(root.join(JDKS)) else { return Vec::new() };
    let stores = jdks.flatten().map(|jdk| jdk.path().join(OF_A_JDK));
    stores.filter(|store| fs::symlink_metadata(store).is_ok_and(|metadata| metadata.is_file())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn block(content: &str) -> String {
        format!("{BEGIN}\n{content}\n{END}")
    }

    #[test]
    fn a_bundle_gets_what_it_lacks_once_and_java_gets_a_store() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("etc/ssl/certs")).expect("made");
        fs::create_dir_all(at("usr/lib/jvm/own/lib/security")).expect("made");
        fs::create_dir_all(at("usr/lib/jvm/linked/lib/security")).expect("made");
        fs::write(at(BUNDLES[0]), format!("# theirs\n{}", block("AA"))).expect("written");
        symlink("certs/ca-certificates.crt", at("etc/ssl/cert.pem")).expect("linked");
        fs::write(at("usr/lib/jvm/own/lib/security/cacerts"), "old").expect("written");
        symlink("/nowhere", at("usr/lib/jvm/linked/lib/security/cacerts")).expect("linked");
        let bundle = format!("{}\n# ours\n{}\n", block("A\nA"), block("BB"));
        let trust = Trust { bundle, truststore: b"store".to_vec() };
        for _ in 0..2 {
            below(root.path(), &trust).expect("installed");
            let text = fs::read_to_string(at(BUNDLES[0])).expect("read");
            assert_eq!(text, format!("# theirs\n{}\n{}\n", block("AA"), block("BB")));
        }
        assert_eq!(fs::read(at(JAVA)).expect("read"), b"store");
        assert_eq!(fs::read(at("usr/lib/jvm/own/lib/security/cacerts")).expect("read"), b"store");
        assert!(!at(BUNDLES[1]).exists());
    }
}
