//! Templates: guests that were booted once and saved, from which builds start in a fraction of the time of a boot.
//!
//! ```text
//! no template:  boot -> Hello -> save (memory in a file, state of the devices)  \
//!                                                                                restore with the build's devices -> Prepare
//! a template:  ----------------------------------------------------------------/
//! ```
//!
//! A microvm cannot hot-plug, so a template has transports without devices ([`ssdt`](super::ssdt)), to which a restored guest finds
//! the devices of its build: they are on the command line of its QEMU, and the saved state does not mention them.
//!
//! The first build of a kind makes the template and is restored from it, like all others: nothing runs on when kiln has ended.

mod make;
mod restore;
mod store;

use std::ffi::OsString;

use anyhow::Result;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

pub(super) use restore::{copy_of_memory, resume, state};
pub use store::{Listed, Template, Templates};

use self::{
    make::{Making, Unfit},
    store::Known,
};
use super::tsc;
use crate::{
    event::{Event, Sink},
    exit::Failure,
    host,
    plan::{Plan, StartOption},
    process::Spawner,
};

/// Part of every key: to be raised when templates are made differently.
const FORMAT: &str = "kiln template 1";

/// The command line of a template and the identity of its emulator.
pub(super) struct Origin<'a> {
    /// The identity of QEMU's file: its device has another number in each start of a container.
    pub(super) qemu: [i64; 4],
    /// How many PCI slots the guest has, for devices that are plugged in.
    pub(super) slots: u32,
    /// Makes QEMU's command line for a path of the memory.
    pub(super) argv: &'a dyn Fn(&std::path::Path) -> Vec<OsString>,
}

impl Origin<'_> {
    /// The name of the template: all that it depends on. The kernel and the initramfs are named by what they were made from.
    pub(super) fn key(&self) -> Result<String> {
        let mut hash = Sha256::new_with_prefix(FORMAT);
        hash.update(format!("\0{:?}\0{}\0{}\0", self.qemu, host::boot_id()?, tsc::processor()?));
        for word in (self.argv)(std::path::Path::new("memory")) {
            hash.update(word.as_encoded_bytes());
            hash.update([0]);
        }
        Ok(HEXLOWER.encode(&hash.finalize()))
    }
}

/// The template for a guest; made if it is missing. `None` if the guest boots instead.
///
/// # Errors
/// With `--start warm`, the reason for which there is no template; a signal.
pub(super) async fn obtain(
    templates: &Templates,
    origin: &Origin<'_>,
    plan: &Plan,
    start: StartOption,
    spawner: &Spawner,
    sink: &mut dyn Sink,
) -> Result<Option<Template>> {
    let obtained = match templates.is_in_memory()? {
        // There a guest that writes to its private memory fills the holes of the template's file.
        true => Ok(Err(Unfit("kiln's home is a file system in memory".into()))),
        false => find_or_make(templates, origin, plan, start, spawner, sink).await,
    };
    match (start, obtained) {
        (StartOption::Warm, Ok(Err(Unfit(why)))) => Err(not_possible(&why)),
        (StartOption::Warm, Err(error)) => Err(error),
        (_, Ok(Ok(template))) => Ok(Some(template)),
        (_, Ok(Err(Unfit(why)))) => {
            tracing::debug!(why, "the guest boots");
            Ok(None)
        }
        (_, Err(error)) => {
            sink.emit(Event::Note {
                text: format!("the guest boots, since there is no template: {error:#}"),
            });
            Ok(None)
        }
    }
}

/// The failure of `--start warm` where the guest can only boot.
pub(super) fn not_possible(why: &str) -> anyhow::Error {
    Failure::host(format!("--start warm is not possible: {why}"), "Leave --start out, and the guest boots.")
        .into()
}

async fn find_or_make(
    templates: &Templates,
    origin: &Origin<'_>,
    plan: &Plan,
    start: StartOption,
    spawner: &Spawner,
    sink: &mut dyn Sink,
) -> Result<Result<Template, Unfit>> {
    let key = origin.key()?;
    if let Some(known) = known(templates, &key, start)? {
        return Ok(known);
    }
    let Some(_lock) = templates.lock(&key)? else {
        return Ok(Err(Unfit("another kiln makes this template now".into())));
    };
    // It may have been made while the lock was taken.
    if let Some(known) = known(templates, &key, start)? {
        return Ok(known);
    }
    let directory = templates.new_directory(&key)?;
    let argv = (origin.argv)(&directory.path().join("memory"));
    let making = Making {
        spawner,
        directory: directory.path().to_owned(),
        argv,
        slots: origin.slots,
        boot_limit: plan.boot_timeout,
    };
    match making.make().await {
        Ok(Ok(())) => {}
        // What fails once fails again, and costs each build a boot.
        Ok(Err(Unfit(why))) => {
            templates.refuse(&key, &why)?;
            return Ok(Err(Unfit(why)));
        }
        Err(error) => {
            templates.refuse(&key, &format!("{error:#}"))?;
            return Err(error);
        }
    }
    let description = description(plan);
    let template = templates.take(&key, &directory, &description)?;
    sink.emit(Event::Note {
        text: format!("made a template of a guest with {description}: builds start from it"),
    });
    Ok(Ok(template))
}

/// With `--start warm` a template is tried again, whatever was against it before.
fn known(templates: &Templates, key: &str, start: StartOption) -> Result<Option<Result<Template, Unfit>>> {
    Ok(match templates.find(key)? {
        Known::Ready(template) => Some(Ok(template)),
        Known::Refused(why) if start != StartOption::Warm => Some(Err(Unfit(why))),
        Known::Refused(_) | Known::Unknown => None,
    })
}

fn description(plan: &Plan) -> String {
    let processors = match plan.resources.cpus {
        1 => "1 processor".into(),
        count => format!("{count} processors"),
    };
    format!("{} MiB and {processors}", plan.resources.memory_mib)
}
