use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::manifest::{
    Source,
    yaml::{self, Node, Value as Read},
};

/// The tree that kiln's own reader makes of a text; all scalars as text.
fn read_back(text: &str) -> Value {
    let source = Source::new(std::path::Path::new("a.yaml"), text);
    let document = yaml::read(text, &source).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    assert!(document.repeated.is_empty(), "{text}");
    value(&document.root.expect("it has content"))
}

fn value(node: &Node<'_>) -> Value {
    match &node.value {
        Read::Scalar(scalar) if scalar.is_null() => Value::Null,
        Read::Scalar(scalar) => json!(scalar.text),
        Read::Sequence(items) => items.iter().map(value).collect(),
        Read::Mapping(pairs) => {
            let pairs = pairs.iter().map(|(key, of)| (key.text().expect("a text").into_string(), value(of)));
            Value::Object(pairs.collect())
        }
    }
}

/// Texts of signs that mean something in YAML, and of characters that a reader may refuse.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[-?:,\\[\\]{}#&*!|>'\"%@`~=<.]",
        "[ \t\n\r]{1,3}",
        Just("- x".to_owned()),
        Just(": ".to_owned()),
        Just("---\n".to_owned()),
        Just("\u{85}".to_owned()),
        Just("\u{2028}".to_owned()),
        Just("\u{feff}".to_owned()),
        "[\u{0}-\u{1f}]",
        "[a-z0-9]{1,3}",
        "\\PC",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(keys in proptest::collection::btree_set(hostile(), 1..4), text in hostile()) {
        let nested: serde_json::Map<String, Value> =
            keys.iter().map(|key| (key.clone(), json!({ "list": [text, [key], { "k": text }] }))).collect();
        let tree = json!({ "of": nested, "text": text });
        prop_assert_eq!(read_back(&yaml_text(&tree)), tree);
    }
}

fn yaml_text(tree: &Value) -> String {
    super::yaml::text(tree)
}

#[test]
fn secrets_are_replaced_before_a_text_is_quoted() {
    let tree = json!({"environment": {"environment": {"TOKEN": "a: hunter2", "HOME": "/"}}});
    let hide = |text: &str| text.replace("hunter2", "***");
    assert_eq!(text(&tree, &[], &hide), "environment:\n  environment:\n    TOKEN: 'a: ***'\n    HOME: /\n");
}
