//! `.melange.yaml` by its meaning: all scalars are texts, empty values are left out, packages are a set, and shell text has neither
//! comments nor blanks, since melange prints it anew and kiln does not.

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

pub(super) fn meaning(text: &str) -> Value {
    let events = Parser::new_from_str(text).map(|event| event.expect("it is YAML").0);
    let mut events = events.skip_while(|event| !matches!(event, Event::MappingStart(..)));
    let first = events.next().expect("it is a mapping");
    let mut value = node(first, &mut events);
    if let Some(package) = value["package"].as_object_mut() {
        package.remove("commit");
    }
    // A variable that only kiln sets.
    if let Some(variables) = value["environment"]["environment"].as_object_mut() {
        variables.remove("CARGO_HOME");
    }
    normal(&value).unwrap_or_default()
}

fn node<'t>(event: Event<'t>, events: &mut impl Iterator<Item = Event<'t>>) -> Value {
    match event {
        Event::Scalar(text, ..) => text.into_owned().into(),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            while let Some(event) = events.next().filter(|event| *event != Event::SequenceEnd) {
                list.push(node(event, events));
            }
            list.into()
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            while let Some(Event::Scalar(key, ..)) = events.next() {
                let value = events.next().expect("a key has a value");
                map.insert(key.into_owned(), node(value, events));
            }
            map.into()
        }
        other => panic!("{other:?} is not written"),
    }
}

fn normal(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            let pairs = map.iter().filter_map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    ("runs", Value::String(text)) => shell(text).into(),
                    ("packages", Value::Array(list)) => set(list),
                    _ => value.clone(),
                };
                Some((key.clone(), normal(&value)?))
            });
            let map: Map<String, Value> = pairs.collect();
            (!map.is_empty()).then(|| map.into())
        }
        Value::Array(list) => {
            let list: Vec<Value> = list.iter().filter_map(normal).collect();
            (!list.is_empty()).then(|| list.into())
        }
        Value::String(text) => (!text.is_empty()).then(|| value.clone()),
        other => Some(other.clone()),
    }
}

fn set(list: &[Value]) -> Value {
    let mut texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.into()
}

/// Shell text without comments, blanks and ends of commands.
fn shell(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let lines = lines.map(|line| line.split(" #").next().unwrap_or_default());
    lines.flat_map(str::chars).filter(|c| !c.is_whitespace() && *c != ';' && *c != '\\').collect()
}
