//! The downloads of a command, added up, in words.

use super::format;
use crate::event::{Fetch, FetchState};

/// What is to be fetched, and what of it is here.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    files: usize,
    bytes: u64,
    done: usize,
    done_bytes: u64,
}

impl Fetches {
    pub(super) fn new(files: usize, bytes: u64) -> Self {
        Self { files, bytes, ..Self::default() }
    }

    /// What a download has come to: as an activity, with all of them, and as a line of its own.
    pub(super) fn take(&mut self, fetch: &Fetch) -> (String, String) {
        let Fetch { name, state, bytes, size } = fetch;
        let here = format::size(*bytes);
        let text = match (state, size) {
            (FetchState::Started, Some(size)) => format!("fetch {name}: {}", format::size(*size)),
            (FetchState::Started, None) => format!("fetch {name}"),
            (FetchState::Running, Some(size)) => format!("fetch {name}: {here} of {}", format::size(*size)),
            (FetchState::Running, None) => format!("fetch {name}: {here}"),
            (FetchState::Done, _) => format!("fetched {name}: {here}"),
        };
        if *state == FetchState::Done {
            self.done += 1;
            self.done_bytes = self.done_bytes.saturating_add(*bytes);
        }
        if self.files == 0 {
            return (text.clone(), text);
        }
        let (done, all) = (format::size(self.done_bytes), format::size(self.bytes));
        (format!("{text} ({} of {} packages, {done} of {all})", self.done, self.files), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_are_added_up() {
        let mut all = Fetches::new(2, 3 << 20);
        let fetch = |name: &str, state, bytes, size| Fetch { name: name.into(), state, bytes, size };
        let mut take = |fetch: &Fetch| all.take(fetch).0;
        let (started, running, done) = (FetchState::Started, FetchState::Running, FetchState::Done);
        assert_eq!(
            take(&fetch("a.apk", started, 0, Some(1 << 20))),
            "fetch a.apk: 1.0 MiB (0 of 2 packages, 0 B of 3.0 MiB)"
        );
        assert_eq!(
            take(&fetch("a.apk", running, 512 << 10, Some(1 << 20))),
            "fetch a.apk: 512 KiB of 1.0 MiB (0 of 2 packages, 0 B of 3.0 MiB)"
        );
        assert_eq!(
            take(&fetch("a.apk", done, 1 << 20, Some(1 << 20))),
            "fetched a.apk: 1.0 MiB (1 of 2 packages, 1.0 MiB of 3.0 MiB)"
        );
        let index = fetch("the index of https://r.example.org", running, 5, None);
        assert_eq!(Fetches::default().take(&index).1, "fetch the index of https://r.example.org: 5 B");
    }
}
