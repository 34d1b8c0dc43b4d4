//! One file by HTTP: tries again where that may help, continues where a transfer was cut off, and never reads more than it may.
//! The server may be hostile: where it sends on to is checked, and each of its answers has an end.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use ureq::{
    Agent, Body, Proxy,
    http::{Response, StatusCode, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

use crate::exit::Failure;

use super::{
    fault::{Fault, MISSING, PROXY, SIZE, disk, refused, text, transport},
    network::{Network, Slowest},
    redirect::sent_on,
    url,
};

/// How often a request is made.
const ATTEMPTS: u32 = 4;
/// The wait before the second attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// A connection, and the first byte of an answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How often one request may be sent on.
const MOST_REDIRECTS: usize = 10;
/// A transfer that has stood still for so long is tried again.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// What a server says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The file was written, with this entity tag.
    New {
        /// The entity tag, else the time of the last change, as the server wrote it.
        version: Option<String>,
    },
    /// It is that of the entity tag in the request.
    Unchanged,
}

/// What is fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// The URL, without name and password.
    pub(super) url: &'a str,
    /// The version that is already here.
    pub(super) known: Option<&'a str>,
    /// The most bytes.
    pub(super) limit: u64,
}

/// A client with the settings of this host.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    network: Network,
}

impl Client {
    /// Makes no connection.
    pub(super) fn new(network: &Network) -> Self {
        let pem = parse_pem(network.authorities.as_bytes()).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            // The bundle was checked when it was read.
            Ok(_) | Err(_) => None,
        });
        let roots: Vec<Certificate<'static>> = pem.collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            // Each is checked here.
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_recv_response(Some(ANSWER_LIMIT))
            .timeout_per_read(Some(STALL_LIMIT))
            .build();
        Self { agent: config.new_agent(), network: network.clone() }
    }

    /// Writes a file to `to`, which is empty. `progress` is called with the number of bytes so far.
    ///
    /// # Errors
    /// A host failure with the URL, without name and password, and with the cause.
    pub(super) fn get(
        &self,
        request: Request<'_>,
        to: &mut File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Answer, Failure> {
        let mut version = None;
        let mut attempt = 1;
        loop {
            let fault = match self.attempt(request, &mut version, to, progress) {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let Some(wait) = fault.retry.filter(|_| attempt < ATTEMPTS) else {
                let what = format!("{}: {}", url::redact(request.url), fault.what);
                return Err(Failure::host(what, fault.way_out));
            };
            std::thread::sleep(wait.unwrap_or(FIRST_WAIT * (1 << (attempt - 1))).min(LONGEST_WAIT));
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        Request { url, known, limit }: Request<'_>,
        version: &mut Option<String>,
        to: &mut File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Answer, Fault> {
        let here = to.stream_position().map_err(disk)?;
        // Only an entity tag that is strong names the bytes.
        let strong = version.clone().filter(|tag| here > 0 && tag.starts_with('"'));
        let part = strong.map(|tag| (here, tag));
        let response = self.answer(url, known, part)?;
        let start = match response.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Answer::Unchanged),
            StatusCode::PARTIAL_CONTENT if continues(&response, here) => here,
            StatusCode::OK => 0,
            status => {
                // Another attempt does not continue what the server has not accepted.
                *version = None;
                return Err(refused(status, &response));
            }
        };
        *version = text(&response, header::ETAG).or_else(|| text(&response, header::LAST_MODIFIED));
        to.set_len(start).and_then(|()| to.seek(SeekFrom::Start(start))).map_err(disk)?;
        self.transfer(response, start, limit, to, progress)?;
        Ok(Answer::New { version: version.clone() })
    }

    /// The answer to a request, or to the one that the server sends it on to.
    fn answer(
        &self,
        first: &str,
        known: Option<&str>,
        part: Option<(u64, String)>,
    ) -> Result<Response<Body>, Fault> {
        let mut address = first.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let mut call = self.agent.get(&address);
            // Another place gets no login, not even its own: the server would decide what is asked there in the user's name.
            let is_first = url::origin(&address) == url::origin(first);
            if let Some(login) = self.network.login(&address).filter(|_| is_first) {
                let login = BASE64.encode(format!("{}:{}", login.name, login.password).as_bytes());
                call = call.header(header::AUTHORIZATION, format!("Basic {login}"));
            }
            if let Some(known) = known {
                call = call.header(condition(known), known);
            }
            if let Some((here, tag)) = &part {
                call = call.header(header::RANGE, format!("bytes={here}-")).header(header::IF_RANGE, tag);
            }
            if let Some(proxy) = self.network.proxy(&address) {
                let proxy =
                    Proxy::new(proxy).map_err(|_| Fault::last("the proxy's URL is invalid", PROXY))?;
                call = call.config().proxy(Some(proxy)).build();
            }
            let response = call.call().map_err(|error| transport(&error))?;
            match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => address = sent_on(first, &address, &response)?,
                _ => return Ok(response),
            }
        }
        Err(Fault::last(format!("the server sends the request on more than {MOST_REDIRECTS} times"), MISSING))
    }

    fn transfer(
        &self,
        response: Response<Body>,
        start: u64,
        limit: u64,
        to: &mut File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Fault> {
        let too_large = || Fault::last(format!("the file is larger than {limit} bytes"), SIZE);
        let rest = response.body().content_length();
        if rest.is_some_and(|rest| start.saturating_add(rest) > limit) {
            return Err(too_large());
        }
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let (mut buffer, mut done) = (vec![0; 1 << 17], start);
        let Slowest { period, bytes } = self.network.slowest;
        let mut since = (Instant::now(), start);
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Fault::again(
                        format!("the transfer ended after {done} bytes: {error}"),
                        None,
                    ));
                }
            };
            done = done.saturating_add(count as u64);
            if done > limit {
                return Err(too_large());
            }
            to.write_all(buffer.get(..count).unwrap_or_default()).map_err(disk)?;
            progress(done);
            if since.0.elapsed() >= period {
                if done - since.1 < bytes {
                    let (came, seconds) = (done - since.1, period.as_secs_f64());
                    return Err(Fault::again(
                        format!("the server is too slow: {came} bytes in {seconds} s"),
                        None,
                    ));
                }
                since = (Instant::now(), done);
            }
        }
        match rest {
            Some(rest) if done - start < rest => {
                Err(Fault::again(format!("the transfer ended after {done} bytes"), None))
            }
            _ => Ok(()),
        }
    }
}

/// An entity tag or a time.
fn condition(known: &str) -> header::HeaderName {
    if known.starts_with('"') || known.starts_with("W/") {
        header::IF_NONE_MATCH
    } else {
        header::IF_MODIFIED_SINCE
    }
}

/// Whether a part of a file begins where the file here ends.
fn continues(response: &Response<Body>, here: u64) -> bool {
    let range = text(response, header::CONTENT_RANGE).unwrap_or_default();
    here > 0 && range.strip_prefix("bytes ").is_some_and(|rest| rest.starts_with(&format!("{here}-")))
}
