//! Adds the host's certificates to the guest's bundle and to its Java truststores.
//!
//! These files belong to the root, which is discarded after the build.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kiln_protocol::{Trust, pem};

use crate::jks::Store;

/// The paths of the bundle. The first is made where it is missing; the others are extended where they exist.
const BUNDLES: [&str; 4] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];
/// The distribution's Java truststore. Its JDKs link to it, so it is made where it is missing.
const JAVA: &str = "etc/ssl/certs/java/cacerts";
/// The directory of JDKs, each of which may have its own store.
const JDKS: &str = "usr/lib/jvm";
/// The path of a store in a JDK.
const OF_A_JDK: &str = "lib/security/cacerts";

/// Ends a certificate.
const END: &str = "-----END CERTIFICATE-----";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Installs the host's certificates.
pub(crate) fn install(trust: &Trust) -> Result<()> {
    below(Path::new("/"), trust)
}

fn below(root: &Path, trust: &Trust) -> Result<()> {
    let Trust { bundle } = trust;
    let mut done = HashSet::new();
    for (at, path) in BUNDLES.iter().map(|path| root.join(path)).enumerate() {
        // Two names of one file are one bundle.
        let path = real(&path);
        if (at == 0 || path.exists()) && done.insert(path.clone()) {
            add(&path, bundle)?;
        }
    }
    let stores = stores(root);
    // Only if there is a store: without KVM it takes a while to decode all certificates.
    if stores.is_empty() {
        return Ok(());
    }
    // The bundle has the host's certificates by now.
    let own = read(&real(&root.join(BUNDLES[0])))?;
    let (of_host, own) = (certificates(bundle), certificates(&String::from_utf8_lossy(&own)));
    stores.iter().try_for_each(|path| add_to_store(path, &of_host, &own))
}

/// The certificates of a bundle that can be decoded. A damaged one comes from the image, and is skipped.
fn certificates(bundle: &str) -> Vec<Vec<u8>> {
    let blocks = blocks(bundle).flat_map(|block| pem::certificates(block).0);
    blocks.map(|block| block.der).collect()
}

/// Adds the host's certificates to a store. A missing store, or one in another format (JDKs from 18 on have PKCS #12), is replaced
/// by one with all certificates of the guest's bundle.
fn add_to_store(path: &Path, of_host: &[Vec<u8>], of_bundle: &[Vec<u8>]) -> Result<()> {
    let held = read(path)?;
    let (mut store, added) = match Store::read(&held) {
        Some(store) => (store, of_host),
        None => (Store::default(), of_bundle),
    };
    for (at, der) in added.iter().enumerate() {
        store.add(&format!("kiln-{at}"), der);
    }
    let bytes = store.write();
    if bytes == held { Ok(()) } else { replace(path, &bytes) }
}

/// The content of a file; empty if it is missing.
fn read(path: &Path) -> Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.with_context(|| format!("read {}", path.display())),
    }
}

/// The target of a path; the path itself if it has none.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Adds missing certificates to a bundle.
fn add(path: &Path, bundle: &str) -> Result<()> {
    let held = String::from_utf8_lossy(&read(path)?).into_owned();
    let known: HashSet<&str> = blocks(&held).collect();
    let missing: Vec<&str> = blocks(bundle).filter(|block| !known.contains(block)).collect();
    if missing.is_empty() {
        // The usual case: the bundle is the distribution's, with the same line breaks.
        return Ok(());
    }
    let known: HashSet<Vec<u8>> = known.into_iter().map(content).collect();
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

/// The certificates of a bundle, without the text between them.
fn blocks(bundle: &str) -> impl Iterator<Item = &str> {
    bundle.split_inclusive(END).filter_map(|piece| Some(&piece[piece.find(BEGIN)?..]))
}

/// The content of a certificate, without line breaks.
fn content(block: &str) -> Vec<u8> {
    let mut content = Vec::with_capacity(block.len());
    content.extend(block.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    content
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("write the host's certificates to {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    fs::write(path, bytes).with_context(context)
}

/// The Java truststores of the guest: the distribution's, and those of JDKs that are no link to it.
fn stores(root: &Path) -> Vec<PathBuf> {
    let Ok(jdks) = fs::read_dir(root.join(JDKS)) else { return Vec::new() };
    let of_jdks = jdks.flatten().map(|jdk| jdk.path().join(OF_A_JDK));
    let own = of_jdks.filter(|store| fs::symlink_metadata(store).is_ok_and(|metadata| metadata.is_file()));
    [real(&root.join(JAVA))].into_iter().chain(own).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn block(content: &str) -> String {
        format!("{BEGIN}\n{content}\n{END}")
    }

    #[test]
    fn bundles_and_java_stores_get_missing_certificates_once() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("etc/ssl/certs")).expect("made");
        fs::create_dir_all(at("usr/lib/jvm/own/lib/security")).expect("made");
        fs::create_dir_all(at("usr/lib/jvm/linked/lib/security")).expect("made");
        fs::write(at(BUNDLES[0]), format!("# theirs\n{}", block("AA"))).expect("written");
        symlink("certs/ca-certificates.crt", at("etc/ssl/cert.pem")).expect("linked");
        let mut theirs = Store::default();
        theirs.add("theirs", b"their own");
        theirs.add("both", &[0]);
        fs::write(at("usr/lib/jvm/own/lib/security/cacerts"), theirs.write()).expect("written");
        symlink("/nowhere", at("usr/lib/jvm/linked/lib/security/cacerts")).expect("linked");
        let bundle = format!("{}\n# ours\n{}\n", block("A\nA"), block("BB"));
        let trust = Trust { bundle };
        for _ in 0..2 {
            below(root.path(), &trust).expect("installed");
            let text = fs::read_to_string(at(BUNDLES[0])).expect("read");
            assert_eq!(text, format!("# theirs\n{}\n{}\n", block("AA"), block("BB")));
        }
        let store = |path: &str| Store::read(&fs::read(at(path)).expect("read")).expect("a store");
        let mut all = Store::default();
        // AA, and BB.
        all.add("kiln-0", &[0]);
        all.add("kiln-1", &[4]);
        assert_eq!(store(JAVA), all);
        theirs.add("kiln-1", &[4]);
        assert_eq!(store("usr/lib/jvm/own/lib/security/cacerts"), theirs);
        assert!(!at(BUNDLES[1]).exists());
    }
}
