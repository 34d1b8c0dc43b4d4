//! The report of a build: its events, the output of its steps, the report on its cache.

use std::process::Output;

use serde_json::Value;

/// The events of a build.
pub(super) struct Reported(Vec<Value>);

/// The report on a directory.
#[derive(Debug)]
pub(super) struct Row {
    /// Its content before the build.
    pub(super) before: Amount,
    /// The new content.
    pub(super) new: Amount,
    /// The part that was used, where that is measured.
    pub(super) reused: Option<Amount>,
}

/// Entries and bytes.
#[derive(Debug, Default)]
pub(super) struct Amount {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Reported {
    pub(super) fn new(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        Self(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Why it failed.
    pub(super) fn failure(&self) -> String {
        let finished = self.0.iter().find(|event| event["event"] == "finished");
        finished.map(Value::to_string).unwrap_or_default()
    }

    /// The output of the steps.
    pub(super) fn said(&self) -> String {
        self.0.iter().filter_map(|event| event["text"].as_str()).collect()
    }

    /// The output of the step of this name.
    pub(super) fn said_by(&self, name: &str) -> String {
        let its = self.0.iter().filter(|event| event["step"]["name"] == name);
        its.filter_map(|event| event["text"].as_str()).collect()
    }

    /// Bytes that the guest received, as its last step counted them.
    pub(super) fn received(&self) -> u64 {
        let said = self.said();
        // Maven's colours end at the beginning of another program's line.
        let line = said.lines().find_map(|line| Some(line.split_once(super::project::RECEIVED)?.1));
        line.unwrap_or_else(|| panic!("nothing was counted\n{said}")).trim().parse().unwrap()
    }

    /// Why the report does not say, or not wholly, what was used.
    pub(super) fn reused_why(&self) -> Option<String> {
        self.report()["reused_why"].as_str().map(str::to_owned)
    }

    /// The report on a directory of the cache; the writes were kept.
    pub(super) fn of_directory(&self, name: &str) -> Row {
        let report = self.report();
        assert_eq!(report["persisted"], true, "{report}");
        let rows = report["directories"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{report}"));
        let [before, new, reused] = ["before", "new", "reused"].map(|column| amount(&row[column]));
        Row {
            before: before.unwrap_or_else(|| panic!("{report}")),
            new: new.unwrap_or_else(|| panic!("{report}")),
            reused,
        }
    }

    fn report(&self) -> &Value {
        self.0.iter().find(|event| event["event"] == "cache").unwrap()
    }
}

fn amount(column: &Value) -> Option<Amount> {
    Some(Amount { entries: column["entries"].as_u64()?, bytes: column["bytes"].as_u64()? })
}
