//! The reach of a guest's root: the network of the host, and nothing of its loopback.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

use super::{kiln, project, said};

/// Sends frames past the guest's routes.
const FRAMES: &str = include_str!("frames.pl");

/// Where the host's resolver listens in these tests, as systemd-resolved does on 127.0.0.53.
const RESOLVER: &str = "127.0.0.154";

/// The answer of that resolver for every name.
const ANSWER: [u8; 4] = [192, 0, 2, 99];

/// Says why a test does not run here, and fails where everything must.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("KILN_REQUIRE_ALL").is_none_or(|all| all != "1"), "skipped: {why}");
    #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
    {
        eprintln!("SKIP: {why}");
    }
}

/// The arrivals on the host: `tcp ADDRESS` with the host's address of a connection, and the texts of datagrams.
type Arrived = Arc<Mutex<BTreeSet<String>>>;

/// Listens for connections and datagrams on one address; gives the port.
fn listen(address: SocketAddr, arrived: &Arrived) -> u16 {
    let tcp = TcpListener::bind(address).expect("it is free");
    let address = tcp.local_addr().expect("it is bound");
    let udp = UdpSocket::bind(address).expect("it is free");
    let connections = Arc::clone(arrived);
    thread::spawn(move || {
        while let Ok((stream, _)) = tcp.accept() {
            // A connection that was closed meanwhile has arrived as well.
            let local = stream.local_addr().map_or(IpAddr::from([0; 4]), |local| local.ip().to_canonical());
            connections.lock().expect("no panic").insert(format!("tcp {local}"));
        }
    });
    let datagrams = Arc::clone(arrived);
    thread::spawn(move || {
        let mut bytes = [0; 1000];
        while let Ok((length, _)) = udp.recv_from(&mut bytes) {
            datagrams
                .lock()
                .expect("no panic")
                .insert(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
    });
    address.port()
}

/// On loopback, in both families, and on all addresses; gives the ports.
fn listeners(arrived: &Arrived) -> Vec<u16> {
    let loopback = listen(([127, 0, 0, 1], 0).into(), arrived);
    if TcpListener::bind("[::1]:0").is_err() {
        return vec![loopback, listen(([0; 4], 0).into(), arrived)];
    }
    listen(([0, 0, 0, 0, 0, 0, 0, 1], loopback).into(), arrived);
    // Linux listens so in both families.
    vec![loopback, listen(([0_u16; 8], 0).into(), arrived)]
}

/// The address that this host has for others.
fn control() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.200:9").ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(|address| !address.is_loopback())
}

/// A name server that knows one answer (RFC 1035 §4).
fn serve_names() -> Result<(), ErrorKind> {
    let socket = UdpSocket::bind((RESOLVER, 53)).map_err(|error| error.kind())?;
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let Some(name) = query[12..length].iter().position(|&byte| byte == 0) else { continue };
            let question = &query[12..12 + name + 5];
            let is_a = question[name + 1..name + 3] == [0, 1];
            let mut answer =
                [&query[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0], question].concat();
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(ANSWER);
            }
            socket.send_to(&answer, from).expect("it can be answered");
        }
    });
    Ok(())
}

/// Has what this thread starts find the host's resolver on loopback.
fn name_it_on_loopback(directory: &Path) {
    let file = directory.join("resolv.conf");
    fs::write(&file, format!("nameserver {RESOLVER}\n")).expect("written");
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .expect("the mount namespace is the test's own");
    let place = fs::canonicalize("/etc/resolv.conf").expect("it is there");
    mount(Some(&file), &place, none, MsFlags::MS_BIND, none).expect("mounted");
}

/// A build that tries everything, by raw frames and plainly.
fn attack(control: IpAddr, ports: &[u16], more: &[&str]) -> Output {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports = ports.join(" ");
    let frames = format!("perl frames.pl {control} {ports}");
    let plainly = format!(
        "for address in 10.0.2.2 10.0.2.3 10.0.2.4; do for port in {ports}; do
  timeout 1 bash -c \"exec 3<>/dev/tcp/$address/$port\" || true
  timeout 1 bash -c \"echo -n plain to $address >/dev/udp/$address/$port\" || true
done; done"
    );
    let directory = project("root", &[&frames, &plainly, "getent ahostsv4 name.kiln.test || true"]);
    fs::write(directory.path().join("frames.pl"), FRAMES).expect("written");
    let output = kiln(directory.path()).args(more).output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("the control has answered"), "{}", said(&output));
    output
}

#[test]
fn no_frame_reaches_the_hosts_loopback_unless_it_is_opened() {
    let Some(control) = control() else { return skip("this host has no network") };
    let elsewhere = tempfile::tempdir().expect("a directory can be made");
    let resolver = match geteuid().is_root().then(serve_names) {
        Some(Ok(())) => true,
        Some(Err(error)) => panic!("{RESOLVER}: {error}"),
        None => {
            skip("only root can mount another resolv.conf");
            false
        }
    };
    if resolver {
        name_it_on_loopback(elsewhere.path());
    }
    // Of the host's other addresses a guest reaches what listens there, as anyone on its network.
    let allowed: BTreeSet<String> = ["raw plainly to", "raw with options to", "raw in fragments to", "tcp"]
        .map(|how| format!("{how} {control}"))
        .into();
    let open: BTreeSet<String> = ["raw plainly to", "raw with options to", "raw in fragments to", "plain to"]
        .map(|how| format!("{how} 10.0.2.2"))
        .into_iter()
        .chain(["tcp 127.0.0.1".to_owned()])
        .collect();
    for (arguments, more) in [(&[][..], BTreeSet::new()), (&["--host-loopback", "on"], open)] {
        let arrived = Arrived::default();
        let ports = listeners(&arrived);
        let output = attack(control, &ports, arguments);
        let arrived = arrived.lock().expect("no panic");
        assert_eq!(*arrived, allowed.union(&more).cloned().collect(), "{arguments:?}: {}", said(&output));
        if resolver {
            let answer = IpAddr::from(ANSWER).to_string();
            assert!(said(&output).contains(&answer), "{arguments:?}: {}", said(&output));
        }
    }
}
