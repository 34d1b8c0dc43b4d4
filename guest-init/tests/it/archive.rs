//! An exported archive, read by another tar reader.

use std::{collections::BTreeMap, io::Read};

use kiln_protocol::{FromGuest, ToGuest};
use tar::EntryType;

use crate::agent::Agent;

/// The agent's answer to `request`: the stream, and the reported number of entries.
pub(crate) fn exported(agent: &mut Agent, request: &ToGuest) -> (Vec<u8>, u64) {
    agent.send(request);
    let mut archive = Vec::new();
    loop {
        match agent.recv() {
            Some(FromGuest::Data(bytes)) => archive.extend(bytes),
            Some(FromGuest::Exported { entries, bytes }) => {
                assert_eq!(bytes, archive.len() as u64);
                return (archive, entries);
            }
            other => panic!("the export was answered with {other:?}"),
        }
    }
}

/// One entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: EntryType,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) content: Vec<u8>,
    pub(crate) pax: BTreeMap<String, Vec<u8>>,
}

/// All entries, in their order.
pub(crate) fn read(archive: &[u8]) -> Vec<(Vec<u8>, Seen)> {
    let mut records: Vec<BTreeMap<String, Vec<u8>>> = pax_headers(archive);
    records.reverse();
    let mut archive = tar::Archive::new(archive);
    let mut seen = Vec::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let has_records = entry.pax_extensions().expect("a pax header").is_some();
        let pax = if has_records { records.pop().expect("its own") } else { BTreeMap::new() };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        let header = entry.header();
        let owner = (header.uid().expect("uid"), header.gid().expect("gid"));
        let (kind, mode) = (header.entry_type(), header.mode().expect("mode"));
        let link = entry.link_name_bytes().map(|name| name.into_owned());
        seen.push((entry.path_bytes().into_owned(), Seen { kind, mode, owner, link, content, pax }));
    }
    seen
}

/// The records of each pax header. The crate's own reader splits them at newlines, which values may contain.
fn pax_headers(archive: &[u8]) -> Vec<BTreeMap<String, Vec<u8>>> {
    let mut headers = Vec::new();
    for entry in tar::Archive::new(archive).entries().expect("entries").raw(true) {
        let mut entry = entry.expect("an entry");
        if entry.header().entry_type() != EntryType::XHeader {
            continue;
        }
        let (mut bytes, mut records) = (Vec::new(), BTreeMap::new());
        entry.read_to_end(&mut bytes).expect("records");
        let mut rest = bytes.as_slice();
        while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
            let length: usize = String::from_utf8_lossy(&rest[..space]).parse().expect("a length");
            let record = rest[space + 1..length].strip_suffix(b"\n").expect("a newline");
            let equals = record.iter().position(|byte| *byte == b'=').expect("an equals sign");
            let key = String::from_utf8(record[..equals].to_vec()).expect("UTF-8");
            records.insert(key, record[equals + 1..].to_vec());
            rest = &rest[length..];
        }
        headers.push(records);
    }
    headers
}

/// The only entry of that name.
pub(crate) fn entry<'s>(seen: &'s [(Vec<u8>, Seen)], path: &[u8]) -> &'s Seen {
    let mut found = seen.iter().filter(|(name, _)| name == path).map(|(_, entry)| entry);
    let entry = found.next().unwrap_or_else(|| panic!("no {:?}", String::from_utf8_lossy(path)));
    assert!(found.next().is_none(), "{:?} twice", String::from_utf8_lossy(path));
    entry
}
