//! The values of `--cache-also`: names of tools, which completion scripts know.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};

use crate::ecosystem::{self, Ecosystem};

/// Takes a name of the table of ecosystems, with spaces around it as they come after a comma.
#[derive(Debug, Clone)]
pub(super) struct CacheAlsoParser;

impl TypedValueParser for CacheAlsoParser {
    type Value = &'static Ecosystem;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<&'static Ecosystem, Error> {
        let trimmed = value.to_str().map_or(value, |text| OsStr::new(text.trim()));
        // A tool that every build has may be named as well.
        let all = ecosystem::always().chain(ecosystem::on_request()).map(|ecosystem| ecosystem.name);
        let name = PossibleValuesParser::new(all).parse_ref(command, argument, trimmed)?;
        ecosystem::named(&name).ok_or_else(|| Error::new(ErrorKind::InvalidValue).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |ecosystem: &Ecosystem| {
            PossibleValue::new(ecosystem.name)
                .help(format!("{}, below {}", ecosystem.name, ecosystem.directory))
        };
        Some(Box::new(ecosystem::on_request().map(value)))
    }
}
