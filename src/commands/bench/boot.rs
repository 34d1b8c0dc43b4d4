//! `kiln bench boot`.

use anyhow::Result;

use super::measure::{Lines, directory, guarded, measure};
use crate::{
    bench::{Boot, BootOptions},
    cli::BenchArgs,
    commands::waiting::Volume,
    env::Env,
    home::Home,
    plan::AcceleratorOption,
};

/// Measures the cold start.
pub(super) async fn run(
    args: &BenchArgs,
    phases: bool,
    accelerator: AcceleratorOption,
    env: &Env,
    volume: Volume,
) -> Result<u8> {
    let home = Home::find(env)?;
    let directory = directory(args)?;
    let mut lines = Lines::new(volume);
    guarded(async |spawner| {
        let options = BootOptions { phases, accelerator };
        let mut suite = Boot::new(env, &home, spawner, directory, options).await?;
        if let Some(why) = suite.left_out() {
            lines.say(why.into());
        }
        measure(&mut suite, args, vec![("phases".into(), phases.to_string())], &mut lines).await
    })
    .await
}
