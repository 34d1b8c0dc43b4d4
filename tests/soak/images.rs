//! Images of Debian, made with a package that attacks the host, and ended at any moment. Each takes minutes and the network
//! of a mirror, so that `cargo soak images` alone makes them.

use std::{
    fs::{self, File, Permissions},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{place::Place, process_tree, sampling::Sampler};

/// How a repository is named in the build file, and how that ends.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// It is not allowed: no request is made.
    NotAllowed,
    /// Allowed, but apt is not told to trust it.
    NotTrusted,
    /// Allowed and trusted: its package's script runs.
    Trusted,
    /// A making that is ended by a signal.
    Ended(Signal),
}

#[test]
fn no_package_reaches_the_host_and_no_end_leaves_anything() {
    let ends = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL].map(Case::Ended);
    let cases = [Case::NotAllowed, Case::NotTrusted, Case::Trusted].into_iter().chain(ends).collect();
    let (mut sampler, cases) = Sampler::of("images", cases, 0);
    for case in cases {
        let place = place();
        match case {
            Case::Ended(signal) => {
                ended(&place, signal, sampler.moment(Duration::ZERO..Duration::from_secs(90)))
            }
            Case::NotAllowed | Case::NotTrusted | Case::Trusted => attacked(case, &place),
        }
        left_nothing(&place);
        sampler.say(&format!("{case:?}: as it should"));
    }
}

/// One whose images are its own.
fn place() -> Place {
    let place = Place::new();
    let images = place.root().join("home/images");
    fs::remove_file(&images).unwrap();
    fs::create_dir(&images).unwrap();
    place
}

fn attacked(case: Case, place: &Place) {
    let marker = place.root().join("marker");
    fs::write(&marker, "untouched").unwrap();
    fs::set_permissions(place.root(), Permissions::from_mode(0o777)).unwrap();
    let (port, asked) = serve(repository(place, &marker));
    let trusted = if matches!(case, Case::NotTrusted) { "" } else { "[trusted=yes] " };
    // getcap: what a package's script gives to a program is kept.
    let build = format!(
        "package: {{name: h, version: '1', epoch: 0}}\nenvironment:\n  contents:\n    repositories:\n    \
         - 'deb {trusted}http://127.0.0.1:{port}/ ./'\n    packages: [make, libcap-utils]\npipeline:\n- runs: |\n    \
         cat /etc/proof\n    getcap /usr/bin/proof\n    stat -c '%U %a' /usr/bin/proof\n"
    );
    fs::write(place.project().join("file.yaml"), build).unwrap();
    let mut command = place.kiln();
    command.args(["build", "--runner", "bubblewrap", "--cache-dir", "", "--progress", "plain"]);
    if !matches!(case, Case::NotAllowed) {
        command.arg("--allow-insecure-repositories");
    }
    let Output { status, stdout, stderr } = command.arg("file.yaml").output().unwrap();
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    let asked = asked.load(Ordering::SeqCst);
    match case {
        Case::NotAllowed => {
            assert_eq!((status.code(), asked), (Some(3), 0), "{text}");
            assert!(
                text.contains("line 5, column 7") && text.contains("--allow-insecure-repositories"),
                "{text}"
            );
        }
        Case::NotTrusted => {
            assert_eq!(status.code(), Some(4), "{text}");
            assert!(text.contains("is not signed") && !text.contains("proof"), "{text}");
        }
        Case::Trusted | Case::Ended(_) => {
            assert_eq!(status.code(), Some(0), "{text}");
            for line in ["installed as 0", "/usr/bin/proof cap_net_raw=ep", "root 4755"] {
                assert!(text.contains(line), "{line}: {text}");
            }
            assert!(!text.contains("escaped"), "{text}");
        }
    }
    assert_eq!(fs::read_to_string(&marker).unwrap(), "untouched");
    let new = place.root().join("marker-new");
    assert!(!new.exists(), "{} was made", new.display());
}

/// An unsigned repository with a `make` that is newer than any, whose script looks for the host.
fn repository(place: &Place, marker: &Path) -> PathBuf {
    let (tree, repository) = (place.root().join("package"), place.root().join("repository"));
    for directory in [&tree.join("DEBIAN"), &tree.join("usr/bin"), &repository] {
        fs::create_dir_all(directory).unwrap();
    }
    let control = "Package: make\nVersion: 99\nArchitecture: amd64\nMaintainer: test <test@localhost>\n\
        Depends: libcap2-bin\nDescription: attacks the host\n";
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    fs::write(tree.join("usr/bin/proof"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("usr/bin/proof"), Permissions::from_mode(0o4755)).unwrap();
    let script = include_str!("images/postinst").replace("MARKER", marker.to_str().unwrap());
    let script = script.replace("HOST_PID", &std::process::id().to_string());
    fs::write(tree.join("DEBIAN/postinst"), script).unwrap();
    fs::set_permissions(tree.join("DEBIAN/postinst"), Permissions::from_mode(0o755)).unwrap();
    let deb = repository.join("make.deb");
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "--build"]).arg(&tree).arg(&deb).stdout(Stdio::null());
    assert!(build.status().unwrap().success());
    let bytes = fs::read(&deb).unwrap();
    let sum = sha256(&deb);
    let packages = format!("{control}Filename: ./make.deb\nSize: {}\nSHA256: {sum}\n", bytes.len());
    fs::write(repository.join("Packages"), packages).unwrap();
    // A release without a signature.
    let listed = repository.join("Packages");
    let release = format!(
        "Suite: x\nSHA256:\n {} {} Packages\n",
        sha256(&listed),
        fs::metadata(&listed).unwrap().len()
    );
    fs::write(repository.join("Release"), release).unwrap();
    repository
}

fn sha256(file: &Path) -> String {
    let sum = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// Serves the files of a directory on loopback, for as long as the test runs; the number of requests.
fn serve(directory: PathBuf) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            // A client that goes away is none of the test's.
            let _ = answer(stream, &directory);
        }
    });
    (port, asked)
}

/// One request a connection.
fn answer(mut stream: TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            read => request.extend(&buffer[..read]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let name = request.split(' ').nth(1).unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let mut body = Vec::new();
    let found = File::open(directory.join(name)).and_then(|mut file| file.read_to_end(&mut body)).is_ok();
    let status = if found { "200 OK" } else { "404 Not Found" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

fn ended(place: &Place, signal: Signal, moment: Duration) {
    let mut kiln = place.kiln();
    kiln.args(["image", "build", "--progress", "plain", "debian:bookworm"]).stderr(Stdio::null());
    let mut kiln = kiln.spawn().unwrap();
    thread::sleep(moment);
    kill(Pid::from_raw(kiln.id().cast_signed()), signal).unwrap();
    kiln.wait().unwrap();
}

/// No process, no mount, no file of a making. Of a kiln that was killed the reaper may still be at it.
fn left_nothing(place: &Place) {
    let left = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(place.root().to_str().unwrap())).count();
        let names = |directory: &str| {
            let entries = fs::read_dir(place.root().join(directory)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let staged = names("scratch").into_iter().filter(|name| name.starts_with("kiln-image-"));
        let attempts = names("home/images").into_iter().filter(|name| name.starts_with(".making-"));
        let processes = process_tree::survivors(place, Vec::new()).len();
        (mounts, staged.chain(attempts).collect::<Vec<_>>(), processes)
    };
    for _ in 0..600 {
        if left() == (0, Vec::new(), 0) {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("left: {:?}", left());
}
