//! The abilities of the terminal at stderr: from the environment, once; its width from the terminal, at each redraw.

use std::{env, io::stderr};

use terminal_size::{Width, terminal_size_of};

/// The width of a terminal that does not tell its own.
const COLUMNS: usize = 80;

/// A terminal.
pub struct Terminal {
    /// Its width now.
    pub columns: Box<dyn Fn() -> usize + Send>,
    /// Whether it moves its cursor.
    pub can_move: bool,
    /// Whether colours are wanted.
    pub colour: bool,
    /// Whether it shows more than ASCII.
    pub unicode: bool,
}

impl Terminal {
    /// The one at stderr.
    pub fn of_process() -> Self {
        Self::from_env(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// A terminal of unknown width.
    pub(super) fn unknown() -> Self {
        Self { columns: Box::new(|| COLUMNS), ..Self::of_process() }
    }

    fn from_env(var: impl Fn(&str) -> Option<String>) -> Self {
        let columns =
            || terminal_size_of(stderr()).map_or(COLUMNS, |(Width(columns), _)| usize::from(columns));
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(&var).unwrap_or_default().to_lowercase();
        Self {
            columns: Box::new(columns),
            can_move: var("TERM").is_some_and(|term| term != "dumb"),
            // https://no-color.org: present and not empty.
            colour: var("NO_COLOR").is_none(),
            unicode: locale.ends_with("utf-8") || locale.ends_with("utf8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_what_a_terminal_can_show() {
        let terminal = |vars: &'static [(&str, &str)]| {
            let var =
                |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
            let Terminal { columns: _, can_move, colour, unicode } = Terminal::from_env(var);
            (can_move, colour, unicode)
        };
        assert_eq!(terminal(&[("TERM", "xterm"), ("LANG", "de_DE.UTF-8")]), (true, true, true));
        assert_eq!(
            terminal(&[("TERM", "dumb"), ("NO_COLOR", "1"), ("LANG", "C.utf8")]),
            (false, false, true)
        );
        assert_eq!(terminal(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), (false, true, false));
    }
}
