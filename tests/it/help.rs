//! The help of every command is complete and consistent.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use clap::{Arg, Command, CommandFactory, Parser};
use kiln::{cli::Cli, report::Progress};

/// A command and all below it, each by its whole name.
fn commands(name: &str, command: &Command) -> Vec<(String, Command)> {
    let mut all = vec![(name.to_owned(), command.clone())];
    for below in command.get_subcommands() {
        all.extend(commands(&format!("{name} {}", below.get_name()), below));
    }
    all
}

fn help_of(argument: &Arg) -> String {
    argument.get_help().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn every_command_and_flag_says_what_it_is_for() {
    let mut root = Cli::command();
    root.build();
    for (name, command) in commands("kiln", &root) {
        // clap's own.
        if name.contains(" help") {
            continue;
        }
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(about.starts_with(char::is_uppercase) && !about.ends_with('.'), "{name}: {about:?}");
        for argument in command.get_arguments() {
            let help = help_of(argument);
            let known = help.starts_with(char::is_uppercase) || help.starts_with("debian:");
            assert!(known && !help.ends_with('.'), "{name} {}: {help:?}", argument.get_id());
            for value in argument.get_possible_values() {
                let is_word = matches!(value.get_name(), "true" | "false" | "on" | "off")
                    || argument.get_id() == "shell"
                    || argument.get_id().as_str().contains("libc");
                assert!(is_word || value.get_help().is_some(), "{name} {}: {value:?}", argument.get_id());
            }
        }
    }
}

#[test]
fn only_what_has_no_effect_stands_among_the_flags_that_have_none() {
    let root = Cli::command();
    let build = root.find_subcommand("build").unwrap();
    for argument in build.get_arguments() {
        let without = argument.get_help_heading().is_some_and(|heading| heading.contains("no effect"));
        assert_eq!(help_of(argument).starts_with("No effect"), without, "{}", argument.get_id());
    }
}

#[test]
fn every_variable_that_a_build_reads_is_in_its_help() {
    let help = Cli::command().find_subcommand_mut("build").unwrap().render_long_help().to_string();
    for variable in [
        "KILN_HOME",
        "KILN_VIRTIOFSD",
        "MELANGE_VERSIONED_SHLIB_DEPENDS",
        "QEMU_USE_VIRTIOFS",
        "QEMU_VIRTIOFS_PATH",
        "QEMU_KERNEL_IMAGE",
        "QEMU_KERNEL_MODULES",
        "QEMU_KERNEL_CMDLINE",
        "QEMU_DISKS_PATH",
        "QEMU_NET_CIDR",
        "QEMU_DNS_SEARCH",
        "SOURCE_DATE_EPOCH",
        "SSL_CERT_FILE",
        "HTTP_PROXY",
        "HTTP_AUTH",
        "DOCKER_HOST",
        "NO_COLOR",
    ] {
        assert!(help.contains(variable), "{variable}");
    }
}

fn kiln(arguments: &[&OsStr]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kiln")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_people_type_first_leads_on() {
    let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    for (line, code, expected) in [
        ("help", 0, "Usage: kiln"),
        ("help build", 0, "--cache-dir"),
        ("run ls", 125, "kiln run -- ls"),
        ("run --network off make", 125, "kiln run -- make"),
        ("build --runner podman", 2, "[possible values: qemu, docker, bubblewrap]"),
        ("build --cache-also ccahce", 2, "'ccache'"),
        ("-q -v version", 2, "cannot be used with"),
        ("-v version", 0, "kiln "),
        ("-q version", 0, "kiln "),
    ] {
        let words = words(line);
        let (status, stdout, stderr) = kiln(&words.iter().map(OsStr::new).collect::<Vec<_>>());
        assert!(status == code && (stdout + &stderr).contains(expected), "{line}: {status} {stderr}");
    }
}

#[test]
fn an_argument_that_is_not_utf8_is_named() {
    let (status, _, stderr) =
        kiln(&[OsStr::new("build"), OsStr::new("--memory"), OsStr::from_bytes(b"4\xffGi")]);
    assert_eq!(status, 2);
    assert!(stderr.starts_with("kiln: argument 3 is not UTF-8: 4\u{fffd}Gi\n"), "{stderr}");
}

#[test]
fn quiet_says_no_progress_and_an_explicit_choice_wins() {
    let progress = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command.quieted() {
        kiln::cli::Command::Build(args) => args.progress,
        other => panic!("{other:?}"),
    };
    assert_eq!(progress("kiln build -q"), Progress::Quiet);
    assert_eq!(progress("kiln build -q --progress json"), Progress::Json);
}

#[test]
fn every_command_has_a_manual_page_that_man_can_read() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _, stderr) = kiln(&[OsStr::new("man"), directory.path().as_os_str()]);
    assert_eq!(status, 0, "{stderr}");
    let mut root = Cli::command();
    root.build();
    for (name, command) in commands("kiln", &root) {
        if name.contains(" help") || command.is_hide_set() {
            continue;
        }
        let page = std::fs::read_to_string(directory.path().join(format!("{}.1", name.replace(' ', "-"))));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".TH"), "{name}");
        let long = |argument: &&Arg| argument.get_long().is_some() && !argument.is_hide_set();
        for argument in command.get_arguments().filter(long) {
            let option = argument.get_long().unwrap().replace('-', "\\-");
            assert!(page.contains(&option), "{name}: --{option}");
        }
    }
}
