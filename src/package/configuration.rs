//! `.melange.yaml`: the compiled configuration of a build, which every package of it carries. Pure.
//!
//! The plan has it as JSON with melange's names; here it becomes the YAML that melange writes, so that `melange rebuild` and
//! other readers of packages understand it.

mod shape;
mod yaml;

use serde_json::Value;

/// The text of `.melange.yaml`.
///
/// `configuration` is that of [`crate::plan::BuildMetadata`]. `packages` are those of the guest, as `name=version`; they stand in
/// the place of the requested ones. `hide` replaces secrets in a text.
pub fn text(configuration: &Value, packages: &[String], hide: &dyn Fn(&str) -> String) -> String {
    let mut document = shape::as_written(configuration, packages);
    hide_in(&mut document, hide);
    yaml::text(&document)
}

fn hide_in(value: &mut Value, hide: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = hide(text),
        Value::Array(values) => values.iter_mut().for_each(|value| hide_in(value, hide)),
        Value::Object(fields) => fields.values_mut().for_each(|value| hide_in(value, hide)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
