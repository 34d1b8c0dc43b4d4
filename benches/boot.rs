//! `kiln bench boot` with the optimised kiln: `cargo bench --bench boot -- --rounds 5 --phases`.

mod harness;

fn main() -> std::process::ExitCode {
    harness::run(&["boot"])
}
