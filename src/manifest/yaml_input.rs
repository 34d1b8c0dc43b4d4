//! The characters of a YAML text, as the parser asks for them.
//!
//! The parser takes a tab between `:` and a value for a mistake; YAML 1.2 (§6.2, separation spaces) and yaml.v3 take it for a
//! blank. That one answer is corrected here, for the text knows no context and the parser does.

use saphyr_parser::{Input, StrInput, input::SkipTabs};

/// A text whose tabs separate as blanks do.
pub(super) struct TabInput<'a>(StrInput<'a>);

impl<'a> TabInput<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(StrInput::new(text))
    }
}

/// The required methods, and those that the parser spends its time in.
impl Input for TabInput<'_> {
    fn skip_ws_to_eol(&mut self, skip_tabs: SkipTabs) -> (usize, Result<SkipTabs, &'static str>) {
        let (skipped, found) = self.0.skip_ws_to_eol(skip_tabs);
        let found = found.map(|found| {
            SkipTabs::Result(found.found_tabs(), found.has_valid_yaml_ws() || found.found_tabs())
        });
        (skipped, found)
    }

    fn lookahead(&mut self, count: usize) {
        self.0.lookahead(count);
    }

    fn buflen(&self) -> usize {
        self.0.buflen()
    }

    fn bufmaxlen(&self) -> usize {
        self.0.bufmaxlen()
    }

    fn buf_is_empty(&self) -> bool {
        self.0.buf_is_empty()
    }

    fn raw_read_ch(&mut self) -> char {
        self.0.raw_read_ch()
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.0.raw_read_non_breakz_ch()
    }

    fn skip(&mut self) {
        self.0.skip();
    }

    fn skip_n(&mut self, count: usize) {
        self.0.skip_n(count);
    }

    fn peek(&self) -> char {
        self.0.peek()
    }

    fn peek_nth(&self, n: usize) -> char {
        self.0.peek_nth(n)
    }

    fn peek_opt(&self) -> Option<char> {
        self.0.peek_opt()
    }

    fn skip_while_non_breakz(&mut self) -> usize {
        self.0.skip_while_non_breakz()
    }

    fn skip_while_blank(&mut self) -> usize {
        self.0.skip_while_blank()
    }

    fn fetch_while_is_alpha(&mut self, out: &mut String) -> usize {
        self.0.fetch_while_is_alpha(out)
    }

    fn fetch_while_is_yaml_non_space(&mut self, out: &mut String) -> usize {
        self.0.fetch_while_is_yaml_non_space(out)
    }
}
