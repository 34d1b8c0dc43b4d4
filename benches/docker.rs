//! The overhead of kiln over docker: a build of one step `true` with `--runner docker`, against `docker run --rm` of a `true` in the same
//! root image. Whole commands, side by side; a sample that fails ends it.
//!
//! `cargo bench --bench docker -- --runs 20`
//!
//! Both have docker's default network. The build has a source directory and a cache besides (an overlay, and three bind
//! mounts; there is a file in the cache, so that reads of it are counted), runs its step as its own user, and writes a
//! package; the bare container has none of that.

#[path = "measure/command.rs"]
mod command;
mod measure;

use std::{fs, path::Path, process::Command};

use command::sample;
use kiln::{env::Env, home::Home, image::Store};
use measure::{Series, report, runs};

/// The root of a build file that names none.
const IMAGE: &str = "debian:bookworm";

fn build(directory: &Path) -> Command {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.current_dir(directory).args(["build", "--runner", "docker", "--progress", "quiet", "true.yaml"]);
    kiln
}

fn bare(id: &str) -> Command {
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--pull", "never", "--entrypoint", "/bin/true", id]);
    docker
}

/// docker's copy of the store's image, which a build has made.
fn imported() -> String {
    let env = Env::of_process();
    let home = Home::find(&env).expect("kiln has a home");
    let images = Store::open(&home, &env).and_then(|store| store.list()).expect("the store can be listed");
    let is_root = |image: &&kiln::image::Image| image.record.recipe.to_string() == IMAGE;
    let root = images.iter().find(is_root).expect("a build has made the root");
    let label = format!("label=kiln.image={}-{}", root.key, root.record.made);
    let output = Command::new("docker")
        .args(["image", "ls", "--all", "--quiet", "--no-trunc", "--filter", &label])
        .output()
        .expect("docker can be started");
    let id = String::from_utf8(output.stdout).expect("ids are ASCII").trim().to_owned();
    assert!(!id.is_empty(), "docker has no image with {label}");
    id
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = "package:\n  name: nothing\n  version: \"1\"\n  epoch: 0\npipeline:\n  - runs: \"true\"\n";
    fs::write(directory.path().join("true.yaml"), file).expect("the build file can be written");
    let cache = directory.path().join("melange-cache");
    fs::create_dir(&cache)
        .and_then(|()| fs::write(cache.join("kept"), "x"))
        .expect("the cache can be filled");
    // It makes the image, imports it, and finds out what is found out once.
    sample(&mut build(directory.path()));
    let id = imported();
    let mut series = [Series::new("bare docker run"), Series::new("kiln build")];
    for round in 0..=runs(10) {
        let took = [sample(&mut bare(&id)), sample(&mut build(directory.path()))];
        if round > 0 {
            series.iter_mut().zip(took).for_each(|(one, seconds)| one.seconds.push(seconds));
        }
    }
    report("docker", &series);
}
