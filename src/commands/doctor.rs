//! `kiln doctor`: the abilities of this host, the missing parts, and the command that installs each.
//!
//! It changes nothing but the recorded verdict on the accelerator, unless `--fix` installs the missing parts ([`fix`]). Each probe
//! has a deadline.

mod backends;
mod examine;
mod finding;
mod fix;
mod isolation;
mod rights;
mod tools;

use anyhow::Result;

pub use examine::{Examination, examine};
pub use finding::{Finding, State, as_json, as_text, can_build};
pub use isolation::Isolation;

use crate::{
    cli::DoctorArgs, env::Env, exit::Code, home::Home, host::Host, image::Kernel, process::Spawner, report,
};

/// Examines this host, installs missing parts with `--fix`, and prints the findings.
pub(super) async fn run(args: &DoctorArgs, env: &Env) -> Result<Code> {
    let home = Home::find(env)?;
    let host = Host::probe();
    let spawner = Spawner::start()?;
    let examination = Examination { env, home: &home, host: &host, spawner: &spawner };
    let mut findings = examine(&examination, Kernel::find(&home, env)).await;
    let parts = fix::parts(&findings);
    let mut fixed = Ok(());
    if args.fix && !parts.is_empty() {
        fixed = fix::set_up(&spawner, &parts).await;
        findings = examine(&examination, Kernel::find(&home, env)).await;
    }
    spawner.finish()?;
    report::print(&if args.json { as_json(&findings) + "\n" } else { as_text(&findings) })?;
    fixed?;
    Ok(if can_build(&findings) { Code::Success } else { Code::Host })
}
