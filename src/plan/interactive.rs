//! Interactive steps: a command in a guest, a shell, a shell in place of a failed step.

use kiln_protocol::{Mount, Stdin, Step, User};

use super::{
    BuildOptions, OUTPUT, Plan, PlannedStep, Platform, Trace, WORKSPACE, resolve,
    steps::{self, FRAGMENT},
};
use crate::compile::Recipe;

/// The number of a step that is not in the recipe.
const INDEX: u32 = u32::MAX;

/// The command of `kiln run` or `kiln shell`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InteractiveCommand {
    /// A program, looked up in PATH, and its arguments.
    Command(Vec<String>),
    /// The shell of the guest's steps.
    Shell,
}

/// The step for an interactive command: with the environment, directory and user of the recipe's steps.
pub fn command(
    recipe: &Recipe,
    options: &BuildOptions,
    plan: &Plan,
    shell: &str,
    command: &InteractiveCommand,
    stdin: Stdin,
) -> Step {
    let host_settings = &plan.host_settings;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let argv = match (command, options.trace) {
        // The shell looks up the program, and exits with 127 or 126 if it cannot, as POSIX says.
        (InteractiveCommand::Command(command), Trace::Off) => {
            [&words(&[shell, "-c", "exec \"$0\" \"$@\""])[..], command].concat()
        }
        (InteractiveCommand::Command(command), Trace::On) => {
            [&words(&[shell, "-c", "set -x\nexec \"$0\" \"$@\""])[..], command].concat()
        }
        (InteractiveCommand::Shell, Trace::Off) => words(&[shell, "-i"]),
        (InteractiveCommand::Shell, Trace::On) => words(&[shell, "-i", "-x"]),
    };
    let limit = [options.step_timeout, options.timeout].into_iter().flatten().min();
    Step {
        index: INDEX,
        argv,
        files: Vec::new(),
        env: resolve::environment(recipe, options, host_settings, Default::default()),
        cwd: WORKSPACE.into(),
        user: user(recipe, &plan.platform),
        stdin,
        timeout_ms: limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// The user of the recipe's steps: root in a sandbox with one user.
fn user(recipe: &Recipe, platform: &Platform) -> User {
    if platform.has_one_user() { User::Root } else { resolve::user(recipe) }
}

impl Plan {
    /// The same guest for a command: without steps, packages, and a directory for packages.
    pub fn without_steps(mut self) -> Self {
        self.steps.clear();
        self.artifacts.clear();
        self.metadata.packages.clear();
        // A command has no report on the cache.
        self.guest_config.track_reads = None;
        self.guest_config
            .mounts
            .retain(|mount| !matches!(mount, Mount::Directory { path, .. } if path.starts_with(OUTPUT)));
        self
    }
}

/// A shell in place of a failed step: with its user, directory and environment, and with its lines in the history.
pub fn shell_in_place_of(failed: &PlannedStep, stdin: Stdin) -> Step {
    let PlannedStep { fragment, directory, step, .. } = failed;
    let shell = step.argv.first().map_or("/bin/sh", String::as_str);
    let lines: String =
        fragment.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect();
    let script = format!(
        "cd {directory} 2>/dev/null\nHISTFILE=/tmp/.kiln-history.$$\ncat {FRAGMENT} >\"$HISTFILE\"\n\
         export HISTFILE\n{shell} -i\nstatus=$?\nrm -f \"$HISTFILE\"\nexit $status\n",
        directory = steps::quote(directory),
        shell = steps::quote(shell),
    );
    let argv = vec![shell.to_owned(), "-c".into(), script];
    let files = vec![steps::text_file(lines)];
    Step { index: INDEX, argv, files, stdin, timeout_ms: None, ..step.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::RootForm;
    use crate::plan::{Ids, Sandbox};

    #[test]
    fn a_command_runs_as_the_user_of_the_steps() {
        let recipe = resolve::tests::recipe("environment: {accounts: {run-as: build}}");
        let sandbox = |ids| {
            Platform::Bubblewrap(Sandbox { binds: Vec::new(), ids, root: RootForm::Tree, groups: Vec::new() })
        };
        for (ids, expected) in [
            (Ids::Own, User::Name("build".into())),
            (Ids::Range, User::Name("build".into())),
            // The agent cannot change to another user.
            (Ids::SingleUid, User::Root),
        ] {
            assert_eq!(user(&recipe, &sandbox(ids)), expected, "{ids:?}");
        }
    }

    #[test]
    fn a_shell_in_place_of_a_step_has_its_environment_and_its_lines_as_history() {
        let step = Step {
            index: 3,
            argv: vec!["/bin/bash".into(), "-c".into(), "all of it".into()],
            files: vec![steps::text_file("all of it".into())],
            env: vec![("A".into(), "1".into())],
            cwd: WORKSPACE.into(),
            user: User::Name("build".into()),
            stdin: Stdin::Null,
            timeout_ms: Some(5),
        };
        let fragment = "make it's\n\n  make install\n".into();
        let (name, package, directory) = ("s".into(), "p".into(), "/home/build/a b".into());
        let (origin, used_at) = (crate::compile::Origin::default(), None);
        let failed = PlannedStep { name, package, origin, used_at, fragment, directory, step };
        let shell = shell_in_place_of(&failed, Stdin::Pipe);
        assert_eq!(
            (&shell.env, &shell.user, &shell.cwd),
            (&failed.step.env, &failed.step.user, &failed.step.cwd)
        );
        assert_eq!((shell.index, &shell.stdin, shell.timeout_ms), (INDEX, &Stdin::Pipe, None));
        assert_eq!(shell.argv[..2], ["/bin/bash", "-c"]);
        assert_eq!(
            shell.argv[2],
            "cd '/home/build/a b' 2>/dev/null\nHISTFILE=/tmp/.kiln-history.$$\n\
             cat /run/kiln-step >\"$HISTFILE\"\nexport HISTFILE\n'/bin/bash' -i\n\
             status=$?\nrm -f \"$HISTFILE\"\nexit $status\n"
        );
        assert_eq!(shell.files, [steps::text_file("make it's\n  make install\n".into())]);
    }
}
