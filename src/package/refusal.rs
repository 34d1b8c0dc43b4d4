//! The error of a stream that is refused: the entry and the reason.

use crate::exit::{Code, Failure};

/// Names longer than this are cut in messages.
const SHOWN: usize = 200;

const WAY_OUT: &str =
    "nothing was written; look at what the build leaves in melange-out, or raise the limit in the message";

/// A refusal of the entry `name` (as the guest spells it).
pub(super) fn refuse(name: &[u8], why: impl AsRef<str>) -> anyhow::Error {
    Failure::new(Code::Package, format!("the guest's archive: {}: {}", shown(name), why.as_ref()), WAY_OUT)
        .into()
}

/// A refusal of the stream as a whole.
pub(super) fn refuse_stream(why: impl AsRef<str>) -> anyhow::Error {
    Failure::new(Code::Package, format!("the guest's archive: {}", why.as_ref()), WAY_OUT).into()
}

/// A guest's name, fit for a message: in quotes, escaped, cut.
fn shown(name: &[u8]) -> String {
    let cut = &name[..name.len().min(SHOWN)];
    let dots = if cut.len() < name.len() { "…" } else { "" };
    // `Debug` of a string escapes control characters.
    format!("{:?}{dots}", String::from_utf8_lossy(cut))
}
