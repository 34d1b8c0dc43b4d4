//! `kiln bench boot` with the optimised kiln: `cargo bench --bench boot -- --rounds 5 --phases`.

mod kiln;

fn main() -> std::process::ExitCode {
    kiln::bench(&["boot"])
}
