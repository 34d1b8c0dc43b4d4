//! The libraries that kiln's program needs: those that every machine with the C library has.

use std::process::Command;

/// The C library's own, and the compiler's.
const EVERYWHERE: [&str; 6] = [
    "linux-vdso.so.1",
    "libgcc_s.so.1",
    "libc.so.6",
    "libm.so.6",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
];

#[test]
fn the_program_needs_no_library_that_a_machine_may_lack() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_kiln")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let needed: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(needed.contains(&"libc.so.6"), "{text}");
    let others: Vec<&&str> = needed.iter().filter(|library| !EVERYWHERE.contains(library)).collect();
    assert!(others.is_empty(), "{others:?}: {text}");
}
