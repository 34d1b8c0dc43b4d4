//! Maven's settings of proxies: the script that every `mvn` reads, in the shells that may run it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/mavenrc.sh");
const LAST: &str = " -Daether.connector.http.useSystemProperties=true";

/// The value of `MAVEN_OPTS=-Xmx1g` afterwards, without the option that always comes last.
fn told(shell: &str, variables: &[(&str, &str)]) -> (String, String) {
    let mut command = Command::new(shell);
    command.args(["-c", r#". "$0"; printf %s "$MAVEN_OPTS""#, SCRIPT]).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("MAVEN_OPTS", "-Xmx1g").envs(variables.iter().copied());
    // Names with a star in them are no patterns of files.
    let output = command.current_dir("/").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let options = text.strip_prefix("-Xmx1g").and_then(|text| text.strip_suffix(LAST)).unwrap();
    (options.to_owned(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn proxies_become_properties_of_java() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], ""),
        (&[("http_proxy", "http://proxy.test:3128/")], " -Dhttp.proxyHost=proxy.test -Dhttp.proxyPort=3128"),
        (&[("HTTP_PROXY", "proxy.test")], " -Dhttp.proxyHost=proxy.test -Dhttp.proxyPort=80"),
        (
            &[("https_proxy", "https://a.test"), ("HTTPS_PROXY", "b")],
            " -Dhttps.proxyHost=a.test -Dhttps.proxyPort=443",
        ),
        (&[("https_proxy", "http://[::1]")], " -Dhttps.proxyHost=::1 -Dhttps.proxyPort=80"),
        (&[("https_proxy", "http://[fe80::1]:8080/x")], " -Dhttps.proxyHost=fe80::1 -Dhttps.proxyPort=8080"),
        (
            &[("https_proxy", "http://u%40corp:p%2fs%25s%zz@proxy.test:1")],
            " -Dhttps.proxyHost=proxy.test -Dhttps.proxyPort=1 -Dhttps.proxyUser=u@corp -Dhttps.proxyPassword=p/s%s%zz",
        ),
        (
            &[("https_proxy", "http://u:p/a@b:c@proxy.test:1")],
            " -Dhttps.proxyHost=proxy.test -Dhttps.proxyPort=1 -Dhttps.proxyUser=u -Dhttps.proxyPassword=p/a@b:c",
        ),
        (
            &[("https_proxy", "http://token@proxy.test:1")],
            " -Dhttps.proxyHost=proxy.test -Dhttps.proxyPort=1",
        ),
        (
            &[("ALL_PROXY", "http://all.test:1"), ("http_proxy", "http://own.test:2")],
            " -Dhttp.proxyHost=own.test -Dhttp.proxyPort=2 -Dhttps.proxyHost=all.test -Dhttps.proxyPort=1",
        ),
        (
            &[("https_proxy", "socks5h://u:p@[::1]")],
            " -DsocksProxyHost=::1 -DsocksProxyPort=1080 -Djava.net.socks.username=u -Djava.net.socks.password=p",
        ),
        (
            &[("no_proxy", "localhost,.corp.test, *.x.test host.test:8080\t10.0.0.1,*")],
            " -Dhttp.nonProxyHosts=localhost|*.localhost|*.corp.test|*.x.test|host.test|*.host.test|10.0.0.1|* \
             -DsocksNonProxyHosts=localhost|*.localhost|*.corp.test|*.x.test|host.test|*.host.test|10.0.0.1|*",
        ),
    ];
    for shell in ["/bin/sh", "/bin/bash"] {
        assert!(Path::new(shell).exists());
        for (variables, expected) in cases {
            assert_eq!(told(shell, variables), ((*expected).into(), String::new()), "{shell} {variables:?}");
        }
    }
}

#[test]
fn a_password_with_white_space_is_reported() {
    for shell in ["/bin/sh", "/bin/bash"] {
        let (options, said) = told(shell, &[("https_proxy", "http://u:a%20b@proxy.test:1")]);
        assert_eq!(options, " -Dhttps.proxyHost=proxy.test -Dhttps.proxyPort=1");
        assert_eq!(said, "kiln: Maven cannot use a proxy whose password has white space in it\n");
    }
}
