//! The compiler by itself, for trials: `cargo run --example compile -- ARCH PIPELINE_DIR FILE...`.

use std::{path::PathBuf, process::ExitCode};

use kiln::{commands::compile, compile::Arch};

#[expect(clippy::print_stderr, reason = "an example reports by itself")]
fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(arch), Some(directory)) = (args.next().as_deref().and_then(Arch::parse), args.next()) else {
        eprintln!("usage: compile ARCH PIPELINE_DIR FILE...");
        return ExitCode::from(2);
    };
    let mut options = compile::Options::new(arch, args.map(PathBuf::from).collect());
    options.pipeline_dirs = vec![PathBuf::from(directory)];
    let mut note = |warning: &kiln::manifest::Diagnostic| eprintln!("warning: {warning}");
    match compile::run(&options, &mut std::io::stdout().lock(), &mut note) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(kiln::exit::code_of(&error) as u8)
        }
    }
}
