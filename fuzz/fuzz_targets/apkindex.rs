//! Any text as an index, and any bytes as its archive: it is read or refused, what is printed is read again, and the resolver
//! answers for each of its packages.
#![no_main]

use kiln::apk::{Index, IndexArchive, Repository, solve};
use libfuzzer_sys::fuzz_target;

/// Requests for each index: an index may have thousands of packages.
const REQUESTS: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let archive = IndexArchive::read(bytes).map(|archive| archive.records);
    let text = archive.unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned());
    let Ok(index) = Index::parse(&text) else { return };
    let printed = index.to_string();
    let again = Index::parse(&printed).expect("what kiln prints can be read");
    assert_eq!(again.to_string(), printed);
    assert_eq!(again.records.len(), index.records.len());
    let mut merged = index.clone();
    merged.merge(&again);
    assert_eq!(merged.records.len(), index.records.len());
    let repositories = [Repository { url: "r", tag: None, index: &index }];
    for record in index.records.iter().take(REQUESTS) {
        let requests: Vec<&str> = record.provides.iter().chain([record.name]).take(REQUESTS).collect();
        match solve(&requests, &repositories) {
            Ok(chosen) => assert!(!chosen.is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
