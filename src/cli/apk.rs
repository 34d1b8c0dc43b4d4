//! The options of the commands for packages that exist, and for repositories: `keygen`, `sign`, `sign-index`, `index`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// The options of `kiln keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The file of the private key, which only you can read; the public key goes to NAME.pub. Neither is overwritten.
    #[arg(value_name = "NAME", default_value = "melange.rsa", value_hint = ValueHint::FilePath)]
    pub name: PathBuf,
    /// The bits of the key, at least 2048.
    #[arg(long, value_name = "BITS", default_value_t = 4096)]
    pub key_size: usize,
}

/// The options of `kiln sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The private key (RSA, PEM).
    #[arg(short = 'k', long, value_name = "FILE", default_value = "local-melange.rsa", value_hint = ValueHint::FilePath)]
    pub signing_key: PathBuf,
    /// The packages: NAME.apk. A signature that one has is replaced.
    #[arg(required = true, value_name = "APK", value_hint = ValueHint::FilePath)]
    pub packages: Vec<PathBuf>,
}

/// The options of `kiln sign-index`.
#[derive(Debug, Args)]
pub struct SignIndexArgs {
    /// The private key (RSA, PEM).
    #[arg(long, value_name = "FILE", default_value = "melange.rsa", value_hint = ValueHint::FilePath)]
    pub signing_key: PathBuf,
    /// Sign an index that is signed again, in the place of its signatures.
    #[arg(short, long)]
    pub force: bool,
    /// The index: APKINDEX.tar.gz.
    #[arg(value_name = "INDEX", value_hint = ValueHint::FilePath)]
    pub index: PathBuf,
}

/// The options of `kiln index`.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// The index that is written.
    #[arg(short, long, value_name = "FILE", default_value = "APKINDEX.tar.gz", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Add the packages to those of another index; those of the same name and version are replaced.
    #[arg(short, long)]
    pub merge: bool,
    /// The index that --merge adds to.
    #[arg(short, long, value_name = "FILE", default_value = "./APKINDEX.tar.gz", value_hint = ValueHint::FilePath)]
    pub source: PathBuf,
    /// Leave out packages of other architectures than this one.
    #[arg(short, long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// The private key (RSA, PEM) that signs the index.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub signing_key: Option<PathBuf>,
    /// The packages: NAME.apk.
    #[arg(required = true, value_name = "APK", value_hint = ValueHint::FilePath)]
    pub packages: Vec<PathBuf>,
}
