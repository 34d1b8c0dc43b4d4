//! Any bytes as the beginning of a package, and any text as its metadata: it is read or refused, and what is printed is read
//! again.
#![no_main]

use kiln::apk::{Index, PackageHead, PackageInfo};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let head = PackageHead::read(&mut &*bytes).map(|head| head.info).ok();
    let Some(info) = head.or_else(|| PackageInfo::parse(&String::from_utf8_lossy(bytes)).ok()) else { return };
    let Ok(printed) = info.print() else { return };
    assert_eq!(PackageInfo::parse(&printed).expect("what kiln prints can be read"), info);
    let Ok(entry) = info.index_entry(&[0; 20], 1) else { return };
    let index = Index::parse(&entry).expect("a record can be read");
    assert_eq!(index.records.len(), 1);
    assert_eq!((index.records[0].name, index.records[0].version), (info.name.as_str(), info.version.as_str()));
});
