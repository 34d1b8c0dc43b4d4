//! The help of every command is complete, and speaks with one voice.

use clap::{Arg, Command, CommandFactory};
use kiln::cli::Cli;

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
        "DOCKER_HOST",
        "NO_COLOR",
    ] {
        assert!(help.contains(variable), "{variable}");
    }
}

#[test]
fn completions_are_scripts_that_know_every_command() {
    let script = |shell: &str| {
        let mut kiln = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
        let output = kiln.args(["completion", shell]).output().unwrap();
        assert!(output.status.success(), "{shell}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = script(shell);
        for command in Cli::command().get_subcommands() {
            assert!(text.contains(command.get_name()), "{shell} does not know {}", command.get_name());
        }
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, script("bash")).unwrap();
    let complete = format!("source '{}'; complete -p kiln", path.path().display());
    let output = std::process::Command::new("bash").args(["--norc", "-ec", &complete]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
