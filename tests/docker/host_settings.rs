//! Host settings of a container: certificates, a proxy.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    authority::authority,
    host_settings_cases::{ASK_PROXY, FETCH, SERVE},
    proxy::Proxy,
    wait_until::wait_until,
    world::{Place, daemon, said},
};

#[test]
fn an_authority_is_trusted_when_it_is_given_and_only_then() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let ca = authority(&place.project());
    let ca = ca.to_str().unwrap();
    let build = |certificates: &str| {
        let more = ["--source-dir", "source", "--network", "off", "--host-certs", certificates];
        place.build("root", &[SERVE, FETCH], &more)
    };
    let output = build(ca);
    assert!(output.status.success(), "{}", said(&output));
    let output = build("off");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("verify"), "{}", said(&output));
}

#[test]
fn a_proxy_on_loopback_is_reached_and_no_other_port_is() {
    let Some(_) = daemon() else { return };
    let (place, proxy, other) = (Place::new(), Proxy::start(), Proxy::start());
    let other = other.url().replace("http://localhost:", "");
    let closed = format!("! (exec 3<>/dev/tcp/127.0.0.1/{other}) 2>/dev/null");
    let mut command = place.command("build", &[ASK_PROXY, &closed], &[]);
    let output = command.env("HTTPS_PROXY", proxy.url()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("hello through the proxy\n"), "{}", said(&output));
    assert_eq!(proxy.asked(), ["far.away.test:443"]);
}

/// A proxy of this host's loopback that speaks TLS, with a certificate of the authority's; it ends with this.
struct TlsProxy {
    server: Child,
    port: u16,
}

impl TlsProxy {
    fn start(source: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new("openssl")
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-quiet"])
            .args(["-cert", "cert.pem", "-key", "key.pem"])
            .current_dir(source)
            // Its end would be the server's.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok()));
        Self { server, port }
    }

    /// The first line that it was sent.
    fn asked(mut self) -> String {
        self.server.kill().unwrap();
        let mut asked = String::new();
        BufReader::new(self.server.stdout.take().unwrap()).read_line(&mut asked).unwrap();
        asked
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.server.kill().and_then(|()| self.server.wait()).unwrap();
    }
}

#[test]
fn a_proxy_on_loopback_that_speaks_tls_proves_its_name() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let ca = authority(&place.project());
    let proxy = TlsProxy::start(&place.project().join("source"));
    let ask = r"place=${https_proxy#https://}
(printf 'CONNECT far.away.test:443 HTTP/1.1\r\n\r\n'; sleep 1) |
  openssl s_client -connect $place -verify_return_error -verify_hostname ${place%:*} -quiet -no_ign_eof";
    let mut command = place.command("build", &[ask], &["--host-certs", ca.to_str().unwrap()]);
    let output = command.env("HTTPS_PROXY", format!("https://LocalHost:{}", proxy.port)).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(proxy.asked(), "CONNECT far.away.test:443 HTTP/1.1\r\n", "{}", said(&output));
}
