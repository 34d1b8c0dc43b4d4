//! What the host trusts: its bundle of certificates, found and read.
//!
//! Before it: `--host-certs` and the environment. After it: `engine` gives it to the agent. It is no part of a plan, but
//! where it comes from is.

use std::path::{Path, PathBuf};

use kiln_protocol::{Trust, pem};

use crate::{env::Env, exit::Failure, input};

/// Where distributions keep the bundle.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// More than any bundle has: the agent takes no larger request.
const MOST_BYTES: usize = 4 << 20;

/// The host's own bundle: what `SSL_CERT_FILE` names, else the system's; none, where there is none.
pub fn find(env: &Env) -> Option<PathBuf> {
    let named = env.get("SSL_CERT_FILE").map(PathBuf::from);
    named.into_iter().chain(BUNDLES.map(PathBuf::from)).find(|path| path.is_file())
}

/// Reads a bundle.
///
/// # Errors
/// A usage error (2) for a file that cannot be read, is too large, or holds no certificate.
pub fn load(path: &Path) -> Result<Trust, Failure> {
    let refuse = |why: String| {
        Failure::usage(
            format!("--host-certs: {} {why}", path.display()),
            "name a file of PEM certificates, or say --host-certs off",
        )
    };
    let bytes =
        input::read_again(path, MOST_BYTES).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() > MOST_BYTES {
        return Err(refuse(format!("is larger than {} MiB", MOST_BYTES >> 20)));
    }
    let blocks = pem::certificates(&String::from_utf8_lossy(&bytes)).map_err(&refuse)?;
    if blocks.is_empty() {
        return Err(refuse("holds no certificate".into()));
    }
    Ok(Trust { bundle: blocks.iter().map(|block| format!("{}\n", block.text)).collect() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_and_says_the_way_out() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("bundle.pem");
        for (text, why) in [
            ("", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "certificate 1 is not base64"),
        ] {
            fs::write(&path, text).expect("written");
            let failure = load(&path).expect_err("refused");
            assert_eq!(failure.code, crate::exit::Code::Usage);
            assert!(failure.what.ends_with(why), "{}", failure.what);
        }
        assert!(load(&directory.path().join("missing")).is_err());
        // It is read twice.
        let what = load(Path::new("/dev/zero")).expect_err("refused").what;
        assert!(what.ends_with("cannot be read: it is no regular file"), "{what}");
    }

    #[test]
    fn the_variable_wins_over_the_system() {
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        let env: Env = [("SSL_CERT_FILE", file.path())].into_iter().collect();
        assert_eq!(find(&env).as_deref(), Some(file.path()));
    }
}
