//! What a container gets of the host's besides files to build from and secrets: certificates, a proxy.

use crate::{
    authority::authority,
    proxy::Proxy,
    supplied::{ASK_PROXY, FETCH, SERVE},
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
