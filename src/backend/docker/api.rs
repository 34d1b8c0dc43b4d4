//! A client of the daemon's API (HTTP over its socket), for lists and removals: a docker command takes ten times as long.
//!
//! It uses HTTP/1.0, so that an answer ends with its connection. `docker run` and `docker import`, which hold streams, are commands.

use std::{io, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::exit::{Code, Failure};

/// The limit for an answer. A busy daemon removes containers one by one.
const ANSWER: Duration = Duration::from_secs(60);
/// The longest answer: far more than the list of all containers of a machine.
const ANSWER_BYTES: u64 = 64 << 20;

/// A daemon.
#[derive(Debug, Clone)]
pub(super) struct Api {
    /// `unix://PATH` or `tcp://HOST:PORT`.
    pub(super) endpoint: String,
}

/// The kinds of docker's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Container,
    Image,
    Volume,
}

impl ObjectKind {
    fn list_path(self) -> &'static str {
        match self {
            Self::Container => "/containers/json?all=1&filters=",
            Self::Image => "/images/json?all=1&filters=",
            Self::Volume => "/volumes?filters=",
        }
    }

    fn object_path(self, id: &str) -> String {
        match self {
            // Its anonymous volumes are removed with it.
            Self::Container => format!("/containers/{id}?force=1&v=1"),
            Self::Image => format!("/images/{id}"),
            Self::Volume => format!("/volumes/{id}"),
        }
    }
}

/// An object with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labelled {
    pub(super) id: String,
    pub(super) label: String,
}

/// An entry of a list. The id of a volume is its name.
#[derive(Debug, Deserialize)]
struct ListEntry {
    #[serde(rename = "Id", alias = "Name")]
    id: String,
    #[serde(rename = "Labels")]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Volumes {
    #[serde(rename = "Volumes")]
    volumes: Option<Vec<ListEntry>>,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    message: String,
}

/// The first process of a container, as reported by the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstProcess {
    /// The container's id.
    pub(super) container: String,
    /// Its pid in the daemon's pid namespace; 0 if it has ended.
    pub(super) pid: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    state: State,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    pid: u32,
}

/// The result of a removal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// The object is gone.
    Gone,
    /// A removal of the container is in progress. Its volumes are in use until it is done.
    InProgress,
    /// The object is in use.
    InUse,
}

impl Api {
    /// All objects with the label `name`, or `name=value`.
    pub(super) async fn labelled(&self, kind: ObjectKind, label: &str) -> Result<Vec<Labelled>> {
        let name = label.split('=').next().unwrap_or_default();
        let filters = serde_json::json!({ "label": [label] }).to_string();
        let path = format!("{}{}", kind.list_path(), escaped(&filters));
        let listed = match kind {
            ObjectKind::Container | ObjectKind::Image => self.read::<Vec<ListEntry>>(&path).await?,
            ObjectKind::Volume => self.read::<Volumes>(&path).await?.volumes.unwrap_or_default(),
        };
        let labelled = |ListEntry { id, labels }: ListEntry| {
            let label = labels?.remove(name)?;
            Some(Labelled { id, label })
        };
        Ok(listed.into_iter().filter_map(labelled).collect())
    }

    /// The first process of a container.
    pub(super) async fn first_process(&self, container: &str) -> Result<FirstProcess> {
        let Inspected { id, state: State { pid } } =
            self.read(&format!("/containers/{container}/json")).await?;
        Ok(FirstProcess { container: id, pid })
    }

    /// Removes an object.
    pub(super) async fn remove(&self, kind: ObjectKind, id: &str) -> Result<Removal> {
        let Answer { status, body } = self.exchange("DELETE", &kind.object_path(id)).await?;
        match status {
            200..=299 | 404 => Ok(Removal::Gone),
            409 if kind == ObjectKind::Container => Ok(Removal::InProgress),
            409 => Ok(Removal::InUse),
            _ => Err(refused(&format!("remove {id}"), &body).into()),
        }
    }

    /// Waits until a container is removed, at most until the limit.
    pub(super) async fn wait_removed(&self, container: &str, limit: Duration) -> Result<()> {
        let path = format!("/containers/{container}/wait?condition=removed");
        // A removed container has status 404. On a timeout a later sweep removes it.
        timeout(limit, self.exchange("POST", &path)).await.map_or(Ok(()), |answer| answer.map(drop))
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let Answer { status, body } = self.exchange("GET", path).await?;
        if status != 200 {
            return Err(refused(path, &body).into());
        }
        serde_json::from_slice(&body).with_context(|| format!("understand docker's answer to {path}"))
    }

    async fn exchange(&self, method: &str, path: &str) -> Result<Answer> {
        let request = format!("{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n");
        let answer = async {
            match self.endpoint.strip_prefix("unix://") {
                Some(socket) => send_request(UnixStream::connect(socket).await?, &request).await,
                None => {
                    let address = self.endpoint.strip_prefix("tcp://").unwrap_or(&self.endpoint);
                    send_request(TcpStream::connect(address).await?, &request).await
                }
            }
        };
        let answer = timeout(ANSWER, answer).await.map_err(|_| {
            let what =
                format!("the docker daemon did not answer {method} {path} within {} s", ANSWER.as_secs());
            Failure::new(Code::Timeout, what, "look at what it is busy with: docker info")
        })?;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        Answer::parse(&answer).with_context(|| format!("understand docker's answer to {path}"))
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        Failure::host(
            format!("no docker daemon answers at {}: {error}", self.endpoint),
            "kiln doctor looks at the daemon",
        )
    }
}

async fn send_request(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    stream.write_all(request.as_bytes()).await?;
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Result<Self> {
        const END: &[u8] = b"\r\n\r\n";
        let end =
            bytes.windows(END.len()).position(|window| window == END).context("it has no end of headers")?;
        let line =
            String::from_utf8_lossy(bytes[..end].split(|&byte| byte == b'\r').next().unwrap_or_default());
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Self { status: status.context("it has no status")?, body: bytes[end + END.len()..].to_vec() })
    }
}

fn refused(what: &str, body: &[u8]) -> Failure {
    let message = serde_json::from_slice::<ErrorBody>(body).map(|error| error.message);
    let message = message.unwrap_or_else(|_| String::from_utf8_lossy(body).trim().to_owned());
    Failure::host(format!("docker: {what}: {message}"), "kiln doctor looks at the daemon")
}

/// Percent-encodes a value of a URL's query (RFC 3986).
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixListener,
        thread,
    };

    use super::*;

    /// A daemon with these answers, one after the other. Returns the lines of its requests.
    fn daemon(answers: &'static [&'static str]) -> (tempfile::TempDir, Api, thread::JoinHandle<Vec<String>>) {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("bound");
        let serve = move |answer: &&str| {
            let (mut stream, _) = listener.accept().expect("a client connects");
            let mut requests = [0; 1024];
            let length = stream.read(&mut requests).expect("read");
            stream.write_all(answer.as_bytes()).expect("written");
            String::from_utf8_lossy(&requests[..length]).lines().next().unwrap_or_default().to_owned()
        };
        let requests = thread::spawn(move || answers.iter().map(serve).collect());
        let api = Api { endpoint: format!("unix://{}", socket.display()) };
        (directory, api, requests)
    }

    #[tokio::test]
    async fn lists_and_removals_are_requests_of_docker() {
        let (_directory, api, requests) = daemon(&[
            "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[{\"Id\":\"i\",\"Labels\":{\"k\":\"v\"}},{\"Id\":\"o\",\"Labels\":null}]",
            "HTTP/1.0 200 OK\r\n\r\n{\"Volumes\":[{\"Name\":\"n\",\"Labels\":{\"k\":\"w\"}}],\"Warnings\":null}",
            "HTTP/1.0 204 No Content\r\n\r\n",
            "HTTP/1.0 409 Conflict\r\n\r\n{\"message\":\"volume is in use\"}",
            "HTTP/1.0 500 Internal Server Error\r\n\r\n{\"message\":\"no space left\"}",
        ]);
        let images = api.labelled(ObjectKind::Image, "k=v").await.expect("a list");
        assert_eq!(images, [Labelled { id: "i".into(), label: "v".into() }]);
        let volumes = api.labelled(ObjectKind::Volume, "k").await.expect("a list");
        assert_eq!(volumes, [Labelled { id: "n".into(), label: "w".into() }]);
        assert_eq!(api.remove(ObjectKind::Container, "c").await.expect("removed"), Removal::Gone);
        assert_eq!(api.remove(ObjectKind::Volume, "n").await.expect("asked"), Removal::InUse);
        let error = api.remove(ObjectKind::Volume, "n").await.expect_err("it is full");
        assert!(format!("{error:#}").contains("no space left"), "{error:#}");
        assert_eq!(
            requests.join().expect("it served all"),
            [
                "GET /images/json?all=1&filters=%7B%22label%22%3A%5B%22k%3Dv%22%5D%7D HTTP/1.0",
                "GET /volumes?filters=%7B%22label%22%3A%5B%22k%22%5D%7D HTTP/1.0",
                "DELETE /containers/c?force=1&v=1 HTTP/1.0",
                "DELETE /volumes/n HTTP/1.0",
                "DELETE /volumes/n HTTP/1.0",
            ]
        );
    }

    #[tokio::test]
    async fn a_missing_daemon_and_an_invalid_answer_are_errors() {
        let (directory, api, requests) = daemon(&["nonsense"]);
        assert!(api.labelled(ObjectKind::Image, "k").await.is_err());
        requests.join().expect("it served");
        drop(directory);
        let error = api.labelled(ObjectKind::Image, "k").await.expect_err("there is no listener");
        assert_eq!(crate::exit::code_of(&error), Code::Host);
        assert!(format!("{error:#}").contains("no docker daemon answers at unix://"), "{error:#}");
    }
}
