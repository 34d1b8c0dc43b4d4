//! The certificates that the host trusts: its bundle, found and read.
//!
//! Before it: `--host-certs` and the environment. After it: `engine` sends the bundle to the agent. A plan shows only its
//! path.

use std::path::{Path, PathBuf};

use kiln_protocol::{
    Trust,
    pem::{self, Fault},
};

use crate::{env::Env, exit::Failure, input};

/// Where distributions keep the bundle.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// More than any bundle has; the agent refuses larger requests.
const MOST_BYTES: usize = 4 << 20;

/// How many of the faults a message names.
const NAMED: usize = 3;

/// The host's own bundle: the file of `SSL_CERT_FILE`, else the system's; `None` where no file can be used. The texts are
/// remarks about files and certificates that are not used: a fault of the host's bundle never ends a build.
pub fn find(env: &Env) -> (Option<(PathBuf, Trust)>, Vec<String>) {
    let mut remarks = Vec::new();
    let named = env.path("SSL_CERT_FILE").map(PathBuf::from);
    let systems = BUNDLES.iter().map(PathBuf::from).filter(|path| path.exists());
    for path in named.iter().cloned().chain(systems) {
        match usable(&path) {
            Ok((trust, faults)) => {
                let remark =
                    faults_in_words(&faults).map(|words| format!("certificates: {} {words}", path.display()));
                remarks.extend(remark);
                return (Some((path, trust)), remarks);
            }
            Err(why) => {
                let by = if named.as_ref() == Some(&path) { "SSL_CERT_FILE: " } else { "" };
                remarks.push(format!("certificates: {by}{} is not used: it {why}", path.display()));
            }
        }
    }
    (None, remarks)
}

fn usable(path: &Path) -> Result<(Trust, Vec<Fault>), String> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => Err("is not a regular file".into()),
        Ok(_) => read(path),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Reads a bundle that the user names: a file or a pipe, without faults.
///
/// # Errors
/// A usage error (2) for a file that cannot be read, is too large, holds no certificate, or has a fault.
pub fn load(path: &Path) -> Result<Trust, Failure> {
    let refuse = |why: String| {
        Failure::usage(
            format!("--host-certs: {} {why}", path.display()),
            "name a file of PEM certificates, or write --host-certs off",
        )
    };
    let (trust, faults) = read(path).map_err(refuse)?;
    match faults_in_words(&faults) {
        Some(words) => Err(refuse(words)),
        None => Ok(trust),
    }
}

/// The certificates of a bundle and its faults. An error is a predicate of the file.
fn read(path: &Path) -> Result<(Trust, Vec<Fault>), String> {
    let bytes = input::read(path, MOST_BYTES).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > MOST_BYTES {
        return Err(format!("is larger than {} MiB", MOST_BYTES >> 20));
    }
    let (mut blocks, mut faults) = pem::certificates(&String::from_utf8_lossy(&bytes));
    blocks.retain(|block| {
        let is_one = is_sequence(&block.der);
        if !is_one {
            faults.push(Fault { line: block.line, why: "it is not a certificate" });
        }
        is_one
    });
    faults.sort_by_key(|fault| fault.line);
    if blocks.is_empty() {
        return Err(faults_in_words(&faults).unwrap_or_else(|| "holds no certificate".into()));
    }
    let bundle = blocks.iter().map(|block| format!("{}\n", block.text)).collect();
    Ok((Trust { bundle }, faults))
}

/// The faults as a predicate of the file; `None` if there are no faults.
fn faults_in_words(faults: &[Fault]) -> Option<String> {
    let named = faults.iter().take(NAMED).map(|Fault { line, why }| format!("line {line}: {why}"));
    let more = faults.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("{more} more"));
    let words: Vec<String> = named.chain(more).collect();
    (!words.is_empty()).then(|| format!("holds blocks that are not certificates ({})", words.join("; ")))
}

/// Whether it is one DER sequence (X.690 §8.9), which all certificates are, and nothing besides.
fn is_sequence(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else { return false };
    if *first < 0x80 {
        return rest.len() == usize::from(*first);
    }
    // The length follows in so many bytes; four are more than a bundle may have.
    let count = usize::from(first & 0x7f);
    let Some((length, content)) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count)) else {
        return false;
    };
    length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)) == content.len()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A sequence of one byte.
    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAEA\n-----END CERTIFICATE-----\n";
    const DAMAGED: &str = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    const SHORT: &str = "-----BEGIN CERTIFICATE-----\nMAIA\n-----END CERTIFICATE-----\n";

    fn bundle(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("bundle.pem");
        fs::write(&path, text).expect("written");
        (directory, path)
    }

    #[test]
    fn a_named_file_with_a_fault_is_refused_with_the_place() {
        for (text, why) in [
            ("".into(), "holds no certificate"),
            (DAMAGED.into(), "holds blocks that are not certificates (line 1: it is not base64)"),
            (
                format!("{ONE}{SHORT}"),
                "holds blocks that are not certificates (line 4: it is not a certificate)",
            ),
            (
                format!("{DAMAGED}{SHORT}{DAMAGED}{ONE}{DAMAGED}"),
                "(line 1: it is not base64; line 4: it is not a certificate; line 7: it is not base64; 1 more)",
            ),
        ] {
            let (_directory, path) = bundle(&text);
            let failure = load(&path).expect_err("refused");
            assert_eq!(failure.code, crate::exit::Code::Usage);
            assert!(failure.what.ends_with(why), "{}", failure.what);
        }
        let (directory, path) = bundle(ONE);
        assert_eq!(load(&path).expect("right").bundle, ONE);
        assert!(load(&directory.path().join("missing")).is_err());
        let what = load(Path::new("/dev/zero")).expect_err("refused").what;
        assert!(what.ends_with("is larger than 4 MiB"), "{what}");
    }

    #[test]
    fn the_hosts_bundle_is_used_without_its_faults_which_are_remarked() {
        let hosts = |path: &Path| {
            let (found, remarks) = find(&[("SSL_CERT_FILE", path)].into_iter().collect());
            (found.map(|(path, trust)| (path, trust.bundle)), remarks)
        };
        let (directory, path) = bundle(ONE);
        assert_eq!(hosts(&path), (Some((path, ONE.into())), Vec::new()));
        let (_directory, path) = bundle(&format!("{DAMAGED}{ONE}"));
        let (found, remarks) = hosts(&path);
        assert_eq!(found, Some((path, ONE.into())));
        assert!(remarks.len() == 1 && remarks[0].ends_with("(line 1: it is not base64)"), "{remarks:?}");
        for path in [&bundle("").1, &bundle(DAMAGED).1, directory.path(), &directory.path().join("missing")] {
            let (found, remarks) = hosts(path);
            assert!(found.is_none_or(|(used, _)| used != path));
            assert!(
                remarks[0].starts_with(&format!(
                    "certificates: SSL_CERT_FILE: {} is not used: it ",
                    path.display()
                ))
            );
        }
    }

    #[test]
    fn lengths_of_sequences_are_those_of_x_690() {
        let long =
            |length: &[u8], count| [&[0x30, 0x80 | length.len() as u8], length, &vec![0; count]].concat();
        assert!(
            is_sequence(&[0x30, 0]) && is_sequence(&long(&[0x80], 0x80)) && is_sequence(&long(&[1, 0], 256))
        );
        for der in
            [&[][..], &[0x30], &[0x31, 0], &[0x30, 1], &[0x30, 0x80], &long(&[1, 0], 255), &long(&[0; 5], 0)]
        {
            assert!(!is_sequence(der), "{der:?}");
        }
    }
}
