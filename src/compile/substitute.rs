//! `${{name}}` in a text: the literal replacement of melange's first pass, and the strict one of its second.
//!
//! Values are not searched for references again, and a plain `$` or `${x}` is the shell's.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

/// How many bytes the texts of one file may have. The largest known one has a few MiB; a file of a kilobyte whose variables
/// double each other would exhaust the memory.
pub(crate) const MAX_BYTES: usize = 64 << 20;
/// The cost of a text besides its bytes, so that the number of empty ones is bounded as well.
const OVERHEAD: usize = 32;

/// Variables by name (`package.name`, not `${{package.name}}`), over those of an outer scope.
#[derive(Debug)]
pub(crate) struct Scope<'o> {
    own: HashMap<String, String>,
    outer: Option<&'o Scope<'o>>,
    /// The rest of the bytes, shared with all scopes over this one.
    left: Rc<Cell<usize>>,
}

impl Default for Scope<'_> {
    fn default() -> Self {
        Self { own: HashMap::new(), outer: None, left: Rc::new(Cell::new(MAX_BYTES)) }
    }
}

impl<'o> Scope<'o> {
    /// A scope over another.
    pub(crate) fn over(outer: &'o Scope<'o>) -> Self {
        Self { own: HashMap::new(), outer: Some(outer), left: Rc::clone(&outer.left) }
    }

    /// Counts a text before it is copied; an empty one takes its place if the file has become too large.
    pub(crate) fn spend<'t>(&self, text: &'t str) -> &'t str {
        let left = self.left.get().checked_sub(text.len() + OVERHEAD);
        self.left.set(left.unwrap_or(0));
        if left.is_some() { text } else { "" }
    }

    /// Whether the file has become too large: its texts are incomplete.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.own.insert(name.into(), value.into());
    }

    /// The value of a variable, counted as a copy.
    pub(crate) fn look_up(&self, name: &str) -> Option<&str> {
        let mut scope = self;
        loop {
            match (scope.own.get(name), scope.outer) {
                (Some(value), _) => return Some(self.spend(value)),
                (None, Some(outer)) => scope = outer,
                (None, None) => return None,
            }
        }
    }

    /// Its own variables, without those of outer scopes.
    pub(crate) fn own(&self) -> Vec<(&str, &str)> {
        self.own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// All variables in sight, sorted by name.
    pub(crate) fn all(&self) -> Vec<(&str, &str)> {
        let mut all = self.outer.map_or_else(BTreeMap::new, |outer| outer.all().into_iter().collect());
        all.extend(self.own());
        all.into_iter().collect()
    }

    /// The known name that a misspelt one could mean.
    pub(crate) fn nearest(&self, name: &str) -> Option<String> {
        let mut names: Vec<&str> = Vec::new();
        let mut scope = Some(self);
        while let Some(Scope { own, outer, left: _ }) = scope {
            names.extend(own.keys().map(String::as_str));
            scope = *outer;
        }
        names.sort_unstable();
        crate::manifest::nearest(name, &names).map(str::to_owned)
    }
}

/// A fault of a reference, at a byte of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No such variable.
    Undefined { name: String, at: usize },
    /// No `}}` where it should be.
    Unterminated { name: String, at: usize },
    /// `${{}}`.
    Empty { at: usize },
}

/// The start of a reference.
const OPEN: &str = "${{";

/// Replaces exactly `${{name}}`, without blanks, if the name is known. `None`: no reference was replaced.
pub(crate) fn literal(text: &str, scope: &Scope<'_>) -> Option<String> {
    if !text.contains('$') {
        // A byte is found faster than a word, and most texts have no variables.
        return None;
    }
    let mut out: Option<String> = None;
    let mut done = 0;
    let mut from = 0;
    while let Some(found) = text[from..].find(OPEN) {
        let start = from + found;
        from = start + OPEN.len();
        let Some(length) = text[from..].find("}}") else { break };
        if let Some(value) = scope.look_up(&text[from..from + length]) {
            let out = out.get_or_insert_with(|| String::with_capacity(text.len() + value.len()));
            out.push_str(&text[done..start]);
            out.push_str(value);
            done = from + length + 2;
            from = done;
        }
    }
    out.map(|out| out + &text[done..])
}

/// Replaces all references, blanks inside the braces allowed; all faults at once. `None`: there are no references.
pub(crate) fn strict<'v>(
    text: &str,
    mut look_up: impl FnMut(&str) -> Option<std::borrow::Cow<'v, str>>,
) -> Result<Option<String>, Vec<Fault>> {
    let Some(first) = text.find('$').and_then(|from| text[from..].find(OPEN).map(|at| from + at)) else {
        return Ok(None);
    };
    let mut out = String::with_capacity(text.len() + 32);
    let mut faults = Vec::new();
    out.push_str(&text[..first]);
    let mut rest = &text[first..];
    while let Some(found) = rest.find(OPEN) {
        out.push_str(&rest[..found]);
        let at = text.len() - rest.len() + found;
        let inside = rest[found + OPEN.len()..].trim_start_matches(BLANKS);
        let end = inside.find(|c: char| !is_name(c)).unwrap_or(inside.len());
        let (name, after) = inside.split_at(end);
        if name.is_empty() {
            faults.push(Fault::Empty { at });
            rest = inside;
            continue;
        }
        let after = after.trim_start_matches(BLANKS);
        let Some(after) = after.strip_prefix("}}") else {
            faults.push(Fault::Unterminated { name: name.to_owned(), at });
            rest = after;
            continue;
        };
        match look_up(name) {
            Some(value) => out.push_str(&value),
            None => faults.push(Fault::Undefined { name: name.to_owned(), at }),
        }
        rest = after;
    }
    out.push_str(rest);
    if faults.is_empty() { Ok(Some(out)) } else { Err(faults) }
}

/// The names of all references, in order, with repetitions.
pub(crate) fn names(text: &str) -> Vec<&str> {
    let references = text.split(OPEN).skip(1).map(|rest| rest.trim_start_matches(BLANKS));
    references
        .filter_map(|rest| {
            let (name, after) = rest.split_at(rest.find(|c: char| !is_name(c))?);
            let ends = after.trim_start_matches(BLANKS).starts_with("}}");
            (ends && !name.is_empty()).then_some(name)
        })
        .collect()
}

/// The blanks between the braces and the name.
pub(crate) const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The characters of a variable's name.
pub(crate) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope<'static> {
        let mut scope = Scope::default();
        for (name, value) in
            [("a", "1"), ("vars.x-y", "2"), ("vars.a b", "blank"), ("nested", "${{a}}"), ("empty", "")]
        {
            scope.set(name, value);
        }
        scope
    }

    #[test]
    fn the_literal_pass_replaces_known_names_only() {
        for (text, wanted) in [
            ("", None),
            ("plain $x ${x} $(x)", None),
            ("${{a}}", Some("1")),
            ("x${{a}}y${{vars.x-y}}z", Some("x1y2z")),
            ("${{ a }}", None),
            ("${{a }}", None),
            ("${{unknown}} ${{a}}", Some("${{unknown}} 1")),
            ("${{nested}}", Some("${{a}}")),
            ("${{vars.a b}}", Some("blank")),
            ("${{empty}}", Some("")),
            ("${{a", None),
            ("${{${{a}}", Some("${{1")),
            ("${{x}${{a}}", Some("${{x}1")),
            ("$${{a}}", Some("$1")),
            ("é${{a}}é", Some("é1é")),
        ] {
            assert_eq!(literal(text, &scope()).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn the_strict_pass_replaces_all_or_names_the_faults() {
        let undefined = |name: &str, at| Fault::Undefined { name: name.into(), at };
        let unterminated = |name: &str, at| Fault::Unterminated { name: name.into(), at };
        for (text, wanted) in [
            ("", Ok(None)),
            ("plain $x ${x} ${x:-{}}", Ok(None)),
            ("${{a}}", Ok(Some("1"))),
            ("${{ a }}", Ok(Some("1"))),
            ("${{\ta\n}}", Ok(Some("1"))),
            ("x${{a}}y${{ vars.x-y}}z", Ok(Some("x1y2z"))),
            ("${{nested}}", Ok(Some("${{a}}"))),
            ("${{empty}}", Ok(Some(""))),
            ("$${{a}}}", Ok(Some("$1}"))),
            ("é${{a}}é", Ok(Some("é1é"))),
            ("${{b}}", Err(vec![undefined("b", 0)])),
            ("x ${{b}} ${{c}}", Err(vec![undefined("b", 2), undefined("c", 9)])),
            ("${{}}", Err(vec![Fault::Empty { at: 0 }])),
            ("${{ }}", Err(vec![Fault::Empty { at: 0 }])),
            ("${{", Err(vec![Fault::Empty { at: 0 }])),
            ("${{a", Err(vec![unterminated("a", 0)])),
            ("${{a}", Err(vec![unterminated("a", 0)])),
            ("${{a b}}", Err(vec![unterminated("a", 0)])),
            ("${{a:-b}}", Err(vec![unterminated("a", 0)])),
            ("${{é}}", Err(vec![Fault::Empty { at: 0 }])),
            ("${{a ${{b}}", Err(vec![unterminated("a", 0), undefined("b", 5)])),
        ] {
            let scope = scope();
            let got = strict(text, |name| scope.look_up(name).map(Into::into));
            assert_eq!(got, wanted.map(|text| text.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn the_budget_is_shared_by_all_scopes() {
        let outer = scope();
        let inner = Scope::over(&outer);
        let large = "x".repeat(MAX_BYTES / 2);
        assert_eq!(inner.spend(&large).len(), large.len());
        assert!(!outer.is_spent());
        assert_eq!(outer.look_up("a"), Some("1"));
        assert_eq!(outer.spend(&large), "");
        assert!(inner.is_spent());
        assert_eq!(inner.look_up("a"), Some(""));
    }

    #[test]
    fn an_inner_scope_wins() {
        let outer = scope();
        let mut inner = Scope::over(&outer);
        inner.set("a", "inner");
        assert_eq!(inner.look_up("a"), Some("inner"));
        assert_eq!(inner.look_up("vars.x-y"), Some("2"));
        assert_eq!(inner.look_up("b"), None);
        assert_eq!(inner.nearest("vars.xy"), Some("vars.x-y".into()));
    }
}
