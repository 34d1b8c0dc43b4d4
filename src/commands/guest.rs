//! `kiln run` and `kiln shell`: one command of a person in a fresh guest, which is made as that of a build.
//!
//! What the command writes is all that stdout gets. What kiln itself has to say goes to stderr: what a person waits for, a line
//! about the guest for who gets a terminal in it, and what is wrong; then the exit code is 125, as `docker run`'s.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use kiln_protocol::{ExitStatus, Stdin};

use super::{
    compile,
    greeting::greeting,
    options, recipe, signals,
    waiting::{self, Volume, Waiting},
};
use crate::{
    build::{Context, Request},
    cli::{MachineArgs, RecipeArgs, RunArgs, ShellArgs},
    compile::Recipe,
    console::{Console, OutputStream},
    engine::{Console as _, ReaderGone},
    env::Env,
    event::{Phases, Sink},
    exit::{Code, Failure, code_of},
    home::Home,
    manifest,
    plan::{BuildOptions, CacheModeOption, Wanted},
    process::Spawner,
    rundir::{self, RunDir},
    secret,
};

/// kiln itself failed: what `docker run` exits with then.
pub(super) const OWN_FAILURE: u8 = 125;
/// The command was ended because its time was up: what timeout(1) exits with.
const TIMED_OUT: u8 = 124;
/// The reader of its output has gone away: 128 + SIGPIPE, as of a program that is told so by a signal.
const READER_GONE: u8 = 141;

/// A guest that no build file describes.
const BARE: &str = "package:\n  name: guest\n  version: \"0\"\n  epoch: 0\npipeline: []\n";

/// A command, in what, and who sits at it.
struct Guest<'a> {
    recipe: Recipe,
    options: BuildOptions,
    machine: &'a MachineArgs,
    wanted: Wanted,
    console: Console,
    waiting: Waiting,
}

/// `kiln run`.
pub(super) async fn run(args: &RunArgs, env: &Env, volume: Volume) -> Result<u8> {
    let RunArgs { machine, interactive, tty, command } = args;
    let spawner = Spawner::start()?.withhold(secret::variables(&machine.secret));
    let console = match (*tty, *interactive) {
        (true, _) => Console::terminal(
            OutputStream::Stdout,
            spawner.terminals(),
            "-t",
            "leave -t out; -i passes on what comes on stdin",
        )?,
        (false, true) => Console::piped()?,
        (false, false) => Console::unattended(),
    };
    let recipe = bare()?;
    let options = bare_wishes(machine, env)?;
    let wanted = Wanted::Command(command.clone());
    let waiting = Waiting::new(volume);
    exit_code(Guest { recipe, options, machine, wanted, console, waiting }.run(env, spawner).await)
}

/// `kiln shell`.
pub(super) async fn shell(args: &ShellArgs, env: &Env, volume: Volume) -> Result<u8> {
    let ShellArgs { file, recipe: how, machine } = args;
    let spawner = Spawner::start()?.withhold(secret::variables(&machine.secret));
    let otherwise = "run it in a terminal, or use `kiln run -- COMMAND`";
    let console = Console::terminal(OutputStream::Stdout, spawner.terminals(), "kiln shell", otherwise)?;
    let mut waiting = Waiting::new(volume);
    let (recipe, options) = match file.clone().or_else(|| recipe::file(None).ok()) {
        Some(file) => (described(&file, how, &mut waiting)?, options::options(machine, env, &file)?),
        None => (bare()?, bare_wishes(machine, env)?),
    };
    let wanted = Wanted::Shell;
    exit_code(Guest { recipe, options, machine, wanted, console, waiting }.run(env, spawner).await)
}

fn described(file: &Path, args: &RecipeArgs, sink: &mut dyn Sink) -> Result<Recipe> {
    recipe::load(file, args, sink)?.ok_or_else(|| {
        Failure::usage(
            format!("{}: target-architecture does not name this host's", file.display()),
            "name another build file, or none with --image",
        )
        .into()
    })
}

fn bare() -> Result<Recipe> {
    let path = PathBuf::from("guest.yaml");
    let manifest = manifest::parse(BARE, &path).map_err(Failure::from)?;
    let args = RecipeArgs::default();
    let arch = recipe::buildable(&recipe::architectures(&args)?)?;
    compile::recipe(&manifest, &recipe::options(&args, vec![path], arch)?)
}

/// Nothing of the working directory is in the guest but what is asked for: a cache that nobody has named is used, not made.
fn bare_wishes(args: &MachineArgs, env: &Env) -> Result<BuildOptions> {
    let mut args = args.clone();
    args.empty_workspace |= args.source_dir.is_none();
    if args.cache_dir.is_none() && !Path::new(options::DEFAULT_CACHE).is_dir() {
        args.cache_dir = Some(String::new());
    }
    options::options(&args, env, Path::new("guest.yaml"))
}

impl Guest<'_> {
    async fn run(self, env: &Env, spawner: Spawner) -> Result<ExitStatus> {
        let live = self.waiting.live();
        let work = signals::guard(async |interrupts| {
            let home = Home::find(env)?;
            rundir::sweep(&home)?;
            let run_dir = RunDir::create(&home, &spawner)?;
            let context =
                Context { env, home: &home, spawner: &spawner, run_dir: run_dir.path(), interrupts };
            self.launch(&context).await
        });
        let result = waiting::during(&live, work).await;
        spawner.finish()?;
        result
    }

    async fn launch(self, context: &Context<'_>) -> Result<ExitStatus> {
        let Self { recipe, options, machine, wanted, mut console, waiting: mut sink } = self;
        if options.cache_mode == CacheModeOption::Commit {
            return Err(Failure::usage(
                "--cache-mode commit is for builds: what a person did in a guest has no success to be kept by",
                "use --cache-mode rw to write to the cache, or discard",
            )
            .into());
        }
        let mut phases = Phases::begin("plan");
        let request = Request { recipe, options, cache_wait: machine.cache_wait };
        // A wait for others may be long, and nothing else tells of it.
        let leased = request.lease(context, &mut sink.live()).await?;
        let prepared = leased.prepare(context, &mut sink).await?;
        let (prepared, step) = prepared.for_command(&wanted, console.stdin());
        if matches!(step.stdin, Stdin::Terminal(_)) {
            sink.greet(greeting(prepared.plan(), &step, &wanted));
        }
        let launched = prepared.launch(context, None, &mut sink, &mut phases).await?;
        launched.run_command(step, &mut console, &mut sink, &mut phases).await
    }
}

/// The status of the command as a shell gives it, or that of a kiln which could not run it.
fn exit_code(ended: Result<ExitStatus>) -> Result<u8> {
    match ended {
        Ok(ExitStatus::Code(code)) => Ok(u8::try_from(code).unwrap_or(OWN_FAILURE)),
        Ok(ExitStatus::Signal(signal)) => Ok(u8::try_from(128 + signal).unwrap_or(OWN_FAILURE)),
        Ok(ExitStatus::TimedOut) => Ok(TIMED_OUT),
        Ok(ExitStatus::Cancelled) => Ok(OWN_FAILURE),
        Err(error) if error.is::<ReaderGone>() => Ok(READER_GONE),
        Err(error) => Err(error),
    }
}

/// What kiln exits with when `error` kept it from giving the command's status.
pub(super) fn code_of_error(error: &Error) -> u8 {
    match code_of(error) {
        code @ (Code::Interrupted | Code::Terminated) => code as u8,
        _ => OWN_FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_as_under_a_shell() {
        let cases = [
            (ExitStatus::Code(0), 0),
            (ExitStatus::Code(255), 255),
            (ExitStatus::Signal(9), 137),
            (ExitStatus::TimedOut, 124),
            (ExitStatus::Cancelled, 125),
        ];
        for (status, code) in cases {
            assert_eq!(exit_code(Ok(status)).expect("a status"), code, "{status:?}");
        }
        assert_eq!(exit_code(Err(ReaderGone.into())).expect("a status"), 141);
    }

    #[test]
    fn kilns_own_errors_are_125_but_for_signals() {
        assert_eq!(code_of_error(&Failure::host("no qemu", "").into()), 125);
        assert_eq!(code_of_error(&Failure::new(Code::Interrupted, "interrupted", "").into()), 130);
    }

    #[test]
    fn the_guest_that_no_file_describes_has_no_steps() {
        assert_eq!(bare().expect("it compiles").package_steps()[0].runs, []);
    }
}
