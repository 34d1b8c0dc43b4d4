//! A proxy on this host's loopback. Included by the tests of each backend.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// It opens tunnels (`CONNECT`), and ends with the test's process.
pub(crate) struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let proxy = Self { port, asked: Arc::default() };
        // Its name stands for both addresses, and Node tries one alone. Not every kernel has IPv6.
        let other = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
        for listener in [listener].into_iter().chain(other) {
            let asked = Arc::clone(&proxy.asked);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let asked = Arc::clone(&asked);
                    // A connection that breaks is the build's affair.
                    thread::spawn(move || serve(stream, &asked).ok());
                }
            });
        }
        proxy
    }

    /// Its address, for the environment. A proxy may have a certificate for this name.
    pub(crate) fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Where tunnels were asked to lead, `host:port`, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no thread panicked").clone()
    }
}

/// One connection. A host that ends in `.test` is none: the proxy itself says hello.
fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let Some(place) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        return stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\n\r\n");
    };
    asked.lock().expect("no thread panicked").push(place.to_owned());
    if place.ends_with(".test:443") {
        return stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello through the proxy\n");
    }
    let Ok(target) = TcpStream::connect(place) else {
        return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n");
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from, mut to) = (stream.try_clone()?, target.try_clone()?);
    let up = thread::spawn(move || {
        let copied = std::io::copy(&mut from, &mut to);
        // best effort: it may be gone
        drop(to.shutdown(Shutdown::Write));
        copied
    });
    let down = std::io::copy(&mut &target, &mut &stream);
    // best effort: as above
    drop(stream.shutdown(Shutdown::Write));
    drop(up.join());
    down.map(drop)
}
