//! Behind a proxy that opens TLS: registries whose certificates an authority of the test's signed, started by a step. Each package
//! manager gets its package where kiln brings the authority, and names the certificate where it does not.

use std::{fmt::Write, fs};

use super::{Backend, IMAGE, is_there, reported::Reported};
use crate::{
    authority::authority,
    place::Place,
    sampling::{Sampler, named},
};

/// The registries.
const REGISTRIES: &str = include_str!("registries.py");

const GET_UV: &str = "pip download -q --no-deps --dest /var/cache/melange/wheels uv==0.9.30";

/// A package manager, what it is asked, and what it says of a certificate that it does not trust.
struct Tool {
    name: &'static str,
    script: &'static str,
    complaint: &'static str,
}

const TOOLS: [Tool; 7] = [
    Tool {
        name: "go",
        script: "export GOPROXY=https://localhost:8443/go GONOSUMDB='*'
mkdir g && cd g && go mod init x.test/x && go list -m -versions kiln.test/sample | grep -x 'kiln.test/sample v1.0.0'",
        complaint: "x509: certificate signed by unknown authority",
    },
    Tool {
        name: "uv",
        script: "pip install -q --no-index --no-compile --find-links /var/cache/melange/wheels --target tools uv
tools/bin/uv pip install --python /usr/bin/python3 --target lib --index-url https://localhost:8443/simple/ kiln-sample",
        complaint: "invalid peer certificate: UnknownIssuer",
    },
    Tool {
        name: "pip",
        script: "pip download --no-deps --retries 0 --index-url https://localhost:8443/simple/ kiln-sample",
        complaint: "certificate verify failed",
    },
    Tool {
        name: "composer",
        script: r#"mkdir p && cd p
echo '{"repositories": [{"type": "composer", "url": "https://localhost:8443/composer"}, {"packagist.org": false}]}' > composer.json
composer require --no-interaction --no-install kiln/sample 1.0.0"#,
        complaint: "certificate verify failed",
    },
    Tool {
        name: "npm",
        script: "npm view --fetch-retries 0 --registry https://localhost:8443/npm/ kiln-sample version | grep -x 1.0.0",
        complaint: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    },
    Tool {
        name: "cargo",
        script: r#"mkdir -p c/src c/.cargo && cd c && touch src/lib.rs
printf '[package]\nname = "c"\nversion = "1.0.0"\n[dependencies]\nkiln-sample = { version = "1", registry = "test" }\n' > Cargo.toml
printf '[registries.test]\nindex = "sparse+https://localhost:8443/cargo/"\n' > .cargo/config.toml
cargo generate-lockfile && grep 'name = "kiln-sample"' Cargo.lock"#,
        complaint: "SSL peer certificate or SSH remote key was not OK",
    },
    Tool {
        name: "maven",
        script: "mkdir m && cd m && cat > pom.xml <<'END' && mvn --batch-mode validate
<project><modelVersion>4.0.0</modelVersion>
<parent><groupId>test.kiln</groupId><artifactId>sample</artifactId><version>1.0</version><relativePath/></parent>
<artifactId>m</artifactId><packaging>pom</packaging>
<repositories><repository><id>test</id><url>https://localhost:8443/maven</url></repository></repositories>
</project>
END",
        complaint: "PKIX path building failed",
    },
];

#[test]
fn all_trust_an_authority_that_is_given_and_only_then() {
    let mut backends = named("KILN_BACKENDS", Backend::ALL.to_vec(), |backend| format!("{backend:?}"));
    backends.retain(|backend| is_there(*backend));
    let one = |drawn: Vec<Backend>| {
        let without = drawn.iter().find(|backend| !backend.is_machine());
        without.or(drawn.first()).copied().into_iter().collect()
    };
    let (sampler, backends) = Sampler::choosing("ecosystems and an authority", backends, one);
    for backend in backends {
        sampler.say(&format!("{} package managers in {backend:?}", TOOLS.len()));
        let place = Place::new();
        let project = place.project();
        let bundle = authority(&project);
        fs::write(project.join("source/registries.py"), REGISTRIES).unwrap();
        let bundle = bundle.to_str().unwrap();
        let trusted = steps(|tool| tool.script.to_owned());
        let refused = steps(|Tool { script, .. }| format!("if (set -e\n{script}\n) then exit 1; fi"));
        let reported = [("trusted", bundle, trusted), ("refused", "off", refused)].map(
            |(cache, certificates, steps)| {
                // uv is no Debian package: it comes from its own registry, with the host's certificates.
                build(&place, backend, &[("get uv", GET_UV.into())], &["--cache-dir", cache]);
                let more = ["--cache-dir", cache, "--network", "off", "--host-certs", certificates];
                build(&place, backend, &steps, &more)
            },
        );
        for Tool { name, complaint, .. } in &TOOLS {
            let [trusted, refused] = reported.each_ref().map(|reported| reported.said_by(name));
            assert!(!trusted.contains(complaint), "{name} in {backend:?}:\n{trusted}");
            assert!(refused.contains(complaint), "{name} in {backend:?}:\n{refused}");
        }
    }
}

/// The registries' step, and one of each package manager.
fn steps(script: impl Fn(&Tool) -> String) -> Vec<(&'static str, String)> {
    let serve = "setsid python3 registries.py >/dev/null 2>&1 &
for n in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8443) 2>/dev/null && exit 0; sleep 0.1; done
exit 1";
    let first = ("serve", serve.to_owned());
    [first].into_iter().chain(TOOLS.iter().map(|tool| (tool.name, script(tool)))).collect()
}

fn build(place: &Place, backend: Backend, steps: &[(&str, String)], more: &[&str]) -> Reported {
    let mut file = "package:\n  name: sample\n  version: 1.0\n  epoch: 0\npipeline:\n".to_owned();
    for (name, script) in steps {
        let script = script.replace('\n', "\n      ");
        writeln!(file, "  - name: {name}\n    runs: |\n      {script}").unwrap();
    }
    fs::write(place.project().join("file.yaml"), file).unwrap();
    let mut kiln = place.kiln();
    kiln.args(["build", "file.yaml", "--image", IMAGE, "--source-dir", "source", "--progress", "json"]);
    kiln.args(["--cache-mode", backend.keeping()]).args(more);
    backend.choose(&mut kiln);
    let output = kiln.output().unwrap();
    let reported = Reported::new(&output);
    assert!(output.status.success(), "{kiln:?}\n{}\n{}", reported.said(), reported.failure());
    reported
}
