//! `if`: a chain of comparisons of two strings.
//!
//! ```text
//! expr  := atom { ("&&" | "||") atom }     left to right, both bind alike
//! atom  := "(" expr ")" | value ("==" | "!=") value
//! value := '…' | "…" | ${{ name }}         escapes: \\ \' \" \n \t
//! ```

use std::iter::Peekable;

use super::substitute::{BLANKS, is_name};

/// How deep parentheses may nest: the parser recurses.
const MAX_DEPTH: usize = 100;

/// Why a condition cannot be decided, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// Whether a condition holds.
pub(crate) fn evaluate(text: &str, look_up: &dyn Fn(&str) -> Option<String>) -> Result<bool, Fault> {
    let mut parser = Parser { text, at: 0, look_up };
    let holds = parser.expr(0)?;
    parser.blanks();
    match parser.rest() {
        "" => Ok(holds),
        rest => Err(parser.fault(format!("expected `&&`, `||` or the end, found `{}`", start(rest)))),
    }
}

/// A value as a condition's string, such that reading it gives the value back: Go's `strconv.Quote`.
pub(crate) fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_ascii() || c == '\'' || c.escape_debug().count() == 1 => out.push(c),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    look_up: &'t dyn Fn(&str) -> Option<String>,
}

impl Parser<'_> {
    fn expr(&mut self, depth: usize) -> Result<bool, Fault> {
        let mut holds = self.atom(depth)?;
        loop {
            if self.eat("&&") {
                holds &= self.atom(depth)?;
            } else if self.eat("||") {
                holds |= self.atom(depth)?;
            } else {
                return Ok(holds);
            }
        }
    }

    fn atom(&mut self, depth: usize) -> Result<bool, Fault> {
        if !self.eat("(") {
            return self.comparison();
        }
        if depth >= MAX_DEPTH {
            return Err(self.fault(format!("parentheses nest deeper than {MAX_DEPTH} levels")));
        }
        let holds = self.expr(depth + 1)?;
        if self.eat(")") { Ok(holds) } else { Err(self.expected("`)`")) }
    }

    fn comparison(&mut self) -> Result<bool, Fault> {
        let left = self.value()?;
        let equal = if self.eat("==") {
            true
        } else if self.eat("!=") {
            false
        } else {
            return Err(self.expected("`==` or `!=`"));
        };
        Ok((left == self.value()?) == equal)
    }

    fn value(&mut self) -> Result<String, Fault> {
        for quote in ['\'', '"'] {
            if self.eat(quote.encode_utf8(&mut [0; 1])) {
                return self.string(quote);
            }
        }
        if self.eat("${{") {
            self.variable()
        } else {
            Err(self.expected("a string in quotes or a variable `${{…}}`"))
        }
    }

    fn string(&mut self, quote: char) -> Result<String, Fault> {
        let start = self.at;
        let mut value = String::new();
        let mut chars: Peekable<_> = self.rest().char_indices().peekable();
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += offset + 1;
                    return Ok(value);
                }
                '\\' => match chars.next_if(|_| true) {
                    Some((_, escaped @ ('\\' | '\'' | '"'))) => value.push(escaped),
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, other)) => value.extend(['\\', other]),
                    None => value.push('\\'),
                },
                c => value.push(c),
            }
        }
        Err(Fault { at: start - 1, message: "this string has no end".into() })
    }

    fn variable(&mut self) -> Result<String, Fault> {
        self.blanks();
        let start = self.at;
        let length = self.rest().find(|c: char| !is_name(c)).unwrap_or(self.rest().len());
        let name = &self.text[start..start + length];
        self.at += length;
        if name.is_empty() {
            return Err(self.fault("a variable without a name".into()));
        }
        if !self.eat("}}") {
            return Err(Fault { at: start, message: format!("the variable `{name}` has no `}}}}`") });
        }
        (self.look_up)(name)
            .ok_or_else(|| Fault { at: start, message: format!("variable `{name}` is not defined") })
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches(BLANKS).len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> Fault {
        match start(self.rest()) {
            "" => self.fault(format!("expected {what}, found the end")),
            found => self.fault(format!("expected {what}, found `{found}`")),
        }
    }

    fn fault(&self, message: String) -> Fault {
        Fault { at: self.at, message }
    }
}

/// The first word of a text, for a message.
fn start(text: &str) -> &str {
    let end = text.char_indices().map(|(at, _)| at).nth(20).unwrap_or(text.len());
    text[..end].split(char::is_whitespace).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> Result<bool, String> {
        let look_up = |name: &str| match name {
            "a" => Some("x".to_owned()),
            "quoted" => Some("it's \"x\"\n".to_owned()),
            _ => None,
        };
        evaluate(text, &look_up).map_err(|fault| format!("{}: {}", fault.at, fault.message))
    }

    #[test]
    fn conditions_that_hold() {
        for text in [
            "'a' == 'a'",
            "'a'=='a'",
            "\"a\" == 'a'",
            "'a' != 'b'",
            "  'a'\t==\n'a'  ",
            "'' == \"\"",
            "${{a}} == 'x'",
            "${{ a }} == \"x\"",
            "'x' == ${{a}}",
            "${{a}} == ${{ a }}",
            "${{a}} != 'y'",
            "('a' == 'a')",
            "(('a' == 'a'))",
            "'a' == 'a' && 'b' == 'b'",
            "'a' == 'b' || 'b' == 'b'",
            "'a'=='a'&&'b'=='b'||'c'=='d'",
            "'a' == 'b' && 'a' == 'b' || 'a' == 'a'",
            "('a' == 'b' || 'a' == 'a') && 'c' == 'c'",
            "'a b' == 'a b'",
            "'it\\'s' == \"it's\"",
            "\"say \\\"x\\\"\" == 'say \"x\"'",
            "'a\\\\b' != 'ab'",
            "'a\\nb' == \"a\\nb\"",
            "'\\t' == '\t'",
            "'\\q' == '\\\\q'",
            "'==' != '!='",
            "'(' == '('",
            "'&&' != '||'",
            "'é' == 'é'",
            "'${{a}}' != 'x'",
        ] {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn conditions_that_do_not_hold() {
        for text in [
            "'a' == 'b'",
            "'a' != 'a'",
            "'a' == 'A'",
            "'a' == 'a '",
            "${{a}} == 'y'",
            "${{a}} != ${{a}}",
            "'a' == 'a' && 'a' == 'b'",
            "'a' == 'b' || 'c' == 'd'",
            // Both bind alike: (true || false) && false.
            "'a' == 'a' || 'a' == 'b' && 'a' == 'b'",
            "'a' == 'a' && ('a' == 'b' || 'c' == 'd')",
            "'1' == '1.0'",
        ] {
            assert_eq!(holds(text), Ok(false), "{text}");
        }
    }

    #[test]
    fn conditions_that_cannot_be_decided() {
        for (text, wanted) in [
            ("", "0: expected a string in quotes or a variable `${{…}}`, found the end"),
            ("'a'", "3: expected `==` or `!=`, found the end"),
            ("'a' = 'a'", "4: expected `==` or `!=`, found `=`"),
            ("'a' ==", "6: expected a string in quotes or a variable `${{…}}`, found the end"),
            ("a == 'a'", "0: expected a string in quotes or a variable `${{…}}`, found `a`"),
            ("1 == 1", "0: expected a string in quotes or a variable `${{…}}`, found `1`"),
            ("!('a' == 'a')", "0: expected a string in quotes or a variable `${{…}}`, found `!('a'`"),
            ("'a' == 'a' &&", "13: expected a string in quotes or a variable `${{…}}`, found the end"),
            ("'a' == 'a' & 'b' == 'b'", "11: expected `&&`, `||` or the end, found `&`"),
            ("'a' == 'a' 'b'", "11: expected `&&`, `||` or the end, found `'b'`"),
            ("('a' == 'a'", "11: expected `)`, found the end"),
            ("'a' == 'a')", "10: expected `&&`, `||` or the end, found `)`"),
            ("'a == 'b'", "7: expected `==` or `!=`, found `b'`"),
            ("\"a", "0: this string has no end"),
            ("'a\\", "0: this string has no end"),
            ("${{}} == 'a'", "3: a variable without a name"),
            ("${{a == 'a'", "3: the variable `a` has no `}}`"),
            ("${{b}} == 'a'", "3: variable `b` is not defined"),
            ("'a' < 'b'", "4: expected `==` or `!=`, found `<`"),
            ("${{a}}", "6: expected `==` or `!=`, found the end"),
        ] {
            assert_eq!(holds(text), Err(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let deep = format!("{}'a'=='a'{}", "(".repeat(50_000), ")".repeat(50_000));
        assert_eq!(holds(&deep), Err("101: parentheses nest deeper than 100 levels".into()));
    }

    #[test]
    fn a_quoted_value_reads_back_as_itself() {
        for value in ["", "x", "it's", "say \"x\"", "a\\b", "a\nb\tc", "é✓", "${{x}}", "$(reboot)"] {
            let text = format!("{} == {}", quote(value), quote(value));
            assert_eq!(holds(&text), Ok(true), "{text}");
        }
        assert_eq!(quote("a\r\u{7}\u{1}\u{a0}\u{e000}'"), r#""a\r\a\x01\u00a0\ue000'""#);
    }
}
