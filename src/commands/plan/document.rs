//! A plan for machines: `kiln plan --json`. Keys are those of the types in [`crate::plan`]; durations are in milliseconds.

use std::{ffi::OsString, time::Duration};

use serde_json::{Value, json};

use crate::{
    compile::Origin,
    plan::{Plan, PlannedStep},
};

/// The document. Strings in which `hide` finds a secret are shown without it.
pub(super) fn document(
    plan: &Plan,
    notes: &[String],
    command_lines: &[Vec<OsString>],
    hide: &dyn Fn(&str) -> String,
) -> Value {
    // Taken apart so that a new field cannot be forgotten here.
    let Plan {
        package,
        arch,
        image,
        platform,
        resources,
        network,
        source,
        cache,
        owner,
        guest_config,
        host_settings,
        steps,
        artifacts,
        metadata,
        out_dir,
        build_date,
        build_ids,
        boot_timeout,
        timeout,
        notes: _,
    } = plan;
    let mut document = json!({
        "package": package,
        "arch": arch,
        "runner": plan.runner().name(),
        "image": image,
        "platform": platform,
        "resources": resources,
        "network": network,
        "source": source,
        "cache": cache,
        "owner": owner,
        "certificates": host_settings.certificates.as_ref().map(|from| from.path()),
        "proxies": host_settings.proxies,
        "secrets": host_settings.secrets,
        "relayed_ports": host_settings.relayed(plan.runner()),
        "mounts": guest_config.mounts,
        "limits": guest_config.limits,
        "capabilities": guest_config.capabilities,
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
        "artifacts": artifacts,
        "metadata": metadata,
        "out_dir": out_dir,
        "build_date": build_date,
        "build_ids": build_ids,
        "boot_timeout_ms": milliseconds(*boot_timeout),
        "timeout_ms": timeout.map(milliseconds),
        "notes": notes,
        "command_lines": texts(command_lines),
    });
    replace_strings(&mut document, hide);
    document
}

fn texts(command_lines: &[Vec<OsString>]) -> Vec<Vec<String>> {
    let words = |line: &Vec<OsString>| line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    command_lines.iter().map(words).collect()
}

fn step(planned: &PlannedStep) -> Value {
    let PlannedStep { name, package, origin, used_at, step, fragment, directory } = planned;
    let environment: serde_json::Map<String, Value> =
        step.env.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "index": step.index,
        "name": name,
        "package": package,
        "written_at": place(origin),
        "used_at": used_at.as_ref().map(place),
        "directory": directory,
        "user": step.user,
        "argv": step.argv,
        "files": step.files,
        "environment": environment,
        "runs": fragment,
        "timeout_ms": step.timeout_ms,
    })
}

fn place(Origin { file, line, column }: &Origin) -> Value {
    json!({ "file": file.to_string_lossy(), "line": line, "column": column })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn replace_strings(value: &mut Value, hide: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = hide(text),
        Value::Array(values) => values.iter_mut().for_each(|value| replace_strings(value, hide)),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace_strings(value, hide)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
