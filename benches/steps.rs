//! The cost of a step, by `kiln bench build`: `cargo bench --bench steps -- --rounds 5`.

mod harness;

fn main() -> std::process::ExitCode {
    harness::run(&["build", "--only", "steps"])
}
