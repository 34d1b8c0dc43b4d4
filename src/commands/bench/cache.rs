//! `kiln bench cache`.

use anyhow::Result;

use super::measure::{Lines, directory, guarded, measure};
use crate::{
    bench::{Cache, CacheSizes},
    cli::BenchArgs,
    commands::waiting::Volume,
    env::Env,
};

/// Measures commits and merges.
pub(super) async fn run(args: &BenchArgs, env: &Env, volume: Volume) -> Result<u8> {
    let directory = directory(args)?;
    let sizes = if args.quick { CacheSizes::QUICK } else { CacheSizes::FULL };
    let mut lines = Lines::new(volume);
    guarded(async |spawner| {
        let files: usize = sizes.caches.iter().sum();
        lines.say(format!("fills caches with {files} files, which may take a minute"));
        let mut suite = Cache::new(env, spawner, directory, sizes).await?;
        if let Some(why) = suite.left_out() {
            lines.say(why.into());
        }
        measure(&mut suite, args, Vec::new(), &mut lines).await
    })
    .await
}
