//! A server of repositories for tests: HTTP and TLS, logins, entity tags, ranges, and what goes wrong.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read, Result, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// What a server does.
#[derive(Debug, Clone, Default)]
pub(super) struct Behaviour {
    /// The value of `Authorization` that it wants.
    pub(super) login: Option<String>,
    /// How many requests for packages end after half of the file.
    pub(super) cut_off: usize,
    /// How many requests get this status.
    pub(super) status: Option<(usize, &'static str)>,
    /// Where it sends all requests.
    pub(super) redirect: Option<String>,
    /// Files with another content, by the end of their path.
    pub(super) replaced: HashMap<&'static str, Vec<u8>>,
    /// Whether the body of an answer comes byte by byte.
    pub(super) drips: bool,
    /// Whether the headers of an answer, or the body of a package, have no end.
    pub(super) endless: Option<Endless>,
    /// The `Content-Length` of packages, if it is a lie.
    pub(super) length: Option<u64>,
}

/// What has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endless {
    Headers,
    Body,
}

/// A running server; it ends with the test.
pub(super) struct Server {
    pub(super) address: String,
    /// Of each request the path and the headers that tests look at, and the status of the answer.
    pub(super) log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves the files below a directory.
    pub(super) fn start(root: &Path, behaviour: Behaviour, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let state = Arc::new(Mutex::new(behaviour));
        let (root, lines) = (root.to_owned(), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), root) = (stream, root.clone()) else { return };
                let (state, lines, tls) = (state.clone(), lines.clone(), tls.clone());
                std::thread::spawn(move || {
                    // A client that has had enough closes its end.
                    drop(connection(stream, tls, &root, &state, &lines));
                });
            }
        });
        Self { address, log }
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.log.lock().expect("no test has failed in it").clone()
    }
}

/// A certificate for 127.0.0.1 at `certificate.pem` in a directory, and the configuration of a server with it.
pub(super) fn tls(directory: &Path) -> Arc<ServerConfig> {
    let line = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -subj /CN=127.0.0.1 \
                -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let made = Command::new("openssl").args(line.split_whitespace()).current_dir(directory).output();
    assert!(made.expect("openssl is there").status.success());
    let certificate =
        CertificateDer::from_pem_file(directory.join("certificate.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a configuration"))
}

fn connection(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    root: &Path,
    state: &Mutex<Behaviour>,
    log: &Mutex<Vec<String>>,
) -> Result<()> {
    match tls {
        None => answer(stream, root, state, log),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
            answer(StreamOwned::new(connection, stream), root, state, log)
        }
    }
}

fn answer(
    stream: impl Read + Write,
    root: &Path,
    state: &Mutex<Behaviour>,
    log: &Mutex<Vec<String>>,
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let header = |name: &str| {
        let of = |line: &String| {
            Some(line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name))?.1.to_owned())
        };
        head.iter().find_map(of)
    };
    let (status, headers, body) = response(&path, &header, root, &mut state.lock().expect("whole"));
    let (drips, endless) = state.lock().map(|state| (state.drips, state.endless)).expect("whole");
    let seen = ["authorization", "range", "if-none-match"]
        .map(|name| header(name).map(|value| format!(" {name}={value}")));
    let seen: String = seen.into_iter().flatten().collect();
    log.lock().expect("whole").push(format!("{path}{seen} -> {status}"));
    let stream = stream.get_mut();
    if endless == Some(Endless::Headers) {
        write!(stream, "HTTP/1.1 {status}\r\n")?;
        loop {
            stream.write_all(b"X-More: more\r\n")?;
        }
    }
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")?;
    match endless {
        Some(Endless::Body) if path.ends_with(".apk") => loop {
            stream.write_all(&body)?;
        },
        _ if drips => {
            for byte in body {
                stream.write_all(&[byte])?;
                stream.flush()?;
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        _ => stream.write_all(&body).and_then(|()| stream.flush()),
    }
}

type Answer = (String, String, Vec<u8>);

fn response(
    path: &str,
    header: &dyn Fn(&str) -> Option<String>,
    root: &Path,
    state: &mut Behaviour,
) -> Answer {
    let plain = |status: &str| (status.to_owned(), "Content-Length: 0\r\n".to_owned(), Vec::new());
    if let Some(to) = &state.redirect {
        return ("302 Found".into(), format!("Location: {to}{path}\r\nContent-Length: 0\r\n"), Vec::new());
    }
    if state.login.is_some() && header("authorization") != state.login {
        return plain("401 Unauthorized");
    }
    if let Some((left @ 1.., status)) = &mut state.status {
        *left -= 1;
        return plain(status);
    }
    let replaced =
        state.replaced.iter().find(|(end, _)| path.ends_with(*end)).map(|(_, bytes)| bytes.clone());
    let Some(whole) = replaced.or_else(|| fs::read(root.join(path.trim_start_matches('/'))).ok()) else {
        return plain("404 Not Found");
    };
    let tag = format!("\"{}\"", whole.len());
    if header("if-none-match").as_ref() == Some(&tag) {
        return plain("304 Not Modified");
    }
    let from = header("range").filter(|_| header("if-range").as_ref() == Some(&tag));
    let from = from.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let (status, range, mut body) = match from {
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{}\r\n", whole.len() - 1, whole.len());
            ("206 Partial Content", range, whole[from..].to_vec())
        }
        None => ("200 OK", String::new(), whole),
    };
    let mut length = body.len() as u64;
    if path.ends_with(".apk") {
        length = state.length.unwrap_or(length);
        if state.cut_off > 0 {
            state.cut_off -= 1;
            body.truncate(body.len() / 2);
        }
    }
    let length = match state.endless {
        Some(Endless::Body) => String::new(),
        _ => format!("Content-Length: {length}\r\n"),
    };
    (status.into(), format!("ETag: {tag}\r\n{range}{length}"), body)
}
