//! The agent's own capabilities (capabilities(7)).

use rustix::{
    io,
    thread::{capabilities, set_capabilities},
};

/// Makes all permitted capabilities of the agent effective: a change of the ids for file systems takes some away.
pub(crate) fn raise() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective = sets.permitted;
    set_capabilities(None, sets)
}
