//! Probes of this machine, with the real programs.

use std::{fs, path::PathBuf};

use kiln::{
    backend::qemu::{accelerator, probe::Qemu},
    env::Env,
    home::Home,
    host::Host,
    plan::{Accelerator, AcceleratorOption},
    process::Spawner,
    rundir::{self, RunDir},
};

use crate::{process::spawner, skip::skip};

/// A kernel to probe the accelerator with.
const VMLINUX: &str = "KILN_TEST_VMLINUX";

async fn qemu(spawner: &Spawner) -> Option<Qemu> {
    match Qemu::find(&Env::of_process(), spawner, &Host::probe().arch).await {
        Ok(qemu) => Some(qemu),
        Err(why) => {
            skip(&format!("{why:#}"));
            None
        }
    }
}

#[tokio::test]
async fn qemu_has_a_version_and_firmware() {
    let Some(qemu) = qemu(&spawner()).await else { return };
    assert!(qemu.version > (4, 0, 0), "{qemu:?}");
    assert!(qemu.firmware.is_none_or(|path| path.is_file()));
}

#[tokio::test]
async fn the_accelerator_is_probed_once() {
    let spawner = spawner();
    let Some(qemu) = qemu(&spawner).await else { return };
    let Some(vmlinux) = std::env::var_os(VMLINUX).map(PathBuf::from) else {
        return skip(&format!("{VMLINUX} names no kernel"));
    };
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path());
    let verdict =
        accelerator::choose(AcceleratorOption::Auto, &home, &spawner, &qemu, &vmlinux).await.unwrap();
    assert_eq!(verdict.why.is_some(), verdict.accelerator == Accelerator::Tcg, "{verdict:?}");
    // The second time nothing is started: a kernel that does not exist is not missed.
    let again = accelerator::choose(AcceleratorOption::Auto, &home, &spawner, &qemu, "/no/kernel".as_ref())
        .await
        .unwrap();
    assert_eq!(again, verdict);
    let wished =
        accelerator::choose(AcceleratorOption::Kvm, &home, &spawner, &qemu, "/no/kernel".as_ref()).await;
    assert_eq!(wished.is_ok(), verdict.accelerator == Accelerator::Kvm);
}

#[tokio::test]
async fn a_run_directory_goes_with_its_run_unless_it_is_kept() {
    let spawner = spawner();
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path());
    let run = RunDir::create(&home, &spawner).unwrap();
    let path = run.path().to_owned();
    fs::write(run.dir("deep").unwrap().join("file"), "").unwrap();
    assert_eq!(rundir::sweep(&home).unwrap(), Vec::<PathBuf>::new(), "it is in use");
    drop(run);
    assert!(!path.exists());

    let run = RunDir::create(&home, &spawner).unwrap();
    fs::write(run.path().join("log"), "text").unwrap();
    let kept = run.keep().unwrap();
    assert_eq!(rundir::sweep(&home).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_to_string(kept.join("log")).unwrap(), "text");

    let abandoned = dir.path().join("run/123-old");
    fs::create_dir(&abandoned).unwrap();
    assert_eq!(rundir::sweep(&home).unwrap(), std::slice::from_ref(&abandoned));
    assert!(!abandoned.exists());
}
