//! A tree as block YAML, as Go's yaml.v3 writes it with an indentation of two blanks: a string has quotes only where a reader
//! would take it for something else.

mod plain;

use serde_json::Value;

use plain::{Style, style};

/// The blanks of one level.
const INDENT: usize = 2;
/// The longest key that stands before its colon without a `?`: YAML's readers look ahead no further than 1,024 bytes.
const LONGEST_KEY: usize = 128;

/// The document. An empty map is the only text without a line break at its end that matters: it is `{}`.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(&mut out, fields, 0),
        Value::Array(values) if !values.is_empty() => sequence(&mut out, values, 0),
        scalar => after_key(&mut out, scalar, 0),
    }
    out
}

fn mapping(out: &mut String, fields: &serde_json::Map<String, Value>, indent: usize) {
    for (index, (key, value)) in fields.iter().enumerate() {
        // The first field of an item stands behind its dash.
        if index > 0 || !out.ends_with("- ") {
            pad(out, indent);
        }
        field(out, key, value, indent);
    }
}

fn field(out: &mut String, key: &str, value: &Value, indent: usize) {
    if key.len() > LONGEST_KEY {
        out.push_str("? ");
        quoted_or_plain(out, key);
        out.push('\n');
        pad(out, indent);
    } else {
        quoted_or_plain(out, key);
    }
    out.push(':');
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            mapping(out, fields, indent + INDENT);
        }
        Value::Array(values) if !values.is_empty() => {
            out.push('\n');
            sequence(out, values, indent + INDENT);
        }
        scalar => {
            out.push(' ');
            after_key(out, scalar, indent + INDENT);
        }
    }
}

fn sequence(out: &mut String, values: &[Value], indent: usize) {
    for value in values {
        if !out.ends_with("- ") {
            pad(out, indent);
        }
        out.push_str("- ");
        match value {
            Value::Object(fields) if !fields.is_empty() => mapping(out, fields, indent + INDENT),
            Value::Array(values) if !values.is_empty() => sequence(out, values, indent + INDENT),
            scalar => after_key(out, scalar, indent + INDENT),
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A scalar and the end of its line; `indent` is that of its lines if it has several.
fn after_key(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::String(text) if text.contains('\n') && style(text) == Style::Literal => {
            return literal(out, text, indent);
        }
        Value::String(text) => quoted_or_plain(out, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
    out.push('\n');
}

fn quoted_or_plain(out: &mut String, text: &str) {
    match style(text) {
        Style::Plain => out.push_str(text),
        Style::Single => {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        }
        Style::Literal | Style::Double => double(out, text),
    }
}

/// A block of lines behind `|`.
fn literal(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    // A reader finds the indentation by the first line, unless that begins with a blank.
    if text.starts_with([' ', '\n']) {
        out.push_str(&INDENT.to_string());
    }
    let without_last = text.strip_suffix('\n');
    match without_last {
        None => out.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    out.push('\n');
    for line in without_last.unwrap_or(text).split('\n') {
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn double(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if plain::is_printable(c) => out.push(c),
            c => out.push_str(&escape(u32::from(c))),
        }
    }
    out.push('"');
}

fn escape(code: u32) -> String {
    match code {
        0..=0xff => format!("\\x{code:02X}"),
        0x100..=0xffff => format!("\\u{code:04X}"),
        _ => format!("\\U{code:08X}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_is_written_in_blocks() {
        let tree = json!({
            "a": {"b": "1", "c": 1, "d": {}, "e": [], "f": null, "g": true},
            "list": ["x", {"p": "z", "l": ["- m"]}, ["q", ["o"]], "one\ntwo\n", "no: end\n  x"],
            "true": "", "k y": " a",
        });
        let wanted = r#"a:
  b: "1"
  c: 1
  d: {}
  e: []
  f: null
  g: true
list:
  - x
  - p: z
    l:
      - '- m'
  - - q
    - - o
  - |
    one
    two
  - |-
    no: end
      x
"true": ""
k y: ' a'
"#;
        assert_eq!(text(&tree), wanted);
        assert_eq!(text(&json!({})), "{}\n");
    }

    #[test]
    fn the_head_of_a_block_says_what_its_lines_do_not() {
        for (value, wanted) in [
            ("a\n\n", "|+\n  a\n\n"),
            ("\n", "|2+\n\n"),
            ("\na", "|2-\n\n  a\n"),
            (" a\nb\n", "|2\n   a\n  b\n"),
            ("a \nb\n", "\"a \\nb\\n\"\n"),
            ("a\nb ", "\"a\\nb \"\n"),
            ("a\n\u{1f600}", "\"a\\n\\U0001F600\"\n"),
        ] {
            assert_eq!(text(&json!({ "k": value })), format!("k: {wanted}"), "{value:?}");
        }
    }
}
