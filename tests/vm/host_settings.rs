//! Host settings of a microVM: certificates that work, secrets that leave no trace.
//!
//! The server stands in the guest, started by a step, with a certificate of an authority that the test makes on the spot.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use super::{
    authority::authority,
    host_settings_cases::{ASK_PROXY, FETCH, SECRET, SERVE, USE_SECRET, give_secret, holds_secret, needles},
    proxy::Proxy,
    said, with_cache,
};

/// A root with a TLS server and clients of several kinds.
const IMAGE: &str = super::ecosystems::IMAGE;

/// Clients that each have ways of their own to be told what to trust.
const CLIENTS: [&str; 4] = [
    "echo \"curl got $(curl --silent --show-error https://localhost:8443/www/answer)\"",
    "node -e 'require(\"https\").get(\"https://localhost:8443/www/answer\", r => r.on(\"data\", d => console.log(\"node got \" + d)))'",
    "python3 -c 'import urllib.request as u; print(\"python got\", u.urlopen(\"https://localhost:8443/www/answer\").read().decode())'",
    // The store that the JDK finds is the distribution's, and has the authority besides.
    "keytool -J-XX:TieredStopAtLevel=1 -list -cacerts -storepass changeit > listed
test $(grep -c trustedCertEntry listed) -gt 100 && grep '^kiln-0,' listed",
];

#[test]
fn tools_trust_what_the_host_trusts_and_nothing_else() {
    let build = |steps: &[&str], trusted: bool| {
        let directory = super::project("root", steps);
        let ca = authority(directory.path());
        let certificates = if trusted { ca.to_str().expect("UTF-8") } else { "off" };
        with_cache(directory.path(), "")
            .args(["--image", IMAGE, "--source-dir", "source", "--network", "off"])
            .args(["--host-certs", certificates])
            .output()
            .expect("kiln can be started")
    };
    let [curl, node, python, java] = CLIENTS;
    let output = build(&[SERVE, FETCH, curl, node, python, java], true);
    assert!(output.status.success(), "{}", said(&output));
    for client in ["curl", "node", "python"] {
        assert!(said(&output).contains(&format!("{client} got the-answer")), "{client}\n{}", said(&output));
    }
    let output = build(&[SERVE, FETCH], false);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("verify"), "{}", said(&output));
}

#[test]
fn a_secret_reaches_the_steps_user_and_nothing_else() {
    let directory = super::project("build", &[USE_SECRET]);
    let elsewhere = tempfile::tempdir().expect("a directory can be made");
    let home = super::home_of_its_own();
    let mut command = super::build_command(directory.path(), "cache", "json");
    command.args(["--virtiofsd", "spawned", "--log-level", "trace"]).env("KILN_HOME", home.path());
    give_secret(&mut command, elsewhere.path());
    let build = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kiln can be started");
    let kiln = build.id().to_string();
    let building = thread::spawn(move || build.wait_with_output().expect("it ends"));
    // Of what serves the guest, as long as it runs; what kiln asks before has the user's environment.
    let mut looked_at = BTreeSet::new();
    while !building.is_finished() {
        for (name, process) in servers(&kiln) {
            for bytes in ["cmdline", "environ"].map(|file| fs::read(process.join(file)).unwrap_or_default()) {
                let text = String::from_utf8_lossy(&bytes);
                assert!(needles().iter().all(|needle| !text.contains(needle)), "{name} has it");
            }
            looked_at.insert(name);
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(looked_at.into_iter().collect::<Vec<_>>(), SERVERS);
    let output = building.join().expect("it ended");
    assert!(output.status.success(), "{}", said(&output));
    assert!(directory.path().join("cache/kept").is_file(), "{}", said(&output));
    for needle in needles() {
        for stream in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(stream).contains(&needle), "{needle}");
        }
    }
    // Links among them lead to what was made before, but for the machine's initramfs, which may be new.
    let initramfs = fs::canonicalize(home.path().join("initramfs")).expect("there");
    for place in [directory.path().to_owned(), home.path().to_owned(), initramfs] {
        assert_eq!(holds_secret(&place), Vec::<PathBuf>::new());
    }
    fs::write(home.path().join("planted"), data_encoding::BASE64.encode(SECRET.as_bytes())).expect("written");
    assert_eq!(holds_secret(home.path()), [home.path().join("planted")]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("***"), "{}", said(&output));
}

/// The servers of a guest.
const SERVERS: [&str; 2] = ["qemu-system-x86_64", "virtiofsd"];

/// The processes that kiln has started, by their directories below `/proc`.
fn servers(kiln: &str) -> Vec<(&'static str, PathBuf)> {
    let list = fs::read_to_string(format!("/proc/{kiln}/task/{kiln}/children")).unwrap_or_default();
    let all = list.split_whitespace().map(|child| Path::new("/proc").join(child));
    let named = |child: PathBuf| {
        // Before it is another program, it is a copy of kiln.
        let exe = fs::read_link(child.join("exe")).ok()?;
        let name = SERVERS.into_iter().find(|name| exe.ends_with(name))?;
        // A call with `--version` does not serve.
        let asked = fs::read(child.join("cmdline")).ok()?;
        (!asked.ends_with(b"--version\0")).then_some((name, child))
    };
    all.filter_map(named).collect()
}

#[test]
fn the_network_and_the_proxies_are_those_of_the_environment() {
    let proxy = Proxy::start();
    let directory = super::project("root", &[LOOK]);
    let build = |steps: &str, choice: &str| {
        fs::write(directory.path().join("more"), steps).expect("written");
        let output = with_cache(directory.path(), "")
            .args(["--proxy", choice])
            .env("QEMU_NET_CIDR", "172.29.5.32/28")
            .env("QEMU_DNS_SEARCH", "corp.example,example")
            .env("HTTP_PROXY", "http://user:hunter22@proxy.example:3128")
            .env("HTTPS_PROXY", proxy.url())
            .env("NO_PROXY", "localhost")
            .output()
            .expect("kiln can be started");
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let text = build(ASK_PROXY, "auto");
    for line in [
        "search corp.example example\n",
        "nameserver 172.29.5.35\n",
        "] 172.29.5.46\n",
        "http_proxy=http://user:***@proxy.example:3128 NO_PROXY=localhost\n",
        "hello through the proxy\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(proxy.asked(), ["far.away.test:443"]);
    let text = build("true", "off");
    assert!(text.contains("http_proxy= NO_PROXY=\n"), "{text}");
}

const LOOK: &str = "cat /etc/resolv.conf
grep -o 172.29.5.46 /proc/net/fib_trie | head -n 1
echo \"http_proxy=$http_proxy NO_PROXY=$NO_PROXY\"
. ./more";
