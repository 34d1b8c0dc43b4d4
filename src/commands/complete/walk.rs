//! Where the last word of a command line stands: clap's own types, read word by word. Pure.

use clap::{Arg, Command};

/// What may stand in the place of the last word.
#[derive(Debug)]
pub(super) enum Position<'c> {
    /// A sub-command or a value of a positional argument, or an option.
    Word { command: &'c Command, positional: Option<&'c Arg>, is_first: bool, text: &'c str },
    /// The value of an option; `before` is the part of the word that is not it (`--image=`).
    Value { command: &'c Command, option: &'c Arg, before: &'c str, text: &'c str },
    /// Only a value of this argument: what follows `--` is no option.
    Last { command: &'c Command, positional: Option<&'c Arg>, text: &'c str },
}

/// Reads a command line. The first word is the program.
pub(super) fn position<'c>(root: &'c Command, words: &'c [String]) -> Position<'c> {
    let (text, before) = words.split_last().map_or(("", &[][..]), |(text, before)| (&**text, before));
    let mut line = Line { command: root, escaped: false, open: None, positionals: 0 };
    before.iter().skip(1).for_each(|word| line.read(word));
    line.at(text)
}

/// What was read so far.
struct Line<'c> {
    command: &'c Command,
    /// `--` was there.
    escaped: bool,
    /// The option whose value comes next.
    open: Option<&'c Arg>,
    positionals: usize,
}

impl<'c> Line<'c> {
    fn read(&mut self, word: &str) {
        if self.open.take().is_some() {
            return;
        }
        match word {
            _ if self.escaped => self.positionals += 1,
            "--" => self.escaped = true,
            "-" => self.positionals += 1,
            _ if word.starts_with("--") => {
                if !word.contains('=') {
                    self.open = self.long(&word[2..]).filter(|option| takes_a_value(option));
                }
            }
            _ if word.starts_with('-') => self.open = self.short(&word[1..]),
            _ => match self.command.find_subcommand(word).filter(|_| self.positionals == 0) {
                Some(below) => self.command = below,
                None => self.positionals += 1,
            },
        }
    }

    fn at(self, text: &'c str) -> Position<'c> {
        let command = self.command;
        if let Some(option) = self.open {
            return Position::Value { command, option, before: "", text };
        }
        if self.escaped {
            return Position::Last { command, positional: self.positional(), text };
        }
        if let Some((name, value)) = text.strip_prefix("--").and_then(|rest| rest.split_once('='))
            && let Some(option) = self.long(name).filter(|option| takes_a_value(option))
        {
            let before = &text[..text.len() - value.len()];
            return Position::Value { command, option, before, text: value };
        }
        let is_first = self.positionals == 0;
        Position::Word { command, positional: self.positional(), is_first, text }
    }

    fn long(&self, name: &str) -> Option<&'c Arg> {
        self.command.get_arguments().find(|argument| argument.get_long() == Some(name))
    }

    /// The last of a bundle of options, if its value is the next word.
    fn short(&self, bundle: &str) -> Option<&'c Arg> {
        let option = |char| self.command.get_arguments().find(|argument| argument.get_short() == Some(char));
        let mut chars = bundle.chars();
        let taker = chars.find_map(|char| option(char).filter(|option| takes_a_value(option)))?;
        chars.as_str().is_empty().then_some(taker)
    }

    /// The positional argument that comes next: the one that takes all that is left, where there is no further one.
    fn positional(&self) -> Option<&'c Arg> {
        let all = || self.command.get_positionals();
        if let Some(last) = all().find(|argument| self.escaped && argument.is_last_set()) {
            return Some(last);
        }
        let mut usual: Vec<&Arg> = all().filter(|argument| !argument.is_last_set()).collect();
        usual.sort_by_key(|argument| argument.get_index());
        let is_list = |argument: &&Arg| argument.get_num_args().is_some_and(|count| count.max_values() > 1);
        usual.get(self.positionals).or(usual.last().filter(|last| is_list(last))).copied()
    }
}

/// Whether the word after this option is its value in any case.
fn takes_a_value(option: &Arg) -> bool {
    option.get_num_args().is_some_and(|count| count.min_values() > 0)
}
