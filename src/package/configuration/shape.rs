//! From the JSON form of a configuration to its YAML form: Go writes the two differently.
//!
//! In YAML, empty sections are left out, the fields of accounts are all written, and a duration is a text.

use serde_json::{Map, Value, json};

/// Sections that are written even when they are empty: in melange they are pointers.
const KEPT_EMPTY: [&str; 13] = [
    "resources",
    "test-resources",
    "options",
    "scriptlets",
    "needs",
    "assertions",
    "release-monitor",
    "github",
    "git",
    "oci",
    "version_data",
    "schedule",
    "baseimage",
];

/// The names of build options, `environment`, `contents`, `packages`, and `add` or `remove`.
const OPTION_LEVELS: usize = 5;

/// The document, with the packages of the guest in the place of the requested ones.
pub(super) fn as_written(configuration: &Value, packages: &[String]) -> Value {
    let mut root = configuration.as_object().cloned().unwrap_or_default();
    if let Some(package) = object(&mut root, "package") {
        duration(package);
    }
    if let Some(environment) = object(&mut root, "environment") {
        // melange locks the environment without it.
        environment.shift_remove("vcs-url");
        locked(environment, packages);
        accounts(environment, Home::Named);
        paths(environment);
    }
    update(&mut root);
    if let Some(options) = root.get_mut("options") {
        lower_keys(options, OPTION_LEVELS);
    }
    steps(&mut root);
    for subpackage in objects(&mut root, "subpackages") {
        steps(subpackage);
        test(subpackage);
    }
    test(&mut root);
    without_empty(Value::Object(root))
}

fn object<'v>(of: &'v mut Map<String, Value>, key: &str) -> Option<&'v mut Map<String, Value>> {
    of.get_mut(key).and_then(Value::as_object_mut)
}

fn objects<'v>(
    of: &'v mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    let list = of.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Nanoseconds become the text of Go's `Duration.String`.
fn duration(package: &mut Map<String, Value>) {
    if let Some(timeout) = package.get_mut("timeout")
        && let Some(nanoseconds) = timeout.as_u64()
    {
        *timeout = Value::String(go_duration(nanoseconds));
    }
}

fn go_duration(nanoseconds: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let fraction = |value: u64, unit: u64| {
        let digits = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
        digits.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanoseconds {
        0 => return "0s".into(),
        1..1_000 => return format!("{nanoseconds}ns"),
        1_000..1_000_000 => return format!("{}µs", fraction(nanoseconds, 1_000)),
        1_000_000..SECOND => return format!("{}ms", fraction(nanoseconds, 1_000_000)),
        _ => {}
    }
    let (minutes, rest) = (nanoseconds / (60 * SECOND), nanoseconds % (60 * SECOND));
    let seconds = fraction(rest, SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The packages of the guest, sorted. Without any, which is so in a root that has no such packages, the requested ones stay.
fn locked(environment: &mut Map<String, Value>, packages: &[String]) {
    if packages.is_empty() {
        return;
    }
    let mut sorted = packages.to_vec();
    sorted.sort();
    sorted.dedup();
    let contents = environment.entry("contents").or_insert_with(|| json!({}));
    if let Some(contents) = contents.as_object_mut() {
        // A new key goes to the end, before an image below the packages.
        let below = contents.shift_remove("baseimage");
        contents.insert("packages".into(), json!(sorted));
        contents.extend(below.map(|image| ("baseimage".to_owned(), image)));
    }
}

/// What stands for a home directory that a file does not name.
#[derive(Clone, Copy)]
enum Home {
    /// `/home/<name>`.
    Named,
    /// Nothing.
    Empty,
}

fn accounts(environment: &mut Map<String, Value>, home: Home) {
    let Some(accounts) = object(environment, "accounts") else { return };
    let given = std::mem::take(accounts);
    let list = |key: &str| given.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let users: Vec<Value> = list("users").iter().map(|user| account(user, home)).collect();
    let groups: Vec<Value> = list("groups").iter().map(group).collect();
    accounts.insert("run-as".into(), given.get("run-as").cloned().unwrap_or_else(|| json!("")));
    accounts.insert("users".into(), json!(users));
    accounts.insert("groups".into(), json!(groups));
}

fn account(user: &Value, home: Home) -> Value {
    let text = |key: &str| user.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, directory) = (text("username"), text("homedir"));
    let homedir = match home {
        Home::Named if directory.is_empty() => format!("/home/{name}"),
        Home::Named | Home::Empty => directory.to_owned(),
    };
    let mut written = Map::new();
    written.insert("username".into(), json!(name));
    written.insert("uid".into(), user.get("uid").cloned().unwrap_or(json!(0)));
    written.extend(user.get("gid").map(|gid| ("gid".to_owned(), gid.clone())));
    written.insert("shell".into(), json!(text("shell")));
    written.insert("homedir".into(), json!(homedir));
    Value::Object(written)
}

fn group(group: &Value) -> Value {
    json!({
        "groupname": group.get("groupname").unwrap_or(&json!("")),
        "gid": group.get("gid").unwrap_or(&json!(0)),
        "members": group.get("members").unwrap_or(&json!([])),
    })
}

fn paths(environment: &mut Map<String, Value>) {
    for path in objects(environment, "paths") {
        let given = std::mem::take(path);
        let defaults = [
            ("path", Some(json!(""))),
            ("type", Some(json!(""))),
            ("uid", None),
            ("gid", None),
            ("permissions", Some(json!(0))),
            ("source", Some(json!(""))),
            ("recursive", Some(json!(false))),
        ];
        for (key, default) in defaults {
            path.extend(given.get(key).cloned().or(default).map(|value| (key.to_owned(), value)));
        }
    }
}

/// `update` is left out where it says nothing, else its first three fields are always written.
fn update(root: &mut Map<String, Value>) {
    let Some(update) = object(root, "update") else { return };
    let mut given = std::mem::take(update);
    let is_set = |(key, value): (&String, &Value)| key != "enabled" || value == &Value::Bool(true);
    if !given.iter().any(is_set) {
        return;
    }
    for key in ["enabled", "manual", "require-sequential"] {
        let value = given.shift_remove(key).unwrap_or(Value::Bool(false));
        update.insert(key.into(), value);
    }
    update.append(&mut given);
}

fn test(of: &mut Map<String, Value>) {
    let Some(test) = object(of, "test") else { return };
    if let Some(environment) = object(test, "environment") {
        accounts(environment, Home::Empty);
        paths(environment);
    }
    steps(test);
}

/// Gives the fields of build options the names that they have in YAML. `levels` are those below this one.
fn lower_keys(value: &mut Value, levels: usize) {
    let Some(fields) = value.as_object_mut().filter(|_| levels > 0) else { return };
    for (key, mut field) in std::mem::take(fields) {
        let is_name = levels == OPTION_LEVELS;
        if is_name || key != "Vars" {
            lower_keys(&mut field, levels - 1);
        }
        fields.insert(if is_name { key } else { key.to_ascii_lowercase() }, field);
    }
}

/// The field of `needs` has a name of its own in JSON.
fn steps(of: &mut Map<String, Value>) {
    for step in objects(of, "pipeline") {
        if let Some(needs) = object(step, "needs")
            && let Some(packages) = needs.shift_remove("Packages")
        {
            needs.insert("packages".into(), packages);
        }
        steps(step);
    }
}

fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().map(|(key, value)| (key, without_empty(value)));
            let is_kept = |key: &str, value: &Value| {
                KEPT_EMPTY.contains(&key) || value.as_object().is_none_or(|fields| !fields.is_empty())
            };
            Value::Object(kept.filter(|(key, value)| is_kept(key, value)).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_empty).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_go_writes_it() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_100_000_000, "1.1s"),
            (300_000_000_000, "5m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_445_000_000_001, "1h30m45.000000001s"),
        ] {
            assert_eq!(go_duration(nanoseconds), text);
        }
    }

    #[test]
    fn an_update_that_says_nothing_is_left_out() {
        let written = |update: Value| as_written(&json!({ "update": update }), &[]);
        assert_eq!(written(json!({"enabled": false})), json!({}));
        assert_eq!(
            written(json!({"enabled": false, "git": {}})).to_string(),
            r#"{"update":{"enabled":false,"manual":false,"require-sequential":false,"git":{}}}"#
        );
    }

    #[test]
    fn build_options_keep_their_names_and_variables() {
        let option =
            json!({"Vars": {"Vars": "A"}, "Environment": {"Contents": {"Packages": {"Add": ["B"]}}}});
        let written = as_written(&json!({"options": {"Opt": option}}), &[]);
        let expected =
            json!({"vars": {"Vars": "A"}, "environment": {"contents": {"packages": {"add": ["B"]}}}});
        assert_eq!(written, json!({"options": {"Opt": expected}}));
    }

    #[test]
    fn the_packages_of_the_guest_replace_the_requested_ones() {
        let given = json!({"environment": {"contents": {"repositories": ["r"], "packages": ["b", "a"]}}});
        let locked = as_written(&given, &["b=2-r0".into(), "a=1-r0".into(), "b=2-r0".into()]);
        assert_eq!(locked["environment"]["contents"]["packages"], json!(["a=1-r0", "b=2-r0"]));
        assert_eq!(as_written(&given, &[])["environment"]["contents"]["packages"], json!(["b", "a"]));
    }
}
