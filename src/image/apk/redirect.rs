//! Where a server sends a request on to.

use ureq::{
    Body,
    http::{Response, header},
};

use super::{
    fault::{Fault, MISSING, REDIRECT},
    url,
};
use crate::plan::is_loopback;

/// Where an answer sends the request on to: never from a secure connection to one that is not, and never to a service of this
/// host, which a server elsewhere must not choose.
pub(super) fn sent_on(first: &str, from: &str, response: &Response<Body>) -> Result<String, Fault> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let to = location.and_then(|location| url::join(from, location));
    let to = to.ok_or_else(|| Fault::last("the server sends the request on to no web address", MISSING))?;
    let refused = |why: &str| {
        // What follows the host may have a token in it.
        let place = url::origin(&to).unwrap_or_default();
        Err(Fault::last(format!("the server sends the request on to {place}, which {why}"), REDIRECT))
    };
    if url::is_secure(from) && !url::is_secure(&to) {
        return refused("is not a secure connection");
    }
    if is_loopback(&to) && !is_loopback(first) {
        return refused("is on this host's loopback");
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_does_not_choose_services_of_this_host_or_give_up_tls() {
        let sent_to = |first: &str, location: &str| {
            let response = Response::builder().header(header::LOCATION, location);
            sent_on(first, first, &response.body(Body::builder().data("")).expect("valid"))
        };
        for location in
            ["http://127.0.0.1/x", "https://localhost:8443/x", "http://[::1]/x", "http://2130706433/"]
        {
            let fault = sent_to("http://r.example.org/x", location).expect_err("refused");
            assert!(fault.what.contains("which is on this host's loopback"), "{location}: {}", fault.what);
            assert!(sent_to("http://127.0.0.1:1/x", location).is_ok(), "{location}");
        }
        let fault = sent_to("https://r.example.org/x", "http://r.example.org/x").expect_err("refused");
        assert!(fault.what.ends_with("which is not a secure connection"), "{}", fault.what);
        assert!(fault.retry.is_none(), "another attempt does not help");
        let fault = sent_to("https://r.example.org/x", "file:///etc/passwd").expect_err("refused");
        assert!(fault.what.contains("no web address"), "{}", fault.what);
        assert_eq!(
            sent_to("http://r.example.org/x", "https://me:pw@o.example.org/").ok().as_deref(),
            Some("https://o.example.org/")
        );
    }
}
