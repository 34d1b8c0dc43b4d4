//! A project with `fetch` and `git-checkout`, built twice in each backend: with a server, then without any network, from the
//! cache alone. In subpackages, definitions of the project's own, submodules and cherry-picks as well.
//!
//! The server stands in the guest, started by a step where the source has one; it goes by a name that is not the guest's
//! own, so that a build without a network must find in the cache what kiln looks for before it starts anything.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use nix::unistd::geteuid;
use serde_json::Value;

use crate::{
    differential::backend::{self, Backend},
    pipelines::SMALL,
    place::Place,
    sampling::Sampler,
    skip::skip,
};

/// How many run where not all do.
const FEW: usize = 1;

/// All of them in the soak, else those that start at once.
fn backends() -> Vec<Backend> {
    let whole = std::env::var_os("KILN_SOAK").is_some_and(|value| value == "1");
    if whole { Backend::ALL.to_vec() } else { vec![Backend::Docker, Backend::Bubblewrap] }
}

/// Whether the kernel tells what is read of the cache.
fn measures_reads(backend: Backend) -> bool {
    match backend {
        Backend::Cold | Backend::NineP | Backend::Virtiofs | Backend::Embedded | Backend::Source => true,
        Backend::Docker | Backend::Bubblewrap => geteuid().is_root(),
    }
}

/// Files and repositories over http, ready when it says so.
const SERVER: &str = r#"
import http.server, os, subprocess, sys

ROOT = "/tmp/served"

class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=ROOT)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.endswith(".tar.gz"):
            return super().do_GET()
        length = int(self.headers.get("Content-Length") or 0)
        env = dict(os.environ, GIT_PROJECT_ROOT=ROOT, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
                   REQUEST_METHOD=self.command, CONTENT_LENGTH=str(length), REMOTE_ADDR="127.0.0.1",
                   CONTENT_TYPE=self.headers.get("Content-Type", ""),
                   HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
                   GIT_PROTOCOL=self.headers.get("Git-Protocol", ""))
        out = subprocess.run(["git", "http-backend"], input=self.rfile.read(length), env=env, stdout=subprocess.PIPE).stdout
        head, _, body = out.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
"#;

/// Makes what is served, and prints the hashes and commits that the build file names.
const SERVED: &str = "set -e
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
for name in main lib; do
  git init --quiet --initial-branch=trunk $name
  git -C $name config user.name A; git -C $name config user.email a@b
  git -C $name config uploadpack.allowAnySHA1InWant true
done
(cd lib; echo lib >file; git add .; git commit -qm lib)
cd main; echo one >file; git add .; git -c protocol.file.allow=always submodule --quiet add ../lib lib
git commit -qm one; git tag -a -m annotated v1
git checkout -q -b stable; echo fix >fix; git add .; git commit -qm fix; cd ..
for name in first second; do
  mkdir -p $name/top; head -c 200000 /dev/urandom >$name/top/$name; tar -czf $name.tar.gz -C $name top; rm -r $name
done
sha256sum first.tar.gz | cut -d' ' -f1
sha512sum second.tar.gz | cut -d' ' -f1
git -C main rev-parse v1^{} stable
git -C lib rev-parse trunk";

const BUILD: &str = "\
package:
  name: sources
  version: \"1.0\"
  epoch: 0
pipeline:
  - name: serve, where there is something to be served
    runs: |
      [ -e served ] || exit 0
      echo 127.0.0.1 sources.test >> /etc/hosts
      cp -r served /tmp/served
      mkfifo /tmp/ready
      python3 served/serve.py @PORT@ >/tmp/ready 2>/tmp/serve.log &
      head -n1 /tmp/ready
  - uses: fetch
    with:
      uri: http://sources.test:@PORT@/first.tar.gz
      expected-sha256: @FIRST@
  - uses: ours
    with:
      uri: http://sources.test:@PORT@/second.tar.gz
      hash: @SECOND@
  - uses: git-checkout
    with:
      repository: http://sources.test:@PORT@/main
      tag: v1
      expected-commit: @ONE@
      destination: main
      recurse-submodules: true
      cherry-picks: |
        stable/@FIX@: fixes it
  - runs: |
      test -s first && test -s second
      test \"$(cat main/file main/fix main/lib/file | tr '\\n' ' ')\" = 'one fix lib '
subpackages:
  - name: sub
    pipeline:
      - uses: git-checkout
        with:
          repository: http://sources.test:@PORT@/lib
          branch: trunk
          expected-commit: @LIB@
          destination: lib
      - runs: test \"$(cat lib/file)\" = lib
";

/// A definition of the project's own, within which another one is used.
const OURS: &str = "\
name: Ours
inputs:
  uri:
    required: true
  hash:
    required: true
pipeline:
  - uses: fetch
    with:
      uri: ${{inputs.uri}}
      expected-sha512: ${{inputs.hash}}
";

#[test]
fn sources_come_from_the_cache_when_there_is_no_network() {
    let (sampler, backends) = Sampler::of("sources", backends(), FEW);
    if Command::new("git").arg("--version").output().is_err() {
        return skip("git is not installed");
    }
    let usable = backend::usable(&sampler);
    for backend in backends.into_iter().filter(|backend| usable.contains(backend)) {
        sampler.say(&twice(backend));
    }
}

/// A line about the two builds; panics where one of them is wrong.
fn twice(backend: Backend) -> String {
    let place = Place::new();
    let first = project(&place.project());
    let output = build(&place, backend, "on");
    assert!(output.status.success(), "{backend:?}, with a server:\n{}", said(&output));

    let (served, kept) = (place.project().join("served"), place.root().join("served"));
    fs::rename(&served, &kept).unwrap();
    let output = build(&place, backend, "off");
    let text = said(&output);
    assert!(output.status.success(), "{backend:?}, without a network:\n{text}");
    let used = used(backend, &output);

    // An entry with another content is found, and replaced by a build that has the network.
    let entry = place.project().join("cache").join(format!("sha256:{first}"));
    let whole = fs::read(&entry).unwrap();
    fs::write(&entry, "something else").unwrap();
    fs::rename(&kept, &served).unwrap();
    let output = build(&place, backend, "on");
    assert!(output.status.success(), "{backend:?}, with a damaged entry:\n{}", said(&output));
    assert!(said(&output).contains("is damaged, fetching it anew"), "{backend:?}:\n{}", said(&output));
    assert!(fs::read(&entry).unwrap() == whole, "{backend:?}: the entry was not mended");
    format!("{backend:?}: without a network, {used}; a damaged entry is mended")
}

/// Writes the project; the hash of the first file.
fn project(directory: &Path) -> String {
    let served = directory.join("served");
    fs::create_dir(&served).unwrap();
    let made = Command::new("bash").args(["-c", SERVED]).current_dir(&served).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    fs::write(served.join("serve.py"), SERVER).unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let [first, second, one, fix, lib] = made.lines().collect::<Vec<_>>()[..] else { panic!("{made}") };
    // A sandbox has the host's network: no other server may listen there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let names = [
        ("@PORT@", port.as_str()),
        ("@FIRST@", first),
        ("@SECOND@", second),
        ("@ONE@", one),
        ("@FIX@", fix),
        ("@LIB@", lib),
    ];
    let text = names.iter().fold(BUILD.to_owned(), |text, (name, value)| text.replace(name, value));
    fs::write(directory.join("file.yaml"), text).unwrap();
    fs::create_dir(directory.join("pipelines")).unwrap();
    fs::write(directory.join("pipelines/ours.yaml"), OURS).unwrap();
    first.to_owned()
}

fn build(place: &Place, backend: Backend, network: &str) -> Output {
    let mut kiln = place.kiln();
    kiln.args(["build", "file.yaml", "--progress", "json", "--cache-dir", "cache", "--image"]);
    kiln.arg(format!("debian:bookworm+{SMALL}")).args(["--network", network, "--pipeline-dir", "pipelines"]);
    backend.choose(&mut kiln);
    if matches!(backend, Backend::Cold | Backend::NineP | Backend::Source) {
        // The other backends do this by themselves.
        kiln.args(["--cache-mode", "commit"]);
    }
    kiln.output().unwrap()
}

/// The part of the cache that the second build used, in words; panics for a wrong report.
fn used(backend: Backend, output: &Output) -> String {
    let events = String::from_utf8_lossy(&output.stdout);
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let report = events.into_iter().find(|event| event["event"] == "cache").unwrap();
    if !measures_reads(backend) {
        assert!(report["reused_why"].as_str().unwrap().contains("is not known"), "{report}");
        return "used an unknown amount".into();
    }
    assert_eq!(report["reused_why"], Value::Null, "{report}");
    let directories = report["directories"].as_array().unwrap();
    let of = |name: &str| {
        let found = directories.iter().find(|directory| directory["name"] == name).unwrap();
        (found["reused"]["entries"].as_u64().unwrap(), found["reused"]["bytes"].as_u64().unwrap())
    };
    let (sources, git) = (of("sources"), of("git"));
    assert!(sources.0 == 2 && sources.1 > 400_000 && git.0 > 2, "{report}");
    format!("used {} files of sources and {} of git", sources.0, git.0)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
