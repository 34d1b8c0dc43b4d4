//! An authority for certificates, made by a test. Included by the tests of each backend.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("openssl can be started");
    assert!(output.status.success(), "openssl {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// `ca.pem` in a directory, and in its `source/` the certificate of a server that it signed. Gives the first.
pub(crate) fn authority(directory: &Path) -> PathBuf {
    fs::create_dir_all(directory.join("source")).expect("made");
    openssl(
        directory,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=kiln-test",
    );
    openssl(
        directory,
        "req -newkey rsa:2048 -nodes -keyout source/key.pem -out server.csr -subj /CN=localhost",
    );
    fs::write(directory.join("ext"), "subjectAltName=DNS:localhost").expect("written");
    openssl(
        directory,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out source/cert.pem",
    );
    directory.join("ca.pem")
}
