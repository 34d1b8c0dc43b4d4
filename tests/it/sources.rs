//! `kiln update-cache` against servers on loopback and repositories on the disk.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use data_encoding::HEXLOWER;
use kiln::{
    cache::{LockMode, Request, finish, try_acquire},
    home::Home,
};

use sha2::{Digest, Sha256};

use crate::{cache::eventually, git_server, skip::skip};

/// A server of one file, which breaks the first answer off in the middle.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(content: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &content, &seen);
            }
        });
        Self { address, requests }
    }

    /// The ranges that were asked for.
    fn ranges(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, content: &[u8], seen: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(|line| line.unwrap());
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    if head.first().is_none_or(|request| !request.starts_with("GET /file.txt ")) {
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
        return;
    }
    let range =
        head.iter().find_map(|line| line.strip_prefix("Range: bytes=")).unwrap_or_default().to_owned();
    let start: usize = range.trim_end_matches('-').parse().unwrap_or(0);
    let mut seen = seen.lock().unwrap();
    let sent = if seen.is_empty() { content.len() / 2 } else { content.len() };
    seen.push(range);
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let end = content.len() - 1;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{end}/{}\r\nConnection: close\r\n\r\n",
        content.len() - start,
        content.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&content[start..sent]).unwrap();
}

fn hex(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}

fn kiln(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn build_file(directory: &Path, steps: &str) {
    let text = format!("package: {{name: p, version: 1.2, epoch: 0}}\nvars: {{top: word}}\n{steps}");
    fs::write(directory.join("melange.yaml"), text).unwrap();
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn a_file_goes_on_where_it_broke_off_and_is_kept_when_it_is_proven() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let (server, hash) = (Server::start(content.clone()), hex(&content));
    build_file(
        directory.path(),
        &format!(
            "subpackages:\n- name: sub\n  pipeline:\n  - pipeline:\n    - uses: fetch\n      with:\n        uri: {}/file.txt\n        expected-sha256: {hash}\n",
            server.address
        ),
    );
    let output = kiln(directory.path(), &["update-cache"]);
    assert!(output.status.success(), "{}", said(&output));
    let kept = directory.path().join(format!("melange-cache/sha256:{hash}"));
    assert_eq!(hex(&fs::read(&kept).unwrap()), hash);
    assert_eq!(server.ranges(), ["", "300000-"]);

    // A file of the cache is not fetched again, unless it is damaged.
    assert!(kiln(directory.path(), &["update-cache"]).status.success());
    assert_eq!(server.ranges().len(), 2);
    fs::write(&kept, "damage").unwrap();
    assert!(kiln(directory.path(), &["update-cache"]).status.success());
    assert_eq!(hex(&fs::read(&kept).unwrap()), hash);
    assert_eq!(fs::read_dir(directory.path().join("melange-cache")).unwrap().count(), 1);
}

#[test]
fn what_a_killed_kiln_has_fetched_is_not_fetched_again() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..600_000_u32).map(|n| (n % 249) as u8).collect();
    let (server, hash) = (Server::start(content.clone()), hex(&content));
    let uri = format!("{}/file.txt", server.address);
    build_file(
        directory.path(),
        &format!("pipeline:\n- uses: fetch\n  with: {{uri: \"{uri}\", expected-sha256: \"{hash}\"}}\n"),
    );
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["update-cache", "--progress", "plain"])
        .current_dir(directory.path())
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Half of it is there, and the next try is about to begin.
    let mut lines = BufReader::new(kiln.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(lines.any(|line| line.ends_with("again in 1 s")));
    kiln.kill().unwrap();
    kiln.wait().unwrap();

    let output = self::kiln(directory.path(), &["update-cache"]);

    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(server.ranges(), ["", "300000-"]);
    let cache = directory.path().join("melange-cache");
    assert_eq!(hex(&fs::read(cache.join(format!("sha256:{hash}"))).unwrap()), hash);
    assert_eq!(fs::read_dir(cache).unwrap().count(), 1);
}

/// Answers no request before this many wait at once.
const AT_ONCE: usize = 3;

/// A server of files that bear their own names, which has its clients wait for each other.
fn patient_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let waiting = Arc::new((Mutex::new(0), Condvar::new()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, waiting) = (stream.unwrap(), Arc::clone(&waiting));
            std::thread::spawn(move || answer_together(stream, &waiting));
        }
    });
    address
}

fn answer_together(mut stream: TcpStream, (count, changed): &(Mutex<usize>, Condvar)) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(|line| line.unwrap());
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = head[0].split(' ').nth(1).unwrap();
    *count.lock().unwrap() += 1;
    changed.notify_all();
    let enough =
        changed.wait_timeout_while(count.lock().unwrap(), Duration::from_secs(60), |count| *count < AT_ONCE);
    let status = if enough.unwrap().1.timed_out() { "404 Not Found" } else { "200 OK" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", path.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(path.as_bytes()).unwrap();
}

#[test]
fn the_sources_of_several_builds_are_fetched_at_once() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let server = patient_server();
    let fetch = |path: &str| {
        let hash = hex(path.as_bytes());
        format!("- uses: fetch\n  with: {{uri: \"{server}{path}\", expected-sha256: \"{hash}\"}}\n")
    };
    // One of them is wanted by both.
    for (file, paths) in [("one.yaml", ["/a", "/b"]), ("two.yaml", ["/b", "/c"])] {
        build_file(directory.path(), &format!("pipeline:\n{}", paths.map(fetch).concat()));
        fs::rename(directory.path().join("melange.yaml"), directory.path().join(file)).unwrap();
    }
    let output = kiln(directory.path(), &["update-cache", "one.yaml", "two.yaml", "--progress", "plain"]);
    assert!(output.status.success(), "{}", said(&output));
    let parts = ["[1/3] ", "[3/3] ", "/a: fetched 2 bytes", "/b: fetched 2 bytes", "/c: fetched 2 bytes"];
    for part in parts.into_iter().chain(["3 sources are in "]) {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
}

#[test]
fn a_cache_that_a_build_has_alone_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (cache, home) = (directory.path().join("melange-cache"), Home::at(directory.path().join("home")));
    fs::create_dir(&cache).unwrap();
    build_file(directory.path(), "pipeline:\n- runs: true\n");
    let request = |lock_mode| Request {
        directory: fs::canonicalize(&cache).unwrap(),
        lock_mode,
        who: "hello, mode rw".into(),
        limit: Duration::ZERO,
    };
    let update = || {
        Command::new(env!("CARGO_BIN_EXE_kiln"))
            .args(["update-cache", "--cache-wait", "1ms", "--progress", "plain"])
            .current_dir(directory.path())
            .env("KILN_HOME", directory.path().join("home"))
            .output()
            .unwrap()
    };
    let lease = try_acquire(&home, &request(LockMode::Exclusive)).unwrap().unwrap();
    let output = update();
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("(hello, mode rw)"), "{}", said(&output));
    drop(lease);
    let mut lease = None;
    // A child that another test is just starting has this process's locks until its program runs.
    eventually(|| {
        lease = try_acquire(&home, &request(LockMode::Shared)).unwrap();
        lease.is_some()
    });
    let output = update();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_cannot_be_had_is_listed_in_one_error() {
    if !has("curl") || !has("git") {
        return skip("curl or git is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let content = b"content".to_vec();
    let server = Server::start(content.clone());
    // The first answer breaks off.
    server.requests.lock().unwrap().push(String::new());
    let (wrong, right) = ("0".repeat(64), hex(&content));
    let fetch = |name: &str, hash: &str| {
        format!(
            "- uses: fetch\n  with: {{uri: \"{}/{name}\", expected-sha256: \"{hash}\"}}\n",
            server.address
        )
    };
    let git = "- uses: git-checkout\n  with: {repository: 'git://127.0.0.1:1/nowhere.git', tag: v1, max-retries: 0}\n";
    let steps =
        [fetch("missing", &wrong), fetch("file.txt", &wrong), fetch("file.txt", &right), git.to_owned()];
    build_file(directory.path(), &format!("pipeline:\n{}", steps.concat()));
    let output = kiln(directory.path(), &["update-cache", "--cache-dir", "filled"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    for part in [
        "3 of 4 sources",
        "/missing: ",
        &format!("found {right}"),
        "/nowhere.git: [git checkout] FAIL cannot ask",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(directory.path().join(format!("filled/sha256:{right}")).is_file());
    assert_eq!(fs::read_dir(directory.path().join("filled")).unwrap().count(), 1);
}

#[test]
fn a_build_without_a_network_says_at_once_what_it_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let (kept, absent) = ("a".repeat(64), "b".repeat(64));
    let commit = "c".repeat(40);
    let fetch = |server: &str, name: &str, hash: &str| {
        format!("- uses: fetch\n  with: {{uri: \"{server}/{name}\", expected-sha256: \"{hash}\"}}\n")
    };
    let server = "https://example.invalid";
    let git = |tag: &str, more: &str| {
        format!("- uses: git-checkout\n  with: {{repository: \"{server}/x.git\", tag: {tag}{more}}}\n")
    };
    let steps = [
        fetch(server, "kept.tar", &kept),
        fetch(server, "absent.tar", &absent),
        fetch(server, "in-the-source.tar", &absent),
        fetch("http://127.0.0.1:1", "of-a-step.tar", &"d".repeat(64)),
        git("v1", &format!(", expected-commit: {commit}")),
        git("v2", ""),
    ];
    build_file(directory.path(), &format!("pipeline:\n{}", steps.concat()));
    fs::write(directory.path().join("in-the-source.tar"), "").unwrap();
    fs::create_dir(directory.path().join("melange-cache")).unwrap();
    fs::write(directory.path().join(format!("melange-cache/sha256:{kept}")), "").unwrap();

    let output = kiln(directory.path(), &["build", "--network", "off"]);

    let said = said(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    let expected = format!(
        "does not have 3 of the sources:\n         {server}/absent.tar (sha256:{absent})\n         {server}/x.git (commit {commit})\n         \
         {server}/x.git: it has no expected-commit"
    );
    assert!(said.contains(&expected), "{said}");
}

/// Settings of a repository that run a program.
const HOSTILE: &str = "[core]
\trepositoryformatversion = 1
\tfsmonitor = touch @PWNED@; false
\tsshCommand = touch @PWNED@; false
\talternateRefsCommand = touch @PWNED@; false
[extensions]
\tpartialClone = origin
[remote \"origin\"]
\turl = /nowhere
\tpromisor = true
\tuploadpack = touch @PWNED@; false
";

/// Files that a guest can write into a cache so that git would run a program, in every directory of git's.
fn plant(directory: &Path, pwned: &Path) {
    let settings = HOSTILE.replace("@PWNED@", &pwned.display().to_string());
    let below: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    for place in [directory.to_owned(), directory.join(".git")] {
        for part in ["objects", "refs", "hooks"] {
            fs::create_dir_all(place.join(part)).unwrap();
        }
        fs::write(place.join("HEAD"), "ref: refs/heads/trunk\n").unwrap();
        // Where a copy of a repository was before, its settings were known.
        if !place.join("config").exists() {
            fs::write(place.join("config"), &settings).unwrap();
        }
    }
    for path in below.iter().filter(|path| path.is_dir()) {
        plant(path, pwned);
    }
}

#[test]
fn nothing_that_lies_in_the_cache_runs_or_is_followed_when_it_is_filled() {
    if !has("git") {
        return skip("git is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path();
    let made = Command::new("sh").args(["-c", REPOSITORIES]).current_dir(base).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let commit = String::from_utf8(made.stdout).unwrap().lines().next().unwrap().to_owned();
    let (url, pwned, victim) =
        (format!("{}/main", git_server::serve(base)), base.join("pwned"), base.join("victim"));
    let checkout = |place: &str| {
        format!(
            "- uses: git-checkout\n  with: {{repository: \"{url}\", {place}, expected-commit: {commit}, max-retries: 0}}\n"
        )
    };
    build_file(base, &format!("pipeline:\n{}", [checkout("tag: v1"), checkout("branch: trunk")].concat()));
    let update = || {
        let output = kiln(base, &["update-cache", "--cache-dir", "filled"]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(!pwned.exists(), "{}", said(&output));
        assert!(fs::read(victim.join("kept")).is_ok_and(|kept| kept == b"kept"));
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
        said(&output)
    };
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("kept"), "kept").unwrap();
    update();
    let git = base.join("filled/git");
    let store = fs::read_dir(&git).unwrap().next().unwrap().unwrap().path();

    // Settings where git would look for them.
    plant(&git, &pwned);
    assert!(update().contains("is in the cache"));
    let verify = |arguments: &[&str]| {
        kiln(base, &[&["cache", "verify", "--cache-dir", "filled"], arguments].concat()).status.code()
    };
    assert_eq!([verify(&[]), verify(&["--repair"]), verify(&[])], [Some(7), Some(0), Some(0)]);
    assert!(update().contains("is in the cache"), "what belongs there is still there");

    // Links where directories should be.
    for link in [&store, &git, &store.join("objects/pack")] {
        if link.is_dir() {
            fs::remove_dir_all(link).unwrap();
        }
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&victim, link).unwrap();
        update();
        assert!(link.symlink_metadata().unwrap().is_dir(), "{}", link.display());
    }
    assert!(update().contains(&format!("{commit} is in the cache")));
}

#[test]
fn what_another_build_may_be_reading_is_replaced_when_it_has_ended() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let (cache, home) = (directory.path().join("melange-cache"), Home::at(directory.path().join("home")));
    let content = b"content".to_vec();
    let (server, hash) = (Server::start(content.clone()), hex(&content));
    server.requests.lock().unwrap().push(String::new());
    let step =
        format!("- uses: fetch\n  with: {{uri: \"{}/file.txt\", expected-sha256: {hash}}}\n", server.address);
    build_file(directory.path(), &format!("pipeline:\n{step}"));
    let (kept, elsewhere) = (cache.join(format!("sha256:{hash}")), cache.join("elsewhere"));
    fs::create_dir(&cache).unwrap();
    fs::write(&kept, "damaged").unwrap();
    // A second name for what is another entry's: nothing may be written to it.
    fs::write(&elsewhere, "another").unwrap();
    fs::hard_link(&elsewhere, cache.join(format!(".fetch.sha256:{hash}.part"))).unwrap();
    let request = Request {
        directory: fs::canonicalize(&cache).unwrap(),
        lock_mode: LockMode::Shared,
        who: "hello, mode commit".into(),
        limit: Duration::ZERO,
    };
    let lease = try_acquire(&home, &request).unwrap().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["update-cache", "--progress", "plain"])
        .current_dir(directory.path())
        .env("KILN_HOME", home.root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("replaced when no other process uses the cache"), "{}", said(&output));
    assert_eq!(fs::read(&kept).unwrap(), b"damaged");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"another");
    // A child that another test is just starting has this process's locks until its program runs.
    eventually(|| {
        finish(&lease).unwrap();
        fs::read(&kept).unwrap() == content
    });
}

#[test]
fn a_cache_that_is_a_file_is_an_error_of_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    build_file(directory.path(), "pipeline:\n- runs: true\n");
    let output = kiln(directory.path(), &["update-cache", "--cache-dir", "melange.yaml"]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    assert!(said(&output).contains("melange.yaml is not a directory"), "{}", said(&output));
}

/// Repositories with a submodule, and a fix on another branch.
const REPOSITORIES: &str = "set -e
export GIT_CONFIG_GLOBAL=/dev/null
for name in lib main; do git init --quiet --initial-branch=trunk $name; git -C $name config user.name A; git -C $name config user.email a@b; git -C $name config uploadpack.allowAnySHA1InWant true; done
cd lib; echo lib >file; git add .; git commit -qm lib; cd ../main
echo one >file; git add .; git -c protocol.file.allow=always submodule --quiet add ../lib lib; git commit -qm one
git tag -a -m annotated v1; git checkout -q -b stable; echo fix >fix; git add .; git commit -qm fix; git rev-parse v1^{} HEAD";

#[test]
fn repositories_come_with_submodules_and_cherry_picks_and_need_their_server_once() {
    if !has("git") {
        return skip("git is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    // A name that a shell would stumble over.
    let base = directory.path().join("it's $HOME");
    fs::create_dir(&base).unwrap();
    let made = Command::new("sh").args(["-c", REPOSITORIES]).current_dir(&base).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let made = String::from_utf8(made.stdout).unwrap();
    let [commit, fix] = made.lines().collect::<Vec<_>>()[..] else { panic!("{made}") };
    let url = format!("{}/it's $HOME/main", git_server::serve(directory.path()));
    build_file(
        directory.path(),
        &format!(
            "pipeline:\n- uses: git-checkout\n  with:\n    repository: \"{url}\"\n    tag: v1\n    expected-commit: {commit}\n    recurse-submodules: true\n    max-retries: 0\n    cherry-picks: |\n      stable/{fix}: fixes it\n"
        ),
    );
    let arguments = ["update-cache", "--cache-dir", "it's \"filled\""];
    let output = kiln(directory.path(), &arguments);
    assert!(output.status.success(), "{}", said(&output));
    let filled = directory.path().join("it's \"filled\"/git");
    assert_eq!(fs::read_dir(&filled).unwrap().count(), 2, "one for each repository");
    fs::rename(&base, directory.path().join("gone")).unwrap();
    let again = kiln(directory.path(), &arguments);
    assert!(again.status.success(), "{}", said(&again));
    assert!(said(&again).contains(&format!("{commit} is in the cache")), "{}", said(&again));
}
