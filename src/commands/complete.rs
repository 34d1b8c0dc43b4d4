//! `kiln complete`: what can stand in the place of the last word of a command line. The scripts of `kiln completion` ask it at
//! each press of Tab, so all that kiln knows stands here once, and the scripts hold nothing of a version.
//!
//! ```text
//! words --bash (unquoted)--> walk (where the last word is)--> values (what may stand there) --> answer
//! ```
//!
//! clap_complete has an engine for this, as an unstable feature whose interface may change in every release. Its script for bash
//! puts values on the command line as they are, so that a name with `$(…)` in it would run, and cannot complete `debian:…`.
//!
//! The answer: a line with what the shell completes itself (`values` for nothing, `files`, `directories`, `build-files`), a tab, and
//! how many characters of the word stand before that path; then a line `VALUE<tab>DESCRIPTION` for each value. A value with a
//! control character is left out: it could be neither one line nor shown. Nothing is made, started or waited for.

mod bash;
mod values;
mod walk;

use std::fmt::Write;

use anyhow::Result;
use clap::CommandFactory;

use self::values::{Answer, Paths, Value};
use crate::{
    cli::{Cli, CompleteArgs},
    env::Env,
    exit::Code,
    home::Home,
    report,
};

/// Prints the answer.
pub(super) fn run(args: &CompleteArgs, env: &Env) -> Result<Code> {
    let words: Vec<String> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (words, kept) = match &args.bash {
        Some(replaced) => bash::unquoted(&words, &replaced.to_string_lossy()),
        None => (words, String::new()),
    };
    let mut root = Cli::command();
    root.build();
    let position = walk::position(&root, &words);
    // Without a home there are no images, and all else is known.
    let home = Home::find(env).ok();
    let answer = values::answer(position, home.as_ref());
    report::print(&written(&answer, &kept))
}

/// The answer as text. bash replaces only the end of a word: what stays of it (`kept`) is no part of a value, and a path of
/// which a part stays is not one that bash could complete.
fn written(answer: &Answer, kept: &str) -> String {
    let Answer { paths, prefix, values } = answer;
    let (paths, before) = prefix.strip_prefix(kept).map_or((Paths::Values, ""), |before| (*paths, before));
    let mut text = format!("{}\t{}\n", paths.name(), before.chars().count());
    for Value { text: value, about } in values {
        let Some(value) = value.strip_prefix(kept).filter(|value| !value.contains(char::is_control)) else {
            continue;
        };
        let about = about.lines().next().unwrap_or_default().replace(char::is_control, " ");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{value}\t{about}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str], home: Option<&Home>) -> Answer {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let mut root = Cli::command();
        root.build();
        values::answer(walk::position(&root, &words), home)
    }

    /// The values for a line, whose last word ends where the line does.
    fn values(line: &str) -> Vec<String> {
        asked(&line.split(' ').collect::<Vec<_>>(), None).values.into_iter().map(|value| value.text).collect()
    }

    #[test]
    fn each_place_has_its_values() {
        for (line, expected) in [
            ("kiln upd", &["update-cache"][..]),
            ("kiln image ", &["ls", "build", "export", "import", "warm", "prune", "help"]),
            ("kiln help ima", &["image"]),
            ("kiln cache p", &["prune"]),
            ("kiln -q build --runner b", &["bubblewrap"]),
            ("kiln build --runner=q", &["--runner=qemu"]),
            ("kiln build --cache-also ccache,s", &["ccache,sccache"]),
            ("kiln build --cache-also=s", &["--cache-also=sccache"]),
            ("kiln build --package-append build-b", &["build-base"]),
            (
                "kiln shell --package-append make,python-3.11-de",
                &["make,python-3.11-default", "make,python-3.11-dev"],
            ),
            ("kiln build --image debian:bookworm+git,ninja", &["debian:bookworm+git,ninja-build"]),
            ("kiln run --image debian:trixie+golang", &["debian:trixie+golang-go"]),
            ("kiln build --allow-capability SYS_PTRACE,net_adm", &["SYS_PTRACE,NET_ADMIN"]),
            ("kiln cache prune --keep go,sou", &["go,sources"]),
            ("kiln cache export all.tar.zst go car", &["cargo"]),
            ("kiln build --arch x86_", &["x86_64"]),
            ("kiln build --host-certs o", &["off"]),
            ("kiln compile --log-level de", &["debug"]),
            ("kiln completion f", &["fish"]),
            ("kiln schema e", &["events"]),
            ("kiln build --keep-on", &["--keep-on-failure"]),
            ("kiln build --keep-on-failure --net", &["--network"]),
            // A value, whatever it looks like.
            ("kiln build --out-dir image --cache-m", &["--cache-mode"]),
            // After `--` nothing is kiln's.
            ("kiln run -- --im", &[]),
            ("kiln run -- kiln b", &[]),
            ("kiln no-such-command --im", &[]),
        ] {
            assert_eq!(values(line), expected, "{line}");
        }
    }

    #[test]
    fn what_has_no_effect_or_is_not_for_people_is_not_offered() {
        let options = values("kiln build --");
        assert!(options.iter().any(|option| option == "--cache-dir"), "{options:?}");
        assert!(!options.iter().any(|option| option == "--debug-runner"), "{options:?}");
        assert!(!values("kiln ").iter().any(|command| command == "complete"));
    }

    #[test]
    fn the_shell_completes_paths_by_their_kind() {
        for (line, name, prefix) in [
            ("kiln build ", "build-files", ""),
            ("kiln plan --json ex", "build-files", ""),
            ("kiln compile a.yaml ", "build-files", ""),
            ("kiln build a.yaml ", "build-files", ""),
            ("kiln update-cache ", "build-files", ""),
            ("kiln build --out-dir ", "directories", ""),
            ("kiln build --out-dir=x/", "directories", "--out-dir="),
            ("kiln build --pipeline-dirs a,b", "directories", "a,"),
            ("kiln build --env-file=a,b", "files", "--env-file=a,"),
            ("kiln build --image ", "files", ""),
            ("kiln build --image debian:", "values", ""),
            ("kiln build --runner ", "values", ""),
            ("kiln cache export ", "files", ""),
            ("kiln cache export x ", "values", ""),
            ("kiln cache import ", "files", ""),
            ("kiln man ", "directories", ""),
            ("kiln run -- ", "values", ""),
            ("kiln cache report --cache-dir ", "directories", ""),
            ("kiln shell --secret ", "values", ""),
        ] {
            let answer = asked(&line.split(' ').collect::<Vec<_>>(), None);
            assert_eq!((answer.paths.name(), &*answer.prefix), (name, prefix), "{line}");
        }
    }

    #[test]
    fn names_are_lines_and_nothing_else_is() {
        let value = |text: &str, about: &str| Value { text: text.into(), about: about.into() };
        let values = vec![
            value("/a b $(touch x) 'q'", "one\ntwo"),
            value("/new\nline", ""),
            value("/esc\u{1b}[2J", ""),
            value("/tab\there", ""),
            value("--image=/x", "a\ttab"),
        ];
        let answer = Answer { paths: Paths::Files, prefix: "--image=".into(), values };
        assert_eq!(written(&answer, ""), "files\t8\n/a b $(touch x) 'q'\tone\n--image=/x\ta tab\n");
        assert_eq!(written(&answer, "--image="), "files\t0\n/x\ta tab\n");
        assert_eq!(written(&answer, "--image=/"), "values\t0\nx\ta tab\n");
    }
}
