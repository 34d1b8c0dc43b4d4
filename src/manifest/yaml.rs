//! YAML text → a tree with the place of each node.
//!
//! Comes before the walkers of the sections. Scalars keep their raw text and style; anchors and aliases are resolved, with a
//! limit, so that a file of a kilobyte cannot become a gigabyte; merge keys are those of Go's yaml.v3; a
//! repeated key is an error. Only the first document of a file counts, as in melange.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{
    diagnostic::{Diagnostic, Source},
    text::{Layout, Position, Text},
    yaml_input::TabInput,
};

/// The largest build file: the largest known one has 0.1 MiB.
pub const MAX_BYTES: usize = 4 << 20;
/// The deepest nesting: people write fewer than 20 levels, and the walkers recurse.
pub const MAX_DEPTH: usize = 64;
/// How many nodes all aliases of a file together may expand to.
pub const MAX_ALIASED_NODES: usize = 10_000;
/// How many bytes of scalars all aliases of a file together may expand to.
pub const MAX_ALIASED_BYTES: usize = 1 << 20;

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'a> {
    /// Its start.
    pub at: Position,
    /// Its type and content.
    pub value: Value<'a>,
}

/// The type and content of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// A scalar, not yet typed.
    Scalar(Scalar<'a>),
    /// A list.
    Sequence(Vec<Node<'a>>),
    /// A map, in the order of the file, merge keys resolved.
    Mapping(Vec<(Node<'a>, Node<'a>)>),
}

/// A scalar as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar<'a> {
    /// Its text, quotes and indentation removed.
    pub text: Cow<'a, str>,
    /// Whether it has no quotes, no block indicator and no tag: only then it can be something else than a string.
    pub plain: bool,
    /// How it was written.
    pub layout: Layout,
}

impl Node<'_> {
    /// The scalar as a text; `None` for a list or a map. A null is the empty text.
    pub fn text(&self) -> Option<Text> {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => Some(Text::new("", self.at, scalar.layout)),
            Value::Scalar(scalar) => Some(Text::new(scalar.text.as_ref(), self.at, scalar.layout)),
            Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// Whether nothing is written here (`~`, `null`, or nothing at all).
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// Its type, for a message.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Scalar(_) => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a map",
        }
    }

    /// Its size and that of all below it: nodes, bytes.
    fn weight(&self) -> (usize, usize) {
        let add = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        match &self.value {
            Value::Scalar(scalar) => (1, scalar.text.len()),
            Value::Sequence(items) => items.iter().map(Node::weight).fold((1, 0), add),
            Value::Mapping(pairs) => {
                pairs.iter().map(|(key, value)| add(key.weight(), value.weight())).fold((1, 0), add)
            }
        }
    }
}

impl Scalar<'_> {
    /// YAML's null, as yaml.v3 knows it.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_ref(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// The first document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<'a> {
    /// `None` when there is nothing in it.
    pub root: Option<Node<'a>>,
    /// Repeated keys, of which the tree has the first: further faults can be found beside them.
    pub repeated: Vec<Diagnostic>,
}

/// How many repeated keys are collected: more would not be read.
const MAX_REPEATED: usize = 50;

/// Reads the first document of a text.
///
/// # Errors
/// The first fault of a text that is not YAML, nests deeper than [`MAX_DEPTH`], or has too many aliases.
pub fn read<'a>(text: &'a str, source: &Source) -> Result<Document<'a>, Diagnostic> {
    if text.len() > MAX_BYTES {
        return Err(
            source.diagnostic(Position::default(), format!("is too long: the limit is {MAX_BYTES} bytes"))
        );
    }
    let mut builder = Builder {
        source,
        stack: Vec::new(),
        anchors: HashMap::new(),
        aliased: (0, 0),
        root: None,
        repeated: Vec::new(),
    };
    for event in Parser::new(TabInput::new(text)) {
        let (event, span) = event.map_err(|error| {
            source.diagnostic(position(*error.marker()), format!("not valid YAML: {}", error.info()))
        })?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event, span)?;
    }
    let Builder { root, repeated, .. } = builder;
    Ok(Document { root, repeated })
}

/// Builds the tree from events, with a stack of its own: a deep file cannot exhaust that of the thread.
struct Builder<'a, 's> {
    source: &'s Source,
    stack: Vec<Open<'a>>,
    anchors: HashMap<usize, Option<Node<'a>>>,
    aliased: (usize, usize),
    root: Option<Node<'a>>,
    repeated: Vec<Diagnostic>,
}

/// A list or map that is not closed yet.
struct Open<'a> {
    at: Position,
    anchor: usize,
    content: Content<'a>,
}

enum Content<'a> {
    Sequence(Vec<Node<'a>>),
    Mapping { pairs: Vec<(Node<'a>, Node<'a>)>, key: Option<Node<'a>> },
}

impl<'a> Builder<'a, '_> {
    fn take(&mut self, event: Event<'a>, span: Span) -> Result<(), Diagnostic> {
        let at = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = Value::Scalar(self.scalar(text, style, tag.as_deref(), at)?);
                self.add(Node { at, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(at, anchor, Content::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.open(at, anchor, Content::Mapping { pairs: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let node = self.alias(anchor, at)?;
                self.add(node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(
        &self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Position,
    ) -> Result<Scalar<'a>, Diagnostic> {
        if tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "binary") {
            return Err(self.source.diagnostic(at, "binary scalars are not supported"));
        }
        let layout = match style {
            ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Layout::Flow,
            ScalarStyle::Literal => Layout::Literal,
            ScalarStyle::Folded => Layout::Folded,
        };
        // A plain scalar with another tag than `!!str` has the type of its text, approximately.
        let string = tag.is_some_and(|tag| tag.suffix == "str" || tag.suffix.is_empty());
        Ok(Scalar { text, plain: style == ScalarStyle::Plain && !string, layout })
    }

    fn open(&mut self, at: Position, anchor: usize, content: Content<'a>) -> Result<(), Diagnostic> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.source.diagnostic(at, format!("nests deeper than {MAX_DEPTH} levels")));
        }
        if anchor > 0 {
            // Known, but not complete: an alias inside would contain itself.
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Open { at, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Diagnostic> {
        let Some(Open { at, anchor, content }) = self.stack.pop() else { return Ok(()) };
        let value = match content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { pairs, .. } => Value::Mapping(self.unique(pairs)?),
        };
        self.add(Node { at, value }, anchor)
    }

    fn add(&mut self, node: Node<'a>, anchor: usize) -> Result<(), Diagnostic> {
        if anchor > 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        match self.stack.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { pairs, key }) => match key.take() {
                None => *key = Some(node),
                Some(key) => pairs.push((key, node)),
            },
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<Node<'a>, Diagnostic> {
        let Some(Some(node)) = self.anchors.get(&anchor) else {
            return Err(self.source.diagnostic(at, "this alias is inside of its own anchor"));
        };
        let (nodes, bytes) = node.weight();
        self.aliased = (self.aliased.0 + nodes, self.aliased.1 + bytes);
        if self.aliased.0 > MAX_ALIASED_NODES || self.aliased.1 > MAX_ALIASED_BYTES {
            return Err(self.source.diagnostic(
                at,
                format!("aliases expand to more than {MAX_ALIASED_NODES} nodes or {MAX_ALIASED_BYTES} bytes"),
            ));
        }
        if self.stack.len() + depth(node) > MAX_DEPTH {
            return Err(self.source.diagnostic(at, format!("nests deeper than {MAX_DEPTH} levels")));
        }
        Ok(node.clone())
    }

    /// The pairs of a map: keys are unique scalars; merge keys are resolved.
    fn unique(&mut self, pairs: Vec<(Node<'a>, Node<'a>)>) -> Result<Vec<(Node<'a>, Node<'a>)>, Diagnostic> {
        let mut seen: HashMap<String, Position> = HashMap::with_capacity(pairs.len());
        let mut own = Vec::with_capacity(pairs.len());
        let mut merged = Vec::new();
        for (key, value) in pairs {
            let Value::Scalar(scalar) = &key.value else {
                return Err(self
                    .source
                    .diagnostic(key.at, format!("a key must be a single value, this is {}", key.kind())));
            };
            if let Some(first) = seen.get(scalar.text.as_ref()) {
                let message =
                    format!("the key `{}` is here again, first in line {}", scalar.text, first.line);
                if self.repeated.len() < MAX_REPEATED {
                    self.repeated.push(self.source.diagnostic(key.at, message));
                }
                continue;
            }
            seen.insert(scalar.text.to_string(), key.at);
            if scalar.plain && scalar.text == "<<" {
                merged = self.merge(value)?;
            } else {
                own.push((key, value));
            }
        }
        for (key, value) in merged {
            // The map's own keys win over merged ones, an earlier merged map over a later one.
            if let Value::Scalar(scalar) = &key.value
                && !seen.contains_key(scalar.text.as_ref())
            {
                seen.insert(scalar.text.to_string(), key.at);
                own.push((key, value));
            }
        }
        Ok(own)
    }

    fn merge(&self, value: Node<'a>) -> Result<Vec<(Node<'a>, Node<'a>)>, Diagnostic> {
        let refuse = |at| Err(self.source.diagnostic(at, "`<<` takes a map or a list of maps"));
        match value.value {
            Value::Mapping(pairs) => Ok(pairs),
            Value::Sequence(items) => {
                let mut all = Vec::new();
                for item in items {
                    let Value::Mapping(pairs) = item.value else { return refuse(item.at) };
                    all.extend(pairs);
                }
                Ok(all)
            }
            Value::Scalar(_) => refuse(value.at),
        }
    }
}

fn depth(node: &Node<'_>) -> usize {
    match &node.value {
        Value::Scalar(_) => 0,
        Value::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Mapping(pairs) => 1 + pairs.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
    }
}

fn position(marker: Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
