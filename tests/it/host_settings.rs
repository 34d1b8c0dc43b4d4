//! A secret that tests give to builds, and a search for its traces.
//! Included by the tests of each backend.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A step that starts a server with an authority's certificate on port 8443, which answers `/www/answer`.
pub(crate) const SERVE: &str = "mkdir -p www && echo the-answer > www/answer
setsid openssl s_server -accept 8443 -cert cert.pem -key key.pem -WWW -quiet >/dev/null 2>&1 &
for n in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8443) 2>/dev/null && exit 0; sleep 0.1; done
exit 1";

/// A step that fetches it with what every root has.
pub(crate) const FETCH: &str = r"printf 'GET /www/answer HTTP/1.0\r\n\r\n' > request
openssl s_client -connect localhost:8443 -verify_return_error -quiet -ign_eof < request > got
grep -x the-answer got";

/// A secret.
pub(crate) const SECRET: &str = "correct-horse-battery-staple-7361";

/// A step, run as `build`, that uses it and says it in every way that is masked. It is given as `token` and as `from-variable`.
pub(crate) const USE_SECRET: &str = r#"set -x
test "$(stat -c '%U %a' /run/secrets/token)" = 'build 400'
test "$(stat -f -c %T /run/secrets)" = tmpfs
cat /run/secrets/token
cat /run/secrets/token >&2
head -c 10 /run/secrets/token; sleep 0.3; tail -c +11 /run/secrets/token
base64 /run/secrets/token
(echo -n user:; cat /run/secrets/token) | base64
test "$(cat /run/secrets/token)" = "$(cat /run/secrets/from-variable)"
env | sort
echo kept > /var/cache/melange/kept
mkdir -p ${{targets.destdir}}/usr && echo made > ${{targets.destdir}}/usr/made"#;

/// Gives the secret to a build: as a file below `directory`, and as a variable.
pub(crate) fn give_secret(command: &mut Command, directory: &Path) {
    let file = directory.join("token");
    fs::write(&file, format!("{SECRET}\n")).expect("written");
    let from_file = format!("id=token,src={}", file.display());
    command.args(["--secret", &from_file, "--secret", "id=from-variable,env=THE_TOKEN"]);
    command.env("THE_TOKEN", SECRET);
}

/// All in which the secret could be found: as it is, and in the three ways in which base64 can cut it.
pub(crate) fn needles() -> [String; 4] {
    let base64 = data_encoding::BASE64.encode(SECRET.as_bytes());
    [SECRET.into(), base64[..20].into(), "Y29ycmVjdC1ob3JzZ".into(), "jb3JyZWN0LWhvcnNl".into()]
}

/// Above this size grep(1) searches a file: a template's memory would take minutes here.
const LARGE: u64 = 1 << 20;

/// Whether a file holds the secret as it is. Its lines end with NUL, of which memory has most.
fn large_holds_secret(path: &Path) -> bool {
    let mut grep = Command::new("grep");
    grep.arg("-qaFz").args(needles().iter().flat_map(|needle| ["-e", needle])).arg("--").arg(path);
    match grep.env("LC_ALL", "C").status().expect("grep can be started").code() {
        Some(0) => true,
        Some(1) => false,
        code => {
            assert!(!path.exists(), "grep ended with {code:?} for {}", path.display());
            false
        }
    }
}

/// Files below `directory` that hold the secret, as they are or in an archive that `zstd` opens.
pub(crate) fn holds_secret(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.expect("listed").path()));
        } else if metadata.is_file() {
            let packed = path.extension().is_some_and(|ending| ending == "zst");
            if metadata.len() > LARGE && !packed {
                found.extend(large_holds_secret(&path).then_some(path));
                continue;
            }
            // Another test's may be gone by now.
            let Ok(bytes) = fs::read(&path) else { continue };
            let bytes = if packed { zstd::decode_all(bytes.as_slice()).expect("zstd") } else { bytes };
            let holds =
                |needle: &String| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            if needles().iter().any(holds) {
                found.push(path);
            }
        }
    }
    found
}

/// A step that asks a proxy, as its variable names it, for a tunnel, and prints what comes.
pub(crate) const ASK_PROXY: &str = r#"place=${https_proxy#http://}
exec 3<>"/dev/tcp/${place%:*}/${place##*:}"
printf 'CONNECT far.away.test:443 HTTP/1.1\r\n\r\n' >&3
cat <&3"#;
