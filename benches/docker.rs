//! The overhead of kiln over docker, by `kiln bench build`: `cargo bench --bench docker -- --rounds 20`.

mod harness;

fn main() -> std::process::ExitCode {
    harness::run(&["build", "--only", "docker"])
}
