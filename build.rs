//! Builds the agent, `guest-init`, as a static program for the architecture that kiln is built for, so that the one
//! binary of kiln holds it. `src/guest.rs` embeds the result.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

/// What the agent is made of, besides this file.
const SOURCES: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml",
    "guest-init/Cargo.toml",
    "guest-init/src",
    "guest-init/protocol/Cargo.toml",
    "guest-init/protocol/src",
    "guest-init/reads/Cargo.toml",
    "guest-init/reads/src",
];

/// Variables through which the build that runs us (a check by clippy, a cross build, coverage) would change the agent's.
const FOREIGN: [&str; 12] = [
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_LINKER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "CLIPPY_ARGS",
    "CLIPPY_CONF_DIR",
    "LLVM_PROFILE_FILE",
    "TARGET",
    "HOST",
    "PROFILE",
];

/// Variables of cargo's that say where and how crates are had, and how many jobs may run; all others are about us.
const KEPT: [&str; 6] =
    ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_MAKEFLAGS"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    match static_target().and_then(|target| Ok((build_agent(&target)?, target.name))) {
        Ok((agent, target)) => {
            println!("cargo::rustc-env=KILN_AGENT={}", agent.display());
            println!("cargo::rustc-env=KILN_AGENT_TARGET={target}");
        }
        // An error ends at its line's end.
        Err(error) => error.to_string().lines().for_each(|line| println!("cargo::error={line}")),
    }
}

/// A target, and the flags that make its programs static.
struct Target {
    name: String,
    rustflags: &'static str,
}

/// musl where its std is installed, glibc linked statically elsewhere.
fn static_target() -> Result<Target, Box<dyn Error>> {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let musl = format!("{architecture}-unknown-linux-musl");
    if has_std(&musl)? {
        return Ok(Target { name: musl, rustflags: "" });
    }
    let gnu = format!("{architecture}-unknown-linux-gnu");
    if has_std(&gnu)? {
        return Ok(Target { name: gnu, rustflags: "-Ctarget-feature=+crt-static" });
    }
    Err(format!("rust's std is installed for neither {musl} nor {gnu}: rustup target add {musl}").into())
}

fn has_std(target: &str) -> Result<bool, Box<dyn Error>> {
    let output =
        Command::new(env::var("RUSTC")?).args(["--print", "target-libdir", "--target", target]).output()?;
    // A target that the compiler does not know is an error of its own, and no std either.
    Ok(output.status.success() && Path::new(String::from_utf8(output.stdout)?.trim_end()).is_dir())
}

fn build_agent(target: &Target) -> Result<PathBuf, Box<dyn Error>> {
    let Target { name, rustflags } = target;
    // A directory of its own: that of the build that runs us is locked until we have ended.
    let directory = Path::new(&env::var("OUT_DIR")?).join("guest");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.args(["build", "--package", "guest-init", "--profile", "guest", "--locked", "--target", name]);
    cargo.arg("--target-dir").arg(&directory).current_dir(env::var("CARGO_MANIFEST_DIR")?);
    for (variable, _) in env::vars_os() {
        let variable = variable.to_string_lossy();
        let foreign = variable.starts_with("CARGO") && !KEPT.iter().any(|kept| variable.starts_with(kept));
        if foreign || FOREIGN.contains(&variable.as_ref()) {
            cargo.env_remove(variable.as_ref());
        }
    }
    // Set even when empty: so no configuration file adds flags of its own.
    let output = cargo.env("RUSTFLAGS", rustflags).output()?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("build the agent for {name}: {}\n{messages}", output.status).into());
    }
    Ok(directory.join(name).join("guest/guest-init"))
}
