//! A live display: the current activity with its time is at the bottom of the terminal; everything else scrolls above it.
//!
//! Each frame is one write: it removes the old bottom lines, prints new lines and draws the bottom lines again. It never hides the
//! cursor or switches a mode, so there is nothing to restore when kiln is killed.

use std::{io::Write, time::Duration};

use super::{
    Terminal,
    build_state::{BuildState, Message},
    display::{Display, Out},
    format,
    sanitize::{Colour, sanitize},
    summary::{LastLines, Line},
};
use crate::event::{Event, Status};

/// The time of each picture of the spinner.
const SPIN: Duration = Duration::from_millis(100);

/// Nothing is drawn before this time, so that an error of the command line leaves no trace of a display.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// The live display.
pub(super) struct Tty {
    out: Out,
    terminal: Terminal,
    state: BuildState,
    /// Nothing is drawn at the bottom before this time.
    patience: Duration,
    /// The widths of the bottom lines on the terminal.
    drawn: Vec<usize>,
}

/// How a piece of text looks (SGR parameters).
#[derive(Debug, Clone, Copy)]
enum Style {
    Good,
    Bad,
    Dim,
    Bold,
}

impl Tty {
    pub(super) fn new(out: Box<dyn Write + Send>, terminal: Terminal, patience: Duration) -> Self {
        Self { out: Out(Some(out)), terminal, state: BuildState::default(), patience, drawn: Vec::new() }
    }

    /// Prints lines above the bottom.
    fn frame(&mut self, lines: &[String], now: Duration) {
        let columns = (self.terminal.columns)().max(1);
        let bottom = self.bottom(now, columns);
        let mut text = erase(&self.drawn, columns);
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = bottom.iter().map(|line| width(line)).collect();
        match &bottom[..] {
            [activity, heading] => {
                text.push_str(&format!("{activity}\n{}", self.paint(Style::Dim, heading)));
            }
            [activity] => text.push_str(activity),
            _ => {}
        }
        if !text.is_empty() {
            self.out.write(&text);
        }
    }

    /// The current activity and the build; narrower than the terminal, so that no line wraps.
    fn bottom(&self, now: Duration, columns: usize) -> Vec<String> {
        let activity = self.state.activity.as_ref().filter(|_| now >= self.patience);
        let Some((activity, since)) = activity else { return Vec::new() };
        let pictures =
            if self.terminal.unicode { ['⠋', '⠹', '⠼', '⠧'] } else { ['|', '/', '-', '\\'] };
        let picture = pictures[(now.as_millis() / SPIN.as_millis()) as usize % pictures.len()];
        let time = format::duration(now.saturating_sub(*since));
        let activity = self.text(activity, Colour::Drop);
        let total = format::duration(now);
        let heading =
            self.state.heading().map(|text| format!("  {total} {}", self.text(&text, Colour::Drop)));
        [Some(format!("{picture} {time} {activity}")), heading]
            .into_iter()
            .flatten()
            .map(|line| clip(&line, columns - 1))
            .collect()
    }

    fn lines(&self, message: Message) -> Vec<String> {
        let (good, bad) = if self.terminal.unicode { ("✓", "✗") } else { ("ok", "FAILED") };
        vec![match message {
            Message::Fetch(_) => return Vec::new(),
            Message::Line(text) => self.text(&text, Colour::Drop),
            Message::Started(label) => {
                self.paint(Style::Bold, &format!("[{}]", self.text(&label, Colour::Drop)))
            }
            Message::Output(_, text) => self.output(&text),
            Message::Ended(label, status, time) => {
                let (style, mark) =
                    if status == Status::Code(0) { (Style::Good, good) } else { (Style::Bad, bad) };
                let label = self.text(&label, Colour::Drop);
                let mark = self.paint(style, mark);
                format!("{mark} [{label}] {}, {}", format::status(status), format::duration(time))
            }
            Message::Summary(summary) => {
                let lines = summary.lines(LastLines::Above).into_iter();
                return lines.map(|line| self.summary(line)).collect();
            }
        }]
    }

    fn summary(&self, line: Line) -> String {
        match line {
            Line::Good(text) => self.paint(Style::Good, &self.text(&text, Colour::Drop)),
            Line::Bad(text) => self.paint(Style::Bad, &self.text(&text, Colour::Drop)),
            Line::Plain(text) => self.text(&text, Colour::Drop),
            Line::Quoted(text) => format!("  | {}", self.output(&text)),
        }
    }

    /// A line of a step, with its colours if the terminal has colours.
    fn output(&self, text: &str) -> String {
        self.text(text, if self.terminal.colour { Colour::Keep } else { Colour::Drop })
    }

    fn text(&self, text: &str, colour: Colour) -> String {
        let text = sanitize(text, colour);
        if self.terminal.unicode { text } else { text.replace(|char: char| !char.is_ascii(), "?") }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Good => 32,
            Style::Bad => 31,
            Style::Dim => 2,
            Style::Bold => 1,
        };
        if self.terminal.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into() }
    }
}

/// Removes the bottom lines. The terminal may have become narrower since, and have wrapped them.
fn erase(drawn: &[usize], columns: usize) -> String {
    let rows: usize = drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
    match rows {
        0 => String::new(),
        1 => "\r\u{1b}[J".into(),
        rows => format!("\r\u{1b}[{}A\u{1b}[J", rows - 1),
    }
}

/// The start of a text that fits so many columns.
fn clip(text: &str, columns: usize) -> String {
    let mut used = 0;
    let fits = |char: &char| {
        used += columns_of(*char);
        used <= columns
    };
    text.chars().map(|char| if char == '\t' { ' ' } else { char }).take_while(fits).collect()
}

fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// East Asian characters and emoji take two columns; unknown characters count as wide.
fn columns_of(char: char) -> usize {
    match char {
        '\0'..'\u{1100}' | '\u{2000}'..'\u{2900}' => 1,
        _ => 2,
    }
}

impl Display for Tty {
    fn show(&mut self, event: Event, now: Duration) {
        let messages = self.state.take(&event, now);
        let is_partial_line = messages.is_empty() && matches!(event, Event::Output { .. });
        if !is_partial_line {
            let lines: Vec<String> = messages.into_iter().flat_map(|message| self.lines(message)).collect();
            self.frame(&lines, now);
        }
    }

    fn tick(&mut self, now: Duration) {
        if now >= PATIENCE {
            self.state.has_begun();
        }
        self.frame(&[], now);
    }

    fn end(&mut self, now: Duration) {
        self.state.has_ended();
        self.frame(&[], now);
    }
}
