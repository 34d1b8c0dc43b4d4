//! What a build gets of the host besides files to build from: certificates that work, secrets that leave no trace.
//!
//! The server stands in the guest, started by a step, with a certificate of an authority that the test makes on the spot.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{said, with_cache};

/// A root with a TLS server and clients of several kinds.
const IMAGE: &str = super::ecosystems::IMAGE;

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("openssl can be started");
    assert!(output.status.success(), "openssl {arguments}\n{}", said(&output));
}

/// `ca.pem`, and in `source/` a server's certificate that it signed.
fn authority(directory: &Path) -> PathBuf {
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

const SERVE: &str = "package:
  name: sample
  version: 1.0
  epoch: 0
pipeline:
  - name: serve
    runs: |
      mkdir -p www && echo the-answer > www/answer
      setsid openssl s_server -accept 8443 -cert cert.pem -key key.pem -WWW -quiet >/dev/null 2>&1 &
      for n in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8443) 2>/dev/null && break; sleep 0.1; done
  - name: curl
    runs: |
      curl --silent --show-error --output got https://localhost:8443/www/answer
      echo \"curl got $(cat got)\"
";

const MORE_CLIENTS: &str = "  - name: node
    runs: |
      node -e 'require(\"https\").get(\"https://localhost:8443/www/answer\", r => r.on(\"data\", d => console.log(\"node got \" + d)))'
  - name: python
    runs: |
      python3 -c 'import urllib.request as u; print(\"python got\", u.urlopen(\"https://localhost:8443/www/answer\").read().decode())'
  - name: java
    runs: |
      keytool -J-XX:TieredStopAtLevel=1 -list -cacerts -storepass changeit > listed
      echo \"java trusts $(grep -c trustedCertEntry listed)\"
";

#[test]
fn tools_trust_what_the_host_trusts_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let ca = authority(directory.path());
    let build = |runner: &str, certificates: &str, steps: &str| {
        fs::write(directory.path().join("file.yaml"), format!("{SERVE}{steps}")).expect("written");
        with_cache(directory.path(), "cache")
            .args([
                "--runner",
                runner,
                "--image",
                IMAGE,
                "--source-dir",
                "source",
                "--network",
                "off",
                "--host-certs",
                certificates,
            ])
            .output()
            .expect("kiln can be started")
    };
    let ca = ca.to_str().expect("UTF-8");
    let output = build("bubblewrap", ca, "");
    assert!(said(&output).contains("curl got the-answer"), "{}", said(&output));
    let output = build("qemu", ca, MORE_CLIENTS);
    assert!(output.status.success(), "{}", said(&output));
    // The authority alone: the store is the host's, and the JDK finds it.
    assert!(said(&output).contains("java trusts 1\n"), "{}", said(&output));
    for client in ["curl", "node", "python"] {
        assert!(said(&output).contains(&format!("{client} got the-answer")), "{client}\n{}", said(&output));
    }
    for runner in ["bubblewrap", "qemu"] {
        let output = build(runner, "off", "");
        assert_eq!(output.status.code(), Some(5), "{runner}: {}", said(&output));
        assert!(said(&output).contains("certificate"), "{runner}: {}", said(&output));
    }
}

/// Whether a file below `directory` holds `needle`, as it is or in an archive that `tar` and `zstd` open.
fn holds(directory: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).expect("listed").map(|entry| entry.expect("listed").path()));
        } else if metadata.is_file() {
            let bytes = fs::read(&path).expect("read");
            let packed = path.extension().is_some_and(|ending| ending == "zst");
            let bytes = if packed { zstd::decode_all(bytes.as_slice()).expect("zstd") } else { bytes };
            if bytes.windows(needle.len()).any(|window| window == needle.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_secret_reaches_the_steps_user_and_nothing_else() {
    const SECRET: &str = "correct-horse-battery-staple-7361";
    let directory = tempfile::tempdir().expect("a directory can be made");
    fs::create_dir(directory.path().join("source")).expect("made");
    let steps = "package:
  name: sample
  version: 1.0
  epoch: 0
environment:
  accounts:
    run-as: build
pipeline:
  - name: use
    runs: |
      set -x
      test \"$(stat -c '%U %a' /run/secrets/token)\" = 'build 400'
      test \"$(stat -f -c %T /run/secrets)\" = tmpfs
      cat /run/secrets/token
      cat /run/secrets/token >&2
      head -c 10 /run/secrets/token; sleep 0.3; tail -c +11 /run/secrets/token
      base64 /run/secrets/token
      (echo -n user:; cat /run/secrets/token) | base64
      test \"$(cat /run/secrets/token)\" = \"$(cat /run/secrets/from-variable)\"
      env | sort
      echo kept > /var/cache/melange/kept
      mkdir -p ${{targets.destdir}}/usr && echo made > ${{targets.destdir}}/usr/made
";
    fs::write(directory.path().join("file.yaml"), steps).expect("written");
    let elsewhere = tempfile::tempdir().expect("a directory can be made");
    let home = super::home_of_its_own();
    fs::write(elsewhere.path().join("token"), format!("{SECRET}\n")).expect("written");
    let file = format!("id=token,src={}", elsewhere.path().join("token").display());
    let output = super::build_command(directory.path(), "cache", "json")
        .args(["--source-dir", "source", "--virtiofsd", "spawned", "--log-level", "trace"])
        .args(["--secret", &file, "--secret", "id=from-variable,env=THE_TOKEN"])
        .env("THE_TOKEN", SECRET)
        .env("KILN_HOME", home.path())
        .output()
        .expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    assert!(directory.path().join("cache/kept").is_file(), "{}", said(&output));
    let base64 = kiln::event::base64(SECRET.as_bytes());
    for needle in [SECRET, &base64[..20], "Y29ycmVjdC1ob3JzZ", "jb3JyZWN0LWhvcnNl"] {
        for stream in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(stream).contains(needle), "{needle}");
        }
        assert_eq!(holds(directory.path(), needle), Vec::<PathBuf>::new(), "{needle}");
        assert_eq!(holds(&home.path().join("logs"), needle), Vec::<PathBuf>::new(), "{needle}");
        assert_eq!(holds(&home.path().join("run"), needle), Vec::<PathBuf>::new(), "{needle}");
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("***"), "{}", said(&output));
}

#[test]
fn the_network_and_the_proxies_are_those_of_the_environment() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let text = "package:\n  name: sample\n  version: 1.0\n  epoch: 0\npipeline:\n  - runs: |\n      cat /etc/resolv.conf\n      grep -o 172.29.5.46 /proc/net/fib_trie | head -n 1\n      echo \"https_proxy=$https_proxy NO_PROXY=$NO_PROXY http_proxy=${http_proxy:-none}\"\n";
    fs::write(directory.path().join("file.yaml"), text).expect("written");
    let build = |proxy: &str| {
        let output = with_cache(directory.path(), "")
            .args(["--proxy", proxy])
            .env("QEMU_NET_CIDR", "172.29.5.32/28")
            .env("QEMU_DNS_SEARCH", "corp.example,example")
            .env("HTTPS_PROXY", "http://user:hunter22@proxy.example:3128")
            .env("NO_PROXY", "localhost")
            .output()
            .expect("kiln can be started");
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let text = build("auto");
    for line in [
        "search corp.example example\n",
        "nameserver 172.29.5.35\n",
        "] 172.29.5.46\n",
        "https_proxy=http://user:***@proxy.example:3128 NO_PROXY=localhost http_proxy=none\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let text = build("off");
    assert!(text.contains("https_proxy= NO_PROXY= http_proxy=none\n"), "{text}");
}
