//! The cost of commits, by `kiln bench cache`: `cargo bench --bench commit -- --rounds 5`; `--quick` takes a tenth of the files.

mod harness;

fn main() -> std::process::ExitCode {
    harness::run(&["cache"])
}
