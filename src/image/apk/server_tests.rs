//! Repositories on a server: what a client does with a good one, and how each bad one ends.

use std::{cell::RefCell, collections::HashMap, fs, os::unix::fs::symlink, path::Path, time::Duration};

use nix::{sys::stat::Mode, unistd::mkfifo};

use super::{
    compose::{Composed, compose},
    fetch,
    network::{Logins, Network, Slowest},
    progress::Progress,
    resolve::{ApkRequest, resolve},
    test_server::{Behaviour, Endless, Server, tls},
};
use crate::{
    env::Env,
    event::{Event, WarningKind},
    exit::{Code, Failure},
    image::erofs::{Content, Kind},
    plan::ApkRoot,
};

/// `me:secret` as a header has it.
const LOGIN: &str = "Basic bWU6c2VjcmV0";

fn data() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk/repositories")
}

struct Client {
    cache: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    offline: bool,
    slowest: Slowest,
    told: RefCell<Vec<Event>>,
}

impl Client {
    fn new() -> Self {
        Self {
            cache: tempfile::tempdir().expect("a directory"),
            variables: Vec::new(),
            offline: false,
            slowest: Slowest::default(),
            told: RefCell::default(),
        }
    }

    fn with(variables: &[(&'static str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { variables, ..Self::new() }
    }

    fn root(&self, address: &str) -> Result<(ApkRoot, Composed), Failure> {
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let progress = Progress::new(sender);
        let env: Env = self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut network = Network::of(&env, &Logins::default(), self.offline)?;
        network.slowest = self.slowest;
        let request = ApkRequest {
            repositories: vec![format!("{address}/sig-ok/r")],
            keyring: vec![data().join("testix.rsa.pub").display().to_string()],
            packages: vec!["a".into()],
            arch: "x86_64".into(),
            ..ApkRequest::default()
        };
        let root = resolve(&request, &network, self.cache.path(), &progress)?;
        let packages = fetch::packages(&root, "x86_64", &network, self.cache.path(), &progress)?;
        self.told.borrow_mut().extend(std::iter::from_fn(|| told.try_recv().ok()));
        let composed = compose(&root, "x86_64", packages)?;
        Ok((root, composed))
    }

    /// The failure of a root, which keeps nothing of a package.
    fn failure(&self, address: &str) -> Failure {
        let failure = self.root(address).expect_err("it fails");
        assert_eq!(failure.code, Code::Host, "{failure}");
        for name in ["control", "data"] {
            let kept = fs::read_dir(self.cache.path().join(name)).into_iter().flatten().count();
            assert_eq!(kept, 0, "{name}: {failure}");
        }
        failure
    }
}

fn server(behaviour: Behaviour) -> Server {
    Server::start(&data(), behaviour, None)
}

#[test]
fn what_is_known_is_not_sent_again_and_suffices_without_a_network() {
    let server = server(Behaviour::default());
    let mut client = Client::new();
    client.root(&server.address).expect("composed");
    client.root(&server.address).expect("composed again");
    let requests = server.requests();
    let index = "/sig-ok/r/x86_64/APKINDEX.tar.gz";
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert!(requests[0] == format!("{index} -> 200 OK") && requests[1].ends_with("a-1-r0.apk -> 200 OK"));
    assert!(
        requests[2].starts_with(&format!("{index} if-none-match="))
            && requests[2].ends_with("304 Not Modified")
    );
    client.offline = true;
    client.root(&server.address).expect("composed of what is known");
    assert_eq!(server.requests().len(), 3);
    let other = Client { offline: true, ..Client::new() };
    let failure = other.failure(&server.address);
    assert!(failure.what.contains("--network off, and the cache does not have the index"), "{failure}");
}

#[test]
fn tls_needs_a_certificate_that_the_host_trusts() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data(), Behaviour::default(), Some(tls(directory.path())));
    let certificate = directory.path().join("certificate.pem").display().to_string();
    Client::with(&[("SSL_CERT_FILE", &certificate)]).root(&server.address).expect("composed");
    let failure = Client::new().failure(&server.address);
    assert!(failure.what.contains("the connection is not secure"), "{failure}");
    assert!(
        failure.way_out.contains("SSL_CERT_FILE") && failure.way_out.contains("--image debian:"),
        "{failure:?}"
    );
}

#[test]
fn a_login_is_sent_and_shown_nowhere() {
    let server = server(Behaviour { login: Some(LOGIN.into()), ..Behaviour::default() });
    let failure = Client::new().failure(&server.address);
    assert!(failure.what.contains("401") && failure.way_out.contains("HTTP_AUTH"), "{failure:?}");
    let by_variable = Client::with(&[("HTTP_AUTH", "basic:127.0.0.1:me:secret")]);
    by_variable.root(&server.address).expect("composed");
    let address = server.address.replace("http://", "http://me:secret@");
    let (root, composed) = Client::new().root(&address).expect("composed");
    let shown = serde_json::to_string(&root).expect("JSON");
    assert!(!shown.contains("secret"), "{shown}");
    for node in &composed.tree.nodes {
        if let Kind::File(Content::Bytes(bytes)) = &node.kind {
            assert!(!String::from_utf8_lossy(bytes).contains("secret"), "the guest does not get it");
        }
    }
    let wrong = server.address.replace("http://", "http://me:mistake@");
    let failure = Client::new().failure(&wrong);
    assert!(!failure.what.contains("mistake") && failure.what.contains("***@"), "{failure}");
}

#[test]
fn a_login_does_not_follow_to_another_host() {
    let target = server(Behaviour::default());
    let elsewhere = target.address.replace("127.0.0.1", "localhost");
    let server = server(Behaviour { redirect: Some(elsewhere), ..Behaviour::default() });
    Client::with(&[("HTTP_AUTH", "basic:127.0.0.1:me:secret")]).root(&server.address).expect("composed");
    assert!(server.requests().iter().all(|line| line.contains("authorization=")), "{:?}", server.requests());
    let requests = target.requests();
    assert!(
        !requests.is_empty() && !requests.iter().any(|line| line.contains("authorization")),
        "{requests:?}"
    );
}

#[test]
fn a_transfer_that_was_cut_off_goes_on_where_it_ended() {
    let server = server(Behaviour { cut_off: 1, ..Behaviour::default() });
    Client::new().root(&server.address).expect("composed");
    let requests = server.requests();
    assert!(
        requests.iter().any(|line| line.contains("range=bytes=") && line.contains("206")),
        "{requests:?}"
    );
}

#[test]
fn a_transfer_that_is_always_cut_off_is_an_error() {
    let server = server(Behaviour { cut_off: usize::MAX, ..Behaviour::default() });
    let failure = Client::new().failure(&server.address);
    assert!(failure.what.contains("the package a-1-r0 of http://127.0.0.1"), "{failure}");
    assert!(failure.what.contains("the transfer ended after"), "{failure}");
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_one_that_stays_so_is_named() {
    for status in ["429 Too Many Requests", "500 Internal Server Error"] {
        let some = server(Behaviour { status: Some((2, status)), ..Behaviour::default() });
        Client::new().root(&some.address).expect("composed");
        let always = server(Behaviour { status: Some((usize::MAX, status)), ..Behaviour::default() });
        let failure = Client::new().failure(&always.address);
        assert!(failure.what.contains(status) && failure.what.contains("the index of"), "{failure}");
        assert_eq!(always.requests().len(), 4);
    }
    let gone = server(Behaviour { status: Some((usize::MAX, "404 Not Found")), ..Behaviour::default() });
    assert!(Client::new().failure(&gone.address).what.contains("404 Not Found"));
    assert_eq!(gone.requests().len(), 1, "another attempt does not help");
}

#[test]
fn wrong_lengths_and_changed_files_are_errors() {
    let long = server(Behaviour { length: Some(1 << 40), ..Behaviour::default() });
    assert!(Client::new().failure(&long.address).what.contains("is larger than 872 bytes"));
    let package = fs::read(data().join("sig-ok/r/x86_64/a-1-r0.apk")).expect("read");
    let index = fs::read(data().join("sig-ok/r/x86_64/APKINDEX.tar.gz")).expect("read");
    for at in [10, 400, package.len() - 20] {
        let mut changed = package.clone();
        changed[at] ^= 1;
        let server =
            server(Behaviour { replaced: HashMap::from([("a-1-r0.apk", changed)]), ..Behaviour::default() });
        // The signature of a package is not what it is trusted by.
        let outcome = Client::new().root(&server.address);
        match outcome {
            Ok(_) => assert_eq!(at, 400, "byte {at} is another one"),
            Err(failure) => assert!(failure.what.contains("the package a-1-r0 of http://"), "{failure}"),
        }
    }
    let mut changed = index.clone();
    let at = changed.len() - 30;
    changed[at] ^= 1;
    let server =
        server(Behaviour { replaced: HashMap::from([("APKINDEX.tar.gz", changed)]), ..Behaviour::default() });
    assert!(Client::new().failure(&server.address).what.contains("the index of http://"));
}

#[test]
fn a_server_that_is_too_slow_is_named() {
    let server = server(Behaviour { drips: true, ..Behaviour::default() });
    let slowest = Slowest { period: Duration::from_millis(50), bytes: 1000 };
    let failure = Client { slowest, ..Client::new() }.failure(&server.address);
    assert!(
        failure.what.contains("the server is too slow") && failure.what.contains("the index of"),
        "{failure}"
    );
    assert!(failure.way_out.contains("--network off"), "{failure:?}");
}

#[test]
fn answers_without_end_are_errors() {
    let headers = server(Behaviour { endless: Some(Endless::Headers), ..Behaviour::default() });
    assert!(Client::new().failure(&headers.address).what.contains("the index of http://"));
    let body = server(Behaviour { endless: Some(Endless::Body), ..Behaviour::default() });
    let failure = Client::new().failure(&body.address);
    assert!(
        failure.what.contains("the package a-1-r0 of") && failure.what.contains("is larger than"),
        "{failure}"
    );
}

#[test]
fn a_request_is_sent_on_to_secure_web_addresses_and_not_for_ever() {
    let round = server(Behaviour { redirect: Some(String::new()), ..Behaviour::default() });
    assert!(Client::new().failure(&round.address).what.contains("sends the request on more than 10 times"));
    let file = server(Behaviour { redirect: Some("file://".into()), ..Behaviour::default() });
    assert!(Client::new().failure(&file.address).what.contains("sends the request on to no web address"));
    let target = server(Behaviour::default());
    let directory = tempfile::tempdir().expect("a directory");
    let downgrade = Behaviour { redirect: Some(target.address.clone()), ..Behaviour::default() };
    let secure = Server::start(&data(), downgrade, Some(tls(directory.path())));
    let certificate = directory.path().join("certificate.pem").display().to_string();
    let failure = Client::with(&[("SSL_CERT_FILE", &certificate)]).failure(&secure.address);
    assert!(failure.what.contains("which is not a secure connection"), "{failure}");
    assert_eq!(target.requests(), [""; 0]);
}

/// What becomes of a file, and how.
type Damage = (&'static str, fn(&Path));

/// What may become of a file of the cache.
const DAMAGES: [Damage; 6] = [
    ("a byte", |path| {
        let mut bytes = fs::read(path).expect("read");
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(path, bytes).expect("written");
    }),
    ("the end", |path| {
        let bytes = fs::read(path).expect("read");
        fs::write(path, &bytes[..bytes.len() - 1]).expect("written");
    }),
    ("all", |path| fs::write(path, "").expect("written")),
    ("a link", |path| {
        let moved = path.with_extension("moved");
        fs::rename(path, &moved).expect("moved");
        symlink(moved, path).expect("made");
    }),
    ("a pipe", |path| {
        fs::remove_file(path).expect("removed");
        mkfifo(path, Mode::S_IRWXU).expect("made");
    }),
    ("a directory", |path| {
        fs::remove_file(path).expect("removed");
        fs::create_dir(path).expect("made");
        fs::write(path.join("x"), "").expect("written");
    }),
];

#[test]
fn what_is_damaged_in_the_cache_is_an_error_without_a_network_and_is_fetched_again_with_one() {
    let server = server(Behaviour::default());
    let mut client = Client::new();
    client.root(&server.address).expect("composed");
    let files = |directory: &str| {
        let entries = fs::read_dir(client.cache.path().join(directory)).expect("the store").flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let package = "the package a-1-r0 of http://127.0.0.1";
    let all = [("control", package), ("data", package), ("remote", "the index of http://127.0.0.1")];
    let all = all.map(|(directory, name)| (files(directory), name));
    assert_eq!(all.clone().map(|(files, _)| files.len()), [1, 2, 1]);
    for (path, name) in all.iter().flat_map(|(files, name)| files.iter().map(move |path| (path, name))) {
        for (what, damage) in DAMAGES {
            let at = format!("{what} of {}", path.display());
            damage(path);
            client.offline = true;
            let failure = client.root(&server.address).expect_err(&at);
            assert_eq!(failure.code, Code::Host, "{at}: {failure}");
            assert!(failure.what.contains(name) && failure.what.contains("damaged"), "{at}: {failure}");
            assert!(failure.way_out.contains("once with a network"), "{at}: {failure:?}");
            client.offline = false;
            client.told.borrow_mut().clear();
            client.root(&server.address).expect(&at);
            let told = client.told.borrow();
            let is_told = |told: &Event| matches!(told, Event::Warning { kind: WarningKind::CacheDamaged, text } if text.contains(name));
            assert!(told.iter().any(is_told), "{at}: {told:?}");
            assert!(fs::symlink_metadata(path).expect("there").is_file(), "{at}");
        }
    }
    client.offline = true;
    client.root(&server.address).expect("composed of what was fetched again");
}

#[test]
fn a_key_without_tls_is_told() {
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let cache = tempfile::tempdir().expect("a directory");
    let mut keys = |keyring: &str| {
        let request =
            ApkRequest { keyring: vec![keyring.into()], arch: "x86_64".into(), ..ApkRequest::default() };
        let network = Network::of(&Env::default(), &Logins::default(), true).expect("valid");
        // Nothing is fetched: it is told before.
        let failure = resolve(&request, &network, cache.path(), &Progress::new(sender.clone()));
        failure.expect_err("it is not in the cache");
        std::iter::from_fn(|| told.try_recv().ok()).any(
            |told| matches!(told, Event::Warning { kind: WarningKind::KeyInsecure, text } if text.contains(keyring)),
        )
    };
    assert!(keys("http://r.example.org/k.rsa.pub"));
    assert!(!keys("https://r.example.org/k.rsa.pub") && !keys("http://127.0.0.1:1/k.rsa.pub"));
}
