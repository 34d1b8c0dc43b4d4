//! Repositories of a directory, served on loopback by git's own daemon, a process for each connection.

use std::{
    net::TcpListener,
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
};

/// Serves what lies below a directory, for as long as the test runs; gives the beginning of the URLs, without a slash at its
/// end.
pub(crate) fn serve(directory: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}", listener.local_addr().unwrap());
    let mut base = std::ffi::OsString::from("--base-path=");
    base.push(directory);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = OwnedFd::from(stream.unwrap());
            let mut daemon = Command::new("git");
            daemon.args(["daemon", "--inetd", "--export-all"]).arg(&base);
            daemon.env("GIT_CONFIG_GLOBAL", "/dev/null").env_remove("GIT_DIR");
            daemon.stdin(stream.try_clone().unwrap()).stdout(stream).stderr(Stdio::null());
            let mut daemon = daemon.spawn().unwrap();
            std::thread::spawn(move || daemon.wait());
        }
    });
    url
}
