//! `kiln bench io`.

use anyhow::Result;
use clap::{Args, FromArgMatches};

use super::measure::{Lines, directory, guarded, measure};
use crate::{
    bench::io::{
        Available, Guests, IoSuite, Online, Scale, Selection, available, matching, packages, scenarios,
    },
    build::check_packages,
    cli::{BenchArgs, IoArgs, MachineArgs},
    commands::{
        guest::recipe_of_bare,
        host_settings::{host_settings, slirp},
        waiting::Volume,
    },
    env::Env,
    home::Home,
    image::{Store, locate},
    plan::{ImageRecipe, ImageReference, RunnerKind, check_memory},
    process::Spawner,
};

/// Rounds with `--quick`, with which a round of all shares takes half of the time.
const QUICK_ROUNDS: u32 = 1;

/// Compares shares.
pub(super) async fn run(args: &BenchArgs, io: &IoArgs, env: &Env, volume: Volume) -> Result<u8> {
    let home = Home::find(env)?;
    let out_dir = directory(args)?;
    let mut lines = Lines::new(volume);
    let scale = if args.quick { Scale::Quick } else { Scale::Full };
    let mut chosen_scenarios = scenarios(scale)?;
    if let Some(pattern) = &io.scenarios {
        chosen_scenarios = matching(chosen_scenarios, pattern)?;
    }
    let image = ImageReference::parse(&format!("debian:bookworm+{}", packages(&chosen_scenarios).join(",")))?;
    guarded(async |spawner| {
        let guests = Guests {
            env,
            home: &home,
            spawner,
            recipe: recipe_of_bare()?,
            image: image.clone(),
            accelerator: io.accel,
            memory: io.memory.map(|size| check_memory(size, RunnerKind::Qemu)).transpose()?,
            cpus: io.cpu,
            online: online(env)?,
            kernel_arguments: env.text("QEMU_KERNEL_CMDLINE")?.unwrap_or_default(),
        };
        let Available { shares, left_out } = available(&guests, &io.shares, out_dir).await?;
        left_out.into_iter().for_each(|text| lines.say(text));
        make_image(image, env, &home, spawner, &mut lines).await?;
        lines.say("making the files that all guests work with, in a first guest".into());
        let selection = Selection { shares, scenarios: chosen_scenarios, scale };
        let mut suite = IoSuite::prepare(guests, selection, out_dir).await?;
        suite.take_gaps().into_iter().for_each(|text| lines.say(text));
        let args = BenchArgs { rounds: args.rounds.or(args.quick.then_some(QUICK_ROUNDS)), ..args.clone() };
        let chosen = vec![
            ("shares".into(), io.shares.join(",")),
            ("scenarios".into(), io.scenarios.clone().unwrap_or_default()),
        ];
        measure(&mut suite, &args, chosen, &mut lines).await?;
        suite.take_gaps().into_iter().for_each(|text| lines.say(text));
        Ok(())
    })
    .await
}

/// The certificates and proxies of a build without flags.
fn online(env: &Env) -> Result<Online> {
    let matches = MachineArgs::augment_args(clap::Command::new("kiln")).try_get_matches_from(["kiln"])?;
    let args = MachineArgs::from_arg_matches(&matches)?;
    Ok(Online { host_settings: host_settings(&args, env)?, slirp: slirp(env)? })
}

/// Makes the image of all guests where the store does not have it, and says beforehand that this takes a time of its own.
async fn make_image(
    reference: ImageReference,
    env: &Env,
    home: &Home,
    spawner: &Spawner,
    lines: &mut Lines,
) -> Result<()> {
    let store = Store::open(home, env)?;
    let recipe = ImageRecipe::new(locate(reference)?, "amd64")?;
    if store.find(&recipe)?.is_none() {
        lines.say("the image of the guests is made first: one to five minutes, once, besides the time of the benchmark".into());
    }
    check_packages(&store, &recipe, &[], spawner, lines.sink()).await?;
    store.ensure(&recipe, spawner, lines.sink()).await?;
    Ok(())
}
