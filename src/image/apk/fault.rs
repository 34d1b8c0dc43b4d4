//! Why a request of HTTP failed, whether another attempt may help, and the way out.

use std::{io::ErrorKind, time::Duration};

use ureq::{
    Body,
    http::{Response, StatusCode, header},
};

pub(super) const PROXY: &str = "Correct HTTP_PROXY or HTTPS_PROXY.";
pub(super) const NETWORK: &str =
    "Check the network and the repository's address, or use what the cache has: --network off.";
pub(super) const MISSING: &str =
    "Check the repository's address. If it no longer has the file, its index is old: run the command again.";
pub(super) const REDIRECT: &str = "Give that address itself, if you trust it and the way to it.";
pub(super) const LOGIN: &str = "Set HTTP_AUTH=basic:HOST:NAME:PASSWORD, or correct it.";
pub(super) const SIZE: &str = "The repository is damaged or is not one; see that its address is right.";
pub(super) const DISK: &str = "Make room on the file system of the cache (--apk-cache-dir, KILN_HOME).";

/// Why an attempt failed.
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) way_out: &'static str,
    /// Whether another attempt may help, after the server's own wait if it named one.
    pub(super) retry: Option<Option<Duration>>,
}

impl Fault {
    pub(super) fn last(what: impl Into<String>, way_out: &'static str) -> Self {
        Self { what: what.into(), way_out, retry: None }
    }

    pub(super) fn again(what: impl Into<String>, wait: Option<Duration>) -> Self {
        Self { what: what.into(), way_out: NETWORK, retry: Some(wait) }
    }
}

/// The text of a header, if it is not too long to be kept in a file and sent again.
pub(super) fn text(response: &Response<Body>, name: header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    (value.len() <= 1024).then(|| value.to_owned())
}

/// The fault of an answer with another status than those of a file.
pub(super) fn refused(status: StatusCode, response: &Response<Body>) -> Fault {
    let what = format!("the server answers {status}");
    let wait =
        text(response, header::RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    match status.as_u16() {
        401 | 403 | 407 => Fault::last(what, LOGIN),
        408 | 429 | 500..=599 => Fault::again(what, wait),
        // The file has changed since the first part.
        206 | 416 => Fault::again(what, None),
        _ => Fault::last(what, MISSING),
    }
}

/// The fault of a connection.
pub(super) fn transport(error: &ureq::Error) -> Fault {
    match error {
        ureq::Error::Rustls(error) => Fault::last(
            format!("the connection is not secure: {error}"),
            "If the server's certificate is right, name the bundle with its authority in SSL_CERT_FILE.",
        ),
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => Fault::last(
            format!("the connection is not secure: {error}"),
            "If the server's certificate is right, name the bundle with its authority in SSL_CERT_FILE.",
        ),
        ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl | ureq::Error::LargeResponseHeader(..) => {
            Fault::last(error.to_string(), MISSING)
        }
        error => Fault::again(error.to_string(), None),
    }
}

/// The fault of the file that is written.
pub(super) fn disk(error: std::io::Error) -> Fault {
    Fault::last(format!("the download cannot be kept: {error}"), DISK)
}
