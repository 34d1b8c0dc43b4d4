//! The downloads of `kiln update-cache`: at most `--limit`, and redirects lead to servers only,
//! whatever a guest has put in the place of unfinished files.

use std::{
    ffi::{CStr, CString},
    fs::{self, File, FileTimes},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use data_encoding::HEXLOWER;
use nix::{
    libc,
    sys::stat::{Mode, SFlag},
    unistd::geteuid,
};
use sha2::{Digest, Sha256};

use crate::{git_server, skip::skip};

/// Serves one kind of answer for each path; a pipe that breaks is a client that has had enough.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || match answer(stream) {
                Err(error)
                    if ![ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()) =>
                {
                    panic!("{error}")
                }
                _ => {}
            });
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = head[0].split(' ').nth(1).unwrap_or_default();
    match path {
        // Without an end.
        "/chunked" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                stream.write_all(b"10000\r\n")?;
                stream.write_all(&[b'x'; 0x10000])?;
                stream.write_all(b"\r\n")?;
            }
        }
        "/closed" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 0x10000])?;
            }
        }
        "/long" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 0x10000])?;
            }
        }
        _ if path.starts_with("/to/") => {
            let to = path.trim_start_matches("/to/");
            stream.write_all(
                format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
            )
        }
        _ => {
            let (_, size) = path.split_once("size=").unwrap_or(("", "10"));
            let content = content(size.parse().unwrap());
            stream.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()).as_bytes(),
            )?;
            stream.write_all(&content)
        }
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

fn hex(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}

fn kiln(directory: &Path, arguments: &[&str]) -> Output {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.args(["update-cache", "--progress", "plain"]).args(arguments).current_dir(directory);
    kiln.env("KILN_HOME", directory.join("home")).env("TMPDIR", directory);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        kiln.env_remove(name);
    }
    kiln.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn build_file(directory: &Path, steps: &str) {
    let text = format!("package: {{name: p, version: 1.2, epoch: 0}}\npipeline:\n{steps}");
    fs::write(directory.join("melange.yaml"), text).unwrap();
}

fn fetch(url: &str, hash: &str) -> String {
    format!("- uses: fetch\n  with: {{uri: \"{url}\", expected-sha256: \"{hash}\"}}\n")
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// The files below a directory, by their paths.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() && !path.is_symlink() {
            true => found.extend(files(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found
}

#[test]
fn a_download_ends_at_the_limit_and_leaves_nothing() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let (directory, server) = (tempfile::tempdir().unwrap(), server());
    let cache = directory.path().join("melange-cache");
    let right = hex(&content(700_000));
    for path in ["/chunked", "/closed", "/long", "/size=1048577"] {
        build_file(directory.path(), &fetch(&format!("{server}{path}"), &"0".repeat(64)));
        let output = kiln(directory.path(), &["--limit", "1Mi"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(4), "{path}: {said}");
        assert!(said.contains("it is more than 1 MiB: --limit allows more"), "{path}: {said}");
        assert_eq!(files(&cache), [] as [String; 0], "{path}");
    }
    // As long as the limit is not too long; and what all of them may be together is another number.
    let steps = [
        fetch(&format!("{server}/size=1048576"), &hex(&content(1 << 20))),
        fetch(&format!("{server}/a?size=700000"), &right),
    ];
    build_file(directory.path(), &steps.concat());
    let output = kiln(directory.path(), &["--limit", "1Mi,1500Ki"]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(
        said(&output).contains("all sources are more than 1536000 bytes: --limit SIZE,TOTAL"),
        "{}",
        said(&output)
    );
    let output = kiln(directory.path(), &["--limit", "1Mi,2Mi"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(files(&cache).len(), 2);
    // The unfinished file of a run with another limit, or of a guest, is not continued.
    fs::remove_dir_all(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    File::create(cache.join(format!(".fetch.sha256:{right}.part"))).unwrap().set_len(1 << 40).unwrap();
    build_file(directory.path(), &fetch(&format!("{server}/a?size=700000"), &right));
    let output = kiln(directory.path(), &["--limit", "1Mi"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(files(&cache), [cache.join(format!("sha256:{right}")).display().to_string()]);
}

#[test]
fn a_redirect_leads_to_servers_only() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let (directory, server) = (tempfile::tempdir().unwrap(), server());
    let secret = directory.path().join("secret");
    fs::write(&secret, content(10)).unwrap();
    let hash = hex(&content(10));
    for to in [
        format!("file://{}", secret.display()),
        "ftp://127.0.0.1:1/x".into(),
        "gopher://127.0.0.1:1/x".into(),
    ] {
        build_file(directory.path(), &fetch(&format!("{server}/to/{to}"), &hash));
        let output = kiln(directory.path(), &[]);
        assert_eq!(output.status.code(), Some(4), "{to}: {}", said(&output));
        assert!(!directory.path().join(format!("melange-cache/sha256:{hash}")).exists(), "{to}");
    }
    build_file(directory.path(), &fetch(&format!("{server}/to/{server}/size=10"), &hash));
    let output = kiln(directory.path(), &[]);
    assert!(output.status.success(), "{}", said(&output));
}

/// A repository of one file that does not pack, one of a file that packs to nothing, and one of many files of a few bytes.
const REPOSITORIES: &str = "set -e
export GIT_CONFIG_GLOBAL=/dev/null
for name in large bomb many; do git init --quiet --initial-branch=trunk $name; git -C $name config user.name A; git -C $name config user.email a@b; done
head -c 6000000 /dev/urandom >large/file; head -c 30000000 /dev/zero >bomb/file
for n in $(seq 3000); do echo $n >many/$n; done
for name in large bomb many; do git -C $name add .; git -C $name commit -qm $name; done";

#[test]
fn a_repository_ends_at_the_limit_and_leaves_nothing() {
    if !has("git") {
        return skip("git is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let served = directory.path().join("served");
    fs::create_dir(&served).unwrap();
    let made = Command::new("sh").args(["-c", REPOSITORIES]).current_dir(&served).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let server = git_server::serve(&served);
    let cache = directory.path().join("melange-cache");
    for name in ["large", "bomb", "many"] {
        let repository = format!("{server}/{name}");
        build_file(
            directory.path(),
            &format!(
                "- uses: git-checkout\n  with: {{repository: \"{repository}\", branch: trunk, initial-backoff: 1}}\n"
            ),
        );
        let output = kiln(directory.path(), &["--limit", "4Mi"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(4), "{name}: {said}");
        assert!(said.contains("it is more than 4 MiB: --limit allows more"), "{name}: {said}");
        assert_eq!(files(&cache), [] as [String; 0], "{name}");
        let scratch = fs::read_dir(directory.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("kiln-git-"));
        assert_eq!(scratch.count(), 0, "{name}");
    }
    let output = kiln(directory.path(), &["--limit", "64Mi,1Mi"]);
    assert!(output.status.success(), "what was fetched is little: {}", said(&output));
    let steps = format!("- uses: git-checkout\n  with: {{repository: \"{server}/large\", branch: trunk}}\n");
    build_file(directory.path(), &steps);
    let before = files(&cache);
    let output = kiln(directory.path(), &["--limit", "64Mi,4Mi"]);
    assert!(said(&output).contains("all sources are more than 4 MiB"), "{}", said(&output));
    assert_eq!(files(&cache), before);
}

/// The things that a guest can put in the place of a file.
fn plant(path: &Path, what: &str, elsewhere: &Path) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    match what {
        "directory" => {
            fs::create_dir_all(path.join("a/b")).unwrap();
            fs::write(path.join("a/b/file"), "x").unwrap();
            symlink(elsewhere, path.join("a/link")).unwrap();
            fs::set_permissions(path.join("a"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        }
        "pipe" => nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        "link" => symlink(elsewhere, path).unwrap(),
        "dangling link" => symlink("/nowhere/at/all", path).unwrap(),
        "hard link" => fs::hard_link(elsewhere, path).unwrap(),
        "socket" => node(&name, SFlag::S_IFSOCK, 0),
        "device" => node(&name, SFlag::S_IFCHR, libc::makedev(1, 3)),
        other => panic!("{other}"),
    }
}

fn node(name: &CStr, kind: SFlag, device: libc::dev_t) {
    nix::sys::stat::mknod(name, kind, Mode::S_IRWXU, device).unwrap();
}

#[test]
fn anything_in_the_place_of_an_unfinished_file_is_replaced() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let (directory, server) = (tempfile::tempdir().unwrap(), server());
    let cache = directory.path().join("melange-cache");
    fs::create_dir(&cache).unwrap();
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, "another").unwrap();
    let hash = hex(&content(10));
    let (kept, part) =
        (cache.join(format!("sha256:{hash}")), cache.join(format!(".fetch.sha256:{hash}.part")));
    build_file(directory.path(), &fetch(&format!("{server}/size=10"), &hash));
    for what in ["directory", "pipe", "link", "dangling link", "hard link", "socket", "device"] {
        if what == "device" && !geteuid().is_root() {
            continue;
        }
        plant(&part, what, &elsewhere);
        let output = kiln(directory.path(), &[]);
        assert!(output.status.success(), "{what}: {}", said(&output));
        let mut content = Vec::new();
        File::open(&kept).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(hex(&content), hash, "{what}");
        assert_eq!(fs::read(&elsewhere).unwrap(), b"another", "{what}");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "{what}: {:?}", files(&cache));
        fs::remove_file(&kept).unwrap();
    }
}

#[test]
fn unfinished_files_have_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("melange-cache");
    fs::create_dir(&cache).unwrap();
    build_file(directory.path(), "- runs: true\n");
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, "another").unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    for (name, time) in [
        (".fetch.sha256:0.part", now - 8 * day),
        (".fetch.sha256:1.part", now - 6 * day),
        (".fetch.A1b2C3", now - 8 * day),
        (".fetch.ahead", now + 100 * day),
        ("sha256:2", now - 100 * day),
    ] {
        fs::write(cache.join(name), "x").unwrap();
        let file = File::options().write(true).open(cache.join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    }
    for what in ["directory", "pipe", "link"] {
        plant(&cache.join(format!(".fetch.{what}")), what, &elsewhere);
    }
    let output = kiln(directory.path(), &[]);
    assert!(output.status.success(), "{}", said(&output));
    let mut left: Vec<_> = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [".fetch.sha256:1.part", "sha256:2"]);
    assert_eq!(fs::read(&elsewhere).unwrap(), b"another");
}
