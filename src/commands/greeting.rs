//! The line that describes a guest to the person at its terminal: image, user, cache, and how to leave it. Pure.

use kiln_protocol::{Step, User};

use crate::{
    plan::{CACHE, InteractiveCommand, Plan},
    report,
};

/// The line about this guest.
pub(super) fn greeting(plan: &Plan, step: &Step, command: &InteractiveCommand) -> String {
    let image = report::name(&plan.image.to_string());
    let (user, directory) = (user(&step.user), &step.cwd);
    let source = plan.source.as_ref().map_or_else(String::new, |source| {
        format!(" (a copy of {})", report::name(&source.display().to_string()))
    });
    let leave = match command {
        InteractiveCommand::Shell => "leave with `exit` or Ctrl-D",
        InteractiveCommand::Command(_) => "ends with the command",
    };
    let (cache, kept) = cache(plan);
    format!("{image} in {}: {user} in {directory}{source}, {cache}; {leave}; {kept}", runner(plan))
}

fn runner(plan: &Plan) -> String {
    let name = plan.runner().name();
    match plan.platform.machine() {
        Some(machine) => format!("{name} ({})", machine.accelerator),
        None => name.into(),
    }
}

fn user(user: &User) -> String {
    match user {
        User::Root => "root".into(),
        User::Name(name) => report::name(name),
        User::Uid(uid) => format!("uid {uid}"),
    }
}

/// The cache with its mode, and the part of the guest that is kept.
fn cache(plan: &Plan) -> (String, String) {
    let Some(cache) = &plan.cache else { return ("no cache".into(), "nothing is kept".into()) };
    let directory = report::name(&cache.directory.display().to_string());
    let kept = if cache.writes_through() {
        format!("only what is written to {CACHE} is kept")
    } else {
        "nothing is kept".into()
    };
    (format!("cache {directory} ({})", cache.mode.name()), kept)
}
