//! `kiln bench build`.

use anyhow::Result;

use super::measure::{Lines, directory, guarded, measure};
use crate::{
    bench::{Build, BuildScenario, Wanted},
    cli::BenchArgs,
    commands::waiting::Volume,
    env::Env,
    home::Home,
    plan::AcceleratorOption,
};

/// Measures what kiln adds to its tools.
pub(super) async fn run(
    args: &BenchArgs,
    only: Vec<BuildScenario>,
    accelerator: AcceleratorOption,
    env: &Env,
    volume: Volume,
) -> Result<u8> {
    let home = Home::find(env)?;
    let directory = directory(args)?;
    let wanted = if only.is_empty() { Wanted::Possible } else { Wanted::These(only) };
    let mut lines = Lines::new(volume);
    guarded(async |spawner| {
        let options = (&wanted, accelerator);
        let mut suite = Build::new((env, &home), spawner, directory, options, lines.sink()).await?;
        let chosen = vec![("scenarios".into(), suite.names())];
        measure(&mut suite, args, chosen, &mut lines).await
    })
    .await
}
