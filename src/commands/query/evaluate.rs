//! A template and a build file -> text.

use serde_json::Value;

use super::{
    fields::{field, is_true, shown},
    template::{Expression, Function, Node, refuse},
};
use crate::exit::Failure;

/// The text of some nodes. `root` is the file, `dot` the current value.
///
/// # Errors
/// A field that does not exist, or a function with other arguments than it takes.
pub(super) fn text(nodes: &[Node], root: &Value, dot: &Value) -> Result<String, Failure> {
    let mut out = String::new();
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(expression) => out.push_str(&shown(&value(expression, root, dot)?)),
            Node::If(condition, then, otherwise) => {
                let branch = if is_true(&value(condition, root, dot)?) { then } else { otherwise };
                out.push_str(&text(branch, root, dot)?);
            }
            Node::Range(list, each, otherwise) => {
                let elements: Vec<Value> = match value(list, root, dot)? {
                    Value::Array(elements) => elements,
                    Value::Object(fields) => fields.into_iter().map(|(_, value)| value).collect(),
                    Value::String(text) if text.is_empty() => Vec::new(),
                    other => return Err(refuse(format!("range needs a list, this is {:?}", shown(&other)))),
                };
                for element in &elements {
                    out.push_str(&text(each, root, element)?);
                }
                if elements.is_empty() {
                    out.push_str(&text(otherwise, root, dot)?);
                }
            }
        }
    }
    Ok(out)
}

fn value(expression: &Expression, root: &Value, dot: &Value) -> Result<Value, Failure> {
    match expression {
        Expression::Text(text) => Ok(Value::String(text.clone())),
        Expression::Number(number) => Ok(Value::from(*number)),
        Expression::Field(names) => below(dot, names),
        Expression::Root(names) => below(root, names),
        Expression::Call(function, arguments) => {
            let values = arguments.iter().map(|argument| value(argument, root, dot));
            call(*function, &values.collect::<Result<Vec<_>, _>>()?)
        }
    }
}

fn below(of: &Value, names: &[String]) -> Result<Value, Failure> {
    let mut value = of.clone();
    for name in names {
        // A section that a file does not have is an empty text here: so are its fields.
        let is_absent = matches!(&value, Value::String(text) if text.is_empty());
        value = match field(&value, name) {
            Some(value) => value,
            None if is_absent => Value::String(String::new()),
            None => return Err(refuse(format!("there is no field .{}", names.join(".")))),
        };
    }
    Ok(value)
}

fn call(function: Function, values: &[Value]) -> Result<Value, Failure> {
    match (function, values) {
        (Function::Printf, [Value::String(format), rest @ ..]) => printf(format, rest).map(Value::String),
        (Function::Eq, [first, rest @ ..]) if !rest.is_empty() => {
            Ok(Value::Bool(rest.iter().any(|value| shown(value) == shown(first))))
        }
        (Function::Ne, [first, second]) => Ok(Value::Bool(shown(first) != shown(second))),
        (Function::Not, [value]) => Ok(Value::Bool(!is_true(value))),
        (Function::Len, [Value::Array(values)]) => Ok(Value::from(values.len())),
        (Function::Len, [Value::Object(fields)]) => Ok(Value::from(fields.len())),
        (Function::Len, [Value::String(text)]) => Ok(Value::from(text.len())),
        (function, values) => {
            let name = format!("{function:?}").to_lowercase();
            Err(refuse(format!("{name} does not take these {} values", values.len())))
        }
    }
}

/// `%s`, `%d`, `%v`, `%q` and `%%`.
fn printf(format: &str, values: &[Value]) -> Result<String, Failure> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = letters.next();
        if verb == Some('%') {
            out.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| refuse(format!("printf {format:?} has too few values")))?;
        match verb {
            Some('s' | 'd' | 'v') => out.push_str(&shown(value)),
            Some('q') => out.push_str(&Value::String(shown(value)).to_string()),
            Some(other) => return Err(refuse(format!("printf %{other} is not known"))),
            None => return Err(refuse(format!("printf {format:?} ends with %"))),
        }
    }
    match values.next() {
        None => Ok(out),
        Some(_) => Err(refuse(format!("printf {format:?} has too many values"))),
    }
}
