//! A template -> its nodes: the part of Go's text/template that queries need.

use crate::exit::Failure;

/// How deep actions may stand in each other, and expressions in parentheses.
const MAX_DEPTH: usize = 64;

/// A part of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// The value of an expression.
    Print(Expression),
    /// `if`: the branch, and the one of `else`.
    If(Expression, Vec<Node>, Vec<Node>),
    /// `range`: for each element, and for none.
    Range(Expression, Vec<Node>, Vec<Node>),
}

/// An expression.
#[derive(Debug, PartialEq)]
pub(super) enum Expression {
    /// `.A.B`, from the current value.
    Field(Vec<String>),
    /// `$.A.B`, from the whole file.
    Root(Vec<String>),
    /// A text in quotes.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A function with its arguments.
    Call(Function, Vec<Expression>),
}

/// The functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Printf,
    Eq,
    Ne,
    Not,
    Len,
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        match name {
            "printf" => Some(Self::Printf),
            "eq" => Some(Self::Eq),
            "ne" => Some(Self::Ne),
            "not" => Some(Self::Not),
            "len" => Some(Self::Len),
            _ => None,
        }
    }
}

/// An error of the template.
pub(super) fn refuse(what: impl std::fmt::Display) -> Failure {
    Failure::usage(
        format!("template: {what}"),
        "fields such as {{ .Package.Name }}, range, if, else, end, printf, eq, ne, not and len are known",
    )
}

/// Reads a template.
///
/// # Errors
/// A usage error that names what is not understood.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Failure> {
    let mut parser = Parser { parts: parts(text)?.into_iter() };
    let (nodes, end) = parser.nodes(0)?;
    match end {
        Stop::Text => Ok(nodes),
        Stop::End => Err(refuse("an end without if or range")),
        Stop::Else(_) => Err(refuse("an else without if or range")),
    }
}

enum Part<'t> {
    Text(&'t str),
    Action(&'t str),
}

/// Texts and actions; `{{-` and `-}}` trim the text beside them.
fn parts(text: &str) -> Result<Vec<Part<'_>>, Failure> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let trims_before = after.starts_with("- ");
        parts.push(Part::Text(if trims_before { before.trim_end() } else { before }));
        let inner = if trims_before { after.strip_prefix('-').unwrap_or(after) } else { after };
        let end = end_of_action(inner).ok_or_else(|| refuse("an action without }}"))?;
        let (action, tail) = inner.split_at(end);
        rest = tail.strip_prefix("}}").unwrap_or(tail);
        let action = match action.strip_suffix(" -") {
            Some(action) => {
                rest = rest.trim_start();
                action
            }
            None => action,
        };
        let action = action.trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            parts.push(Part::Action(action));
        }
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Where `}}` begins, outside of quotes.
fn end_of_action(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some('"') if is_escaped => is_escaped = false,
            Some('"') if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`') => quote = Some(c),
            None if c == '}' && text.get(at..).is_some_and(|rest| rest.starts_with("}}")) => return Some(at),
            None => {}
        }
    }
    None
}

/// What ends a list of nodes.
enum Stop<'t> {
    Text,
    End,
    /// What stands behind `else`.
    Else(&'t str),
}

struct Parser<'t> {
    parts: std::vec::IntoIter<Part<'t>>,
}

impl<'t> Parser<'t> {
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, Stop<'t>), Failure> {
        if depth > MAX_DEPTH {
            return Err(refuse(format!("actions stand in each other more than {MAX_DEPTH} deep")));
        }
        let mut nodes = Vec::new();
        while let Some(part) = self.parts.next() {
            let action = match part {
                Part::Text(text) => {
                    if !text.is_empty() {
                        nodes.push(Node::Text(text.to_owned()));
                    }
                    continue;
                }
                Part::Action(action) => action,
            };
            let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((action, ""));
            match word {
                "end" if rest.is_empty() => return Ok((nodes, Stop::End)),
                "else" => return Ok((nodes, Stop::Else(rest.trim()))),
                "if" => nodes.push(self.branch(rest, Node::If, depth)?),
                "range" => nodes.push(self.branch(rest, Node::Range, depth)?),
                _ => nodes.push(Node::Print(expression(action)?)),
            }
        }
        Ok((nodes, Stop::Text))
    }

    fn branch(
        &mut self,
        condition: &str,
        make: fn(Expression, Vec<Node>, Vec<Node>) -> Node,
        depth: usize,
    ) -> Result<Node, Failure> {
        let condition = expression(condition)?;
        let (then, end) = self.nodes(depth + 1)?;
        let otherwise = match end {
            Stop::End => Vec::new(),
            Stop::Text => return Err(refuse("an if or range without end")),
            Stop::Else("") => match self.nodes(depth + 1)? {
                (nodes, Stop::End) => nodes,
                (_, Stop::Text | Stop::Else(_)) => return Err(refuse("an else without end")),
            },
            Stop::Else(more) => match more.strip_prefix("if ") {
                Some(condition) => vec![self.branch(condition, Node::If, depth + 1)?],
                None => return Err(refuse(format!("`else {more}` is not known"))),
            },
        };
        Ok(make(condition, then, otherwise))
    }
}

fn expression(text: &str) -> Result<Expression, Failure> {
    let mut words = words(text)?.into_iter().peekable();
    let found = call(&mut words, text, 0)?;
    match words.next() {
        None => Ok(found),
        Some(word) => Err(refuse(format!("`{word}` in `{{{{{text}}}}}` is not known"))),
    }
}

type Words = std::iter::Peekable<std::vec::IntoIter<String>>;

/// A function with its arguments, or one operand.
fn call(words: &mut Words, text: &str, depth: usize) -> Result<Expression, Failure> {
    let Some(function) = words.peek().and_then(|word| Function::named(word)) else {
        return operand(words, text, depth);
    };
    words.next();
    let mut arguments = Vec::new();
    while words.peek().is_some_and(|word| word != ")") {
        arguments.push(operand(words, text, depth)?);
    }
    Ok(Expression::Call(function, arguments))
}

fn operand(words: &mut Words, text: &str, depth: usize) -> Result<Expression, Failure> {
    let unknown = |word: &str| refuse(format!("`{word}` in `{{{{{text}}}}}` is not known"));
    let word = words.next().ok_or_else(|| refuse(format!("an expression is missing in `{{{{{text}}}}}`")))?;
    if word == "(" {
        if depth > MAX_DEPTH {
            return Err(refuse(format!("parentheses stand in each other more than {MAX_DEPTH} deep")));
        }
        let inner = call(words, text, depth + 1)?;
        return match words.next() {
            Some(close) if close == ")" => Ok(inner),
            Some(_) | None => Err(refuse(format!("a `)` is missing in `{{{{{text}}}}}`"))),
        };
    }
    if let Some(quoted) = word.strip_prefix('`') {
        return Ok(Expression::Text(quoted.strip_suffix('`').unwrap_or(quoted).to_owned()));
    }
    if word.starts_with('"') {
        // Go's escapes in queries are those of JSON.
        return serde_json::from_str(&word).map(Expression::Text).map_err(|_| unknown(&word));
    }
    if let Ok(number) = word.parse() {
        return Ok(Expression::Number(number));
    }
    let names = |path: &str| -> Option<Vec<String>> {
        let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let path = path.strip_prefix('.')?;
        let names: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('.').collect() };
        names.iter().all(is_name).then(|| names.into_iter().map(str::to_owned).collect())
    };
    match word.strip_prefix('$') {
        Some("") => Ok(Expression::Root(Vec::new())),
        Some(path) => names(path).map(Expression::Root).ok_or_else(|| unknown(&word)),
        None => names(&word).map(Expression::Field).ok_or_else(|| unknown(&word)),
    }
}

/// The words of an expression: quoted texts are one, parentheses stand alone.
fn words(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' => 1,
            '"' | '`' => {
                quoted(rest, first).ok_or_else(|| refuse(format!("`{text}` has a quote without end")))?
            }
            _ => rest
                .find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '`'))
                .unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(length);
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    Ok(words)
}

/// How long a text in quotes is, with them.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            c if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}
