//! The fields of a build file by melange's names: `.Package.TargetArchitecture` is the key `target-architecture`.

use serde_json::Value;

/// Names in Go that are not those of the keys, without signs between words.
const ALIASES: [(&str, &str); 6] = [
    ("githubmonitor", "github"),
    ("gitmonitor", "git"),
    ("ocimonitor", "oci"),
    ("versiondatamonitor", "versiondata"),
    ("usetags", "usetag"),
    ("workdir", "workingdirectory"),
];

/// Lists that a file need not have.
const LISTS: [&str; 20] = [
    "targetarchitecture",
    "copyright",
    "paths",
    "runtime",
    "provides",
    "replaces",
    "disabled",
    "setcap",
    "subpackages",
    "vartransforms",
    "buildrepositories",
    "repositories",
    "keyring",
    "packages",
    "users",
    "groups",
    "members",
    "archs",
    "volumes",
    "add",
];

/// Texts, maps and sections that a file need not have.
const OTHERS: [&str; 57] = [
    "description",
    "annotations",
    "url",
    "commit",
    "dependencies",
    "options",
    "scriptlets",
    "checks",
    "cpe",
    "timeout",
    "resources",
    "testresources",
    "attestation",
    "licensepath",
    "detectionoverride",
    "providerpriority",
    "replacespriority",
    "noprovides",
    "nodepends",
    "nocommands",
    "noversionedshlibdeps",
    "trigger",
    "script",
    "preinstall",
    "postinstall",
    "predeinstall",
    "postdeinstall",
    "preupgrade",
    "postupgrade",
    "part",
    "vendor",
    "product",
    "edition",
    "language",
    "swedition",
    "targetsw",
    "targethw",
    "other",
    "cpu",
    "cpumodel",
    "memory",
    "disk",
    "reason",
    "contents",
    "accounts",
    "runas",
    "shell",
    "homedir",
    "environment",
    "test",
    "update",
    "vars",
    "manual",
    "if",
    "capabilities",
    "excludereason",
    "schedule",
];

/// The value of a field; a field that is not there has an empty one. `None` if there is no such field.
pub(super) fn field(of: &Value, name: &str) -> Option<Value> {
    let plain = normal(name);
    let plain = ALIASES.iter().find(|(go, _)| *go == plain).map_or(plain.as_str(), |(_, key)| *key);
    let fields = of.as_object()?;
    if plain == "fullversion" {
        let text = |key: &str| fields.get(key).map(shown);
        return Some(Value::String(format!("{}-r{}", text("version")?, text("epoch")?)));
    }
    if let Some(value) = fields.iter().find(|(key, _)| normal(key) == plain).map(|(_, value)| value.clone()) {
        return Some(value);
    }
    if LISTS.contains(&plain) {
        return Some(Value::Array(Vec::new()));
    }
    OTHERS.contains(&plain).then(|| Value::String(String::new()))
}

fn normal(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

/// A value as Go's templates print it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let pairs: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key}:{}", shown(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// Whether a condition holds for a value, as in Go: nothing, zero and what is empty do not.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}
