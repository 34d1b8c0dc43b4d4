//! The programs that kiln starts, with their versions.

use std::time::Duration;

use super::{Finding, State};
use crate::{
    env::Env,
    host::find_program,
    process::{Command, Spawner},
};

/// For a program that prints its version.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// A program, its purpose, and the option that prints its version.
#[derive(Debug)]
pub(super) struct Tool {
    program: &'static str,
    version: &'static str,
    without: State,
    purpose: &'static str,
    package: &'static str,
}

impl Tool {
    /// Finds the program, and asks it for its version.
    pub(super) async fn look(&self, env: &Env, spawner: &Spawner) -> Finding {
        let Self { program, version, without, purpose, package } = *self;
        let Some(path) = find_program(env, program) else {
            let mend = format!("apt-get install {package}");
            return Finding::gap(program, without, format!("not installed; {purpose}"), &mend);
        };
        if version.is_empty() {
            return Finding::ok(program, path.display().to_string());
        }
        match spawner.output(Command::new(&path).arg(version), VERSION_LIMIT).await {
            Ok(said) => {
                let said = [said.stdout, said.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                Finding::ok(program, format!("{} ({})", path.display(), up_to_version(&said)))
            }
            Err(error) => Finding::of_error(program, without, &error),
        }
    }
}

/// `curl 7.88.1 (x86_64-pc-linux-gnu) …` without what follows the number.
fn up_to_version(said: &str) -> String {
    let line = said.lines().next().unwrap_or("no version");
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = words.iter().position(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    words[..number.map_or(words.len(), |at| at + 1)].join(" ")
}

/// The programs that this user needs.
pub(super) fn of_user(uid: u32) -> Vec<Tool> {
    let tool =
        |program, version, without, purpose, package| Tool { program, version, without, purpose, package };
    let mut tools = vec![
        tool("mkfs.erofs", "--version", State::Missing, "images are made with it", "erofs-utils"),
        tool("mmdebstrap", "--version", State::Missing, "Debian images are made with it", "mmdebstrap"),
        tool("bwrap", "--version", State::Warning, "--runner bubblewrap needs it", "bubblewrap"),
        tool("curl", "--version", State::Warning, "kiln update-cache needs it for fetch", "curl"),
        tool("git", "--version", State::Warning, "kiln update-cache needs it for git-checkout", "git"),
    ];
    if uid != 0 {
        let purpose = "an ordinary user makes images with it";
        tools.push(tool("newuidmap", "", State::Warning, purpose, "uidmap"));
        tools.push(tool("fakeroot", "", State::Warning, purpose, "fakeroot"));
    }
    tools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_version_is_left_out() {
        for (said, version) in [
            (
                "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 zlib/1.2.13\nRelease-Date: x\n",
                "curl 7.88.1",
            ),
            ("git version 2.39.5\n", "git version 2.39.5"),
            ("hello\n", "hello"),
            ("", "no version"),
        ] {
            assert_eq!(up_to_version(said), version);
        }
    }
}
