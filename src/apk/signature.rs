//! Keys and signatures: RSASSA-PKCS1-v1_5, with SHA-256 for what kiln signs, and with SHA-1 too for what it verifies (Alpine's
//! indexes).
//!
//! Before it: PEM files that the user names. After it: packages, indexes and provenance that are signed, and indexes that are
//! verified. A private key is never printed.

use std::{
    fmt, fs,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rsa::{
    Pkcs1v15Sign,
    pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey},
    pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey, LineEnding},
    traits::PublicKeyParts,
};
use sha1::Sha1;
use sha2::Sha256;

use crate::{
    exit::{Code, Failure},
    input,
};

/// The least size in bits that is considered safe.
pub const MIN_KEY_SIZE: usize = 2048;
/// The most bits of a key. Making a larger one takes minutes, and readers may refuse it.
pub const MAX_KEY_SIZE: usize = 8192;

/// The least size in bits of a key that kiln signs with. Go's library, and so melange, refuses smaller ones.
const LEAST_USABLE: usize = 1024;

/// How the name of an entry with a signature begins, and how it ends.
const ENTRY: (&str, &str) = (".SIGN.RSA256.", ".pub");
/// The longest name of an entry without an extended header, by which readers would not know the signature.
const ENTRY_MAX: usize = 100;

/// The lines before a private key: of PKCS#1, and of PKCS#8, which may hold keys of other kinds.
const PRIVATE_KEYS: [&str; 2] = ["-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----"];
/// The way out where there is no key.
const MAKE_KEY: &str = "kiln keygen makes a key; so does openssl genrsa -traditional -out NAME.rsa 4096";

/// The most bytes of a file with a key; one of 8192 bits has 6,400.
const MAX_FILE: usize = 64 << 10;

/// The mode of a private key: its owner alone reads it.
const PRIVATE: u32 = 0o600;
/// The mode of a public key.
const PUBLIC: u32 = 0o644;

/// The digest that a signature is made over, which the name of its entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `.SIGN.RSA.`: SHA-1.
    Rsa,
    /// `.SIGN.RSA256.`: SHA-256.
    Rsa256,
}

/// A private key, and the name that readers find its public key by.
pub struct SigningKey {
    key: rsa::PrivateKey,
    name: String,
    is_exposed: bool,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key from a file: PEM, PKCS#1 or PKCS#8, without a passphrase.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let (text, mode) = read(path, "private key")?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let key = Self::parse(&text, &name).map_err(|failure| in_file(failure, path))?;
        Ok(Self { is_exposed: mode & 0o077 != 0, ..key })
    }

    /// Reads a private key from its text. `name` is the base name of its file.
    pub fn parse(pem: &str, name: &str) -> Result<Self, Failure> {
        if pem.contains("ENCRYPTED") {
            return Err(Failure::host(
                "the private key is encrypted, and kiln cannot ask for its passphrase",
                "decrypt it into a file that only you can read: openssl rsa -traditional -in KEY -out PLAIN.rsa",
            ));
        }
        if !PRIVATE_KEYS.iter().any(|line| pem.contains(line)) {
            let [first, second] = PRIVATE_KEYS;
            let what = format!("this is no private RSA key: it has neither a line {first} nor {second}");
            return Err(Failure::host(what, MAKE_KEY));
        }
        let key = rsa::PrivateKey::from_pkcs1_pem(pem).or_else(|pkcs1| {
            // The fault of a file that says that it is PKCS#1 is more useful than that it is not PKCS#8.
            let error = if pem.contains(PRIVATE_KEYS[0]) { pkcs1.to_string() } else { String::new() };
            rsa::PrivateKey::from_pkcs8_pem(pem).map_err(|pkcs8| match error.as_str() {
                "" => pkcs8.to_string(),
                _ => error,
            })
        });
        let key = key.map_err(|error| {
            let what = format!("the private key cannot be read as PEM of an RSA key: {error}");
            Failure::host(what, MAKE_KEY)
        })?;
        let key = Self { key, name: name.to_owned(), is_exposed: false };
        key.check_use()?;
        Ok(key)
    }

    /// Whether readers take what it signs.
    fn check_use(&self) -> Result<(), Failure> {
        let bits = self.key.size() * 8;
        if bits < LEAST_USABLE {
            let what = format!("the private key has {bits} bits: anyone can forge its signatures");
            return Err(Failure::host(what, "make another key: kiln keygen"));
        }
        let entry = self.entry_name();
        if entry.len() > ENTRY_MAX || !entry.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            let most = ENTRY_MAX - ENTRY.0.len() - ENTRY.1.len();
            let what = format!("the name of the private key's file is longer than {most} bytes or not ASCII");
            let way_out = "give the file another name: readers find the public key by it, as NAME.pub";
            return Err(Failure::host(what, way_out));
        }
        Ok(())
    }

    /// The base name of the key's file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether users besides its owner have rights to its file.
    pub fn is_exposed(&self) -> bool {
        self.is_exposed
    }

    /// The name of the tar entry that holds its signature.
    pub fn entry_name(&self) -> String {
        [ENTRY.0, &self.name, ENTRY.1].concat()
    }

    /// The public key that verifies its signatures.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { key: self.key.to_public_key(), name: format!("{}.pub", self.name) }
    }

    /// Signs a SHA-256. The same key and digest give the same signature.
    pub fn sign(&self, sha256: &[u8; 32]) -> Result<Vec<u8>, Failure> {
        self.key.sign(Pkcs1v15Sign::new::<Sha256>(), sha256).map_err(|error| {
            let what = format!("the key {} cannot sign: {error}", self.name);
            Failure::host(what, "make another key: kiln keygen")
        })
    }
}

/// A public key, and its name.
#[derive(Debug, Clone)]
pub struct PublicKey {
    key: rsa::PublicKey,
    name: String,
}

impl PublicKey {
    /// Reads a public key from a file: PEM, PKIX.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let (text, _) = read(path, "public key")?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::parse(&text, &name).map_err(|failure| in_file(failure, path))
    }

    /// Reads a public key from its text. `name` is the base name of its file.
    pub fn parse(pem: &str, name: &str) -> Result<Self, Failure> {
        let key = rsa::PublicKey::from_public_key_pem(pem).map_err(|error| {
            let what = format!("the public key cannot be read as PEM of an RSA key: {error}");
            Failure::host(what, "openssl rsa -in KEY -pubout makes the public key of a private one")
        })?;
        Ok(Self { key, name: name.to_owned() })
    }

    /// The base name of the key's file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text: PEM, PKIX.
    pub fn pem(&self) -> Result<String, Failure> {
        self.key.to_public_key_pem(LineEnding::LF).map_err(|error| {
            let what = format!("the public key {} cannot be written: {error}", self.name);
            Failure::host(what, "make another key: kiln keygen")
        })
    }

    /// Whether `signature` is this key's over `digest`, which is the SHA-1 or the SHA-256 of what is signed.
    pub fn verifies(&self, algorithm: Algorithm, digest: &[u8], signature: &[u8]) -> bool {
        let scheme = match algorithm {
            Algorithm::Rsa => Pkcs1v15Sign::new::<Sha1>(),
            Algorithm::Rsa256 => Pkcs1v15Sign::new::<Sha256>(),
        };
        self.key.verify(scheme, digest, signature).is_ok()
    }
}

/// Makes a key of `bits` bits: the private one at `path` (0600), the public one at `path` + `.pub`, which is returned.
///
/// # Errors
/// A size that is unsafe or too large, or a file that exists: neither is overwritten.
pub fn generate_key(path: &Path, bits: usize) -> Result<PathBuf, Failure> {
    if bits < MIN_KEY_SIZE {
        let what = format!("key size is less than {MIN_KEY_SIZE} bits, this is not considered safe");
        return Err(Failure::usage(what, "--key-size 4096, which is the default"));
    }
    if bits > MAX_KEY_SIZE {
        let what = format!("a key of {bits} bits is too large: readers accept up to {MAX_KEY_SIZE}");
        return Err(Failure::usage(what, "--key-size 4096, which is the default"));
    }
    let public_path = PathBuf::from({
        let mut name = path.as_os_str().to_owned();
        name.push(".pub");
        name
    });
    if let Some(path) = [path, &public_path].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(exists(path));
    }
    let error = |error: &dyn fmt::Display| Failure::new(Code::Defect, format!("make a key: {error}"), "");
    let key = rsa::PrivateKey::new(&mut rsa::rand_core::UnwrapErr(getrandom::SysRng), bits)
        .map_err(|e| error(&e))?;
    let private = key.to_pkcs1_pem(LineEnding::LF).map_err(|e| error(&e))?;
    let public = key.to_public_key().to_public_key_pem(LineEnding::LF).map_err(|e| error(&e))?;
    create(path, private.as_bytes(), PRIVATE)?;
    create(&public_path, public.as_bytes(), PUBLIC).inspect_err(|_| {
        // Best effort: half a pair is of no use, and would be in the way of the next attempt.
        let _ = fs::remove_file(path);
    })?;
    Ok(public_path)
}

fn exists(path: &Path) -> Failure {
    let what = format!(
        "{} exists, and a key is not overwritten: what it signed could not be verified",
        path.display()
    );
    Failure::host(what, "give another name, or move the old pair away")
}

fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let written = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    written().map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::host(
            format!("write {}: {error}", path.display()),
            "check that the directory can be written",
        ),
    })
}

/// The text of a small file, which may be a pipe, and its mode.
fn read(path: &Path, what: &str) -> Result<(String, u32), Failure> {
    let read = || -> std::io::Result<(Vec<u8>, u32)> {
        let mode = fs::metadata(path)?.mode();
        Ok((input::read(path, MAX_FILE)?, mode))
    };
    let failed = |why: &dyn fmt::Display| {
        let what = format!("read the {what} {}: {why}", path.display());
        Failure::host(what, "kiln keygen NAME makes a pair of keys")
    };
    let (bytes, mode) = read().map_err(|error| failed(&error))?;
    if bytes.len() > MAX_FILE {
        return Err(failed(&format!("it has more than {MAX_FILE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed(&"it is not PEM, which is text"))?;
    Ok((text, mode))
}

fn in_file(failure: Failure, path: &Path) -> Failure {
    Failure { what: format!("{}: {}", path.display(), failure.what), ..failure }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

    use sha1::Digest;

    use super::*;

    fn digest(text: &[u8]) -> [u8; 32] {
        Sha256::digest(text).into()
    }

    /// A pair of keys; making one of the least size takes the tests long enough.
    fn pair(directory: &Path) -> (SigningKey, PublicKey) {
        let path = directory.join("test.rsa");
        let public = generate_key(&path, MIN_KEY_SIZE).expect("made");
        (SigningKey::load(&path).expect("readable"), PublicKey::load(&public).expect("readable"))
    }

    #[test]
    fn what_a_key_signs_its_public_key_verifies() {
        let root = tempfile::tempdir().expect("made");
        let (key, public) = pair(root.path());
        assert_eq!((key.name(), public.name()), ("test.rsa", "test.rsa.pub"));
        assert_eq!(key.entry_name(), ".SIGN.RSA256.test.rsa.pub");
        assert_eq!(format!("{key:?}"), "SigningKey { name: \"test.rsa\", .. }");
        let signature = key.sign(&digest(b"text")).expect("signed");
        assert_eq!(key.sign(&digest(b"text")).expect("signed"), signature, "signatures are reproducible");
        assert!(public.verifies(Algorithm::Rsa256, &digest(b"text"), &signature));
        assert!(key.public_key().verifies(Algorithm::Rsa256, &digest(b"text"), &signature));
        assert!(!public.verifies(Algorithm::Rsa256, &digest(b"other"), &signature));
        assert!(!public.verifies(Algorithm::Rsa, &Sha1::digest(b"text"), &signature));
        for wrong in [&b""[..], &signature[1..], &[0; 256], &[0xff; 256], &[1; 100_000]] {
            assert!(!public.verifies(Algorithm::Rsa256, &digest(b"text"), wrong));
            assert!(!public.verifies(Algorithm::Rsa256, b"short", wrong));
        }
        // The files: the private key is its owner's alone, and neither is overwritten.
        assert!(!key.is_exposed());
        let private = root.path().join("test.rsa");
        assert_eq!(fs::metadata(&private).expect("there").mode() & 0o777, 0o600);
        let before = fs::read(&private).expect("there");
        assert!(generate_key(&private, 2048).expect_err("refused").what.contains("test.rsa exists"));
        fs::rename(&private, root.path().join("moved")).expect("moved");
        assert!(generate_key(&private, 2048).expect_err("refused").what.contains("test.rsa.pub exists"));
        assert!(!private.exists());
        assert_eq!(fs::read(root.path().join("moved")).expect("there"), before);
        fs::set_permissions(root.path().join("moved"), fs::Permissions::from_mode(0o640)).expect("set");
        assert!(SigningKey::load(&root.path().join("moved")).expect("readable").is_exposed());
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn openssl_verifies_and_signs_alike() {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: openssl is not installed");
            return;
        }
        let root = tempfile::tempdir().expect("made");
        let openssl = |line: &str| {
            let run = Command::new("openssl")
                .args(line.split(' '))
                .current_dir(root.path())
                .output()
                .expect("started");
            assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
        };
        let (key, public) = pair(root.path());
        fs::write(root.path().join("text"), "text").expect("written");
        fs::write(root.path().join("signature"), key.sign(&digest(b"text")).expect("signed"))
            .expect("written");
        openssl("dgst -sha256 -verify test.rsa.pub -signature signature text");
        openssl("dgst -sha1 -sign test.rsa -out signature1 text");
        let signature = fs::read(root.path().join("signature1")).expect("there");
        assert!(public.verifies(Algorithm::Rsa, &Sha1::digest(b"text"), &signature));
        // Keys of openssl: PKCS#1, PKCS#8, and an encrypted one.
        openssl("genrsa -traditional -out one.rsa 2048");
        openssl("pkcs8 -topk8 -nocrypt -in one.rsa -out eight.rsa");
        openssl("rsa -aes128 -passout pass:secret -in one.rsa -out secret.rsa");
        openssl("rsa -traditional -aes128 -passout pass:secret -in one.rsa -out secret1.rsa");
        openssl("rsa -in one.rsa -pubout -out one.rsa.pub");
        openssl("genrsa -traditional -out small.rsa 512");
        let load = |name: &str| SigningKey::load(&root.path().join(name));
        let public = PublicKey::load(&root.path().join("one.rsa.pub")).expect("readable");
        for name in ["one.rsa", "eight.rsa"] {
            let signature = load(name).expect("readable").sign(&digest(b"x")).expect("signed");
            assert!(public.verifies(Algorithm::Rsa256, &digest(b"x"), &signature), "{name}");
        }
        for name in ["secret.rsa", "secret1.rsa"] {
            assert!(load(name).expect_err("encrypted").what.contains("is encrypted"), "{name}");
        }
        assert!(load("small.rsa").expect_err("too small").what.contains("has 512 bits"));
        assert!(
            load("one.rsa.pub").expect_err("public").what.contains("one.rsa.pub: this is no private RSA key")
        );
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        let path = Path::new("/nonexistent/key");
        for bits in [0, 1024, 2047, 8193, usize::MAX] {
            assert_eq!(generate_key(path, bits).expect_err("refused").code, Code::Usage, "{bits}");
        }
    }

    #[test]
    fn a_key_whose_signatures_no_reader_takes_is_refused() {
        let root = tempfile::tempdir().expect("made");
        let (key, _) = pair(root.path());
        let pem = key.key.to_pkcs1_pem(LineEnding::LF).expect("PEM");
        let longest = "n".repeat(83);
        assert_eq!(SigningKey::parse(&pem, &longest).expect("usable").entry_name().len(), 100);
        SigningKey::parse(&pem, "my key.rsa").expect("usable");
        for name in [&format!("{longest}n"), "schlüssel.rsa", "a\nb.rsa"] {
            let failure = SigningKey::parse(&pem, name).expect_err("refused");
            assert!(failure.what.contains("longer than 83 bytes or not ASCII"), "{failure}");
        }
    }

    #[test]
    fn a_key_may_come_by_a_pipe() {
        let root = tempfile::tempdir().expect("made");
        let (key, _) = pair(root.path());
        let pem = key.key.to_pkcs1_pem(LineEnding::LF).expect("PEM");
        let (reader, mut writer) = std::io::pipe().expect("made");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let pem = pem.to_string();
        let writing = std::thread::spawn(move || writer.write_all(pem.as_bytes()));
        SigningKey::load(Path::new(&path)).expect("readable");
        writing.join().expect("it ended").expect("it is read");
    }

    #[test]
    fn what_is_no_key_is_an_error_with_its_file() {
        let root = tempfile::tempdir().expect("made");
        let path = root.path().join("x.rsa");
        for content in ["", "x", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"] {
            fs::write(&path, content).expect("written");
            for failure in
                [SigningKey::load(&path).expect_err("refused"), PublicKey::load(&path).expect_err("refused")]
            {
                assert!(failure.what.contains("x.rsa: th"), "{failure}");
                assert_eq!(failure.code, Code::Host);
            }
        }
        assert!(
            SigningKey::load(Path::new("/nonexistent")).expect_err("refused").what.contains("/nonexistent")
        );
    }
}
