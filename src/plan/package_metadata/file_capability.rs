//! `package.setcap`: the extended attribute `security.capability` of files.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::manifest::Capability;

/// The capabilities that files may have, and their numbers of `linux/capability.h`. The compiler refuses others.
const NUMBERS: [(&str, u32); 5] = [
    ("cap_net_bind_service", 10),
    ("cap_net_admin", 12),
    ("cap_net_raw", 13),
    ("cap_ipc_lock", 14),
    ("cap_sys_admin", 21),
];

/// `VFS_CAP_REVISION_3` of `linux/capability.h`: the form with the user id of root.
const REVISION: u32 = 0x0300_0000;
/// `VFS_CAP_FLAGS_EFFECTIVE`.
const EFFECTIVE: u32 = 1;

/// The capabilities of a file of the main package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileCapability {
    /// The file, as the build file names it: relative to the package, perhaps with a `/` first.
    pub path: String,
    /// Bits of the permitted set.
    pub permitted: u32,
    /// Bits of the inheritable set.
    pub inheritable: u32,
    /// Whether the effective set is the permitted one.
    pub effective: bool,
}

impl FileCapability {
    /// The name of the attribute.
    pub const ATTRIBUTE: &str = "security.capability";

    /// The value of the attribute: `struct vfs_ns_cap_data`, little endian, with the user id 0.
    pub fn value(&self) -> [u8; 24] {
        let Self { path: _, permitted, inheritable, effective } = self;
        let magic = REVISION | if *effective { EFFECTIVE } else { 0 };
        let mut value = [0; 24];
        for (word, place) in [magic, *permitted, *inheritable].iter().zip(value.chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        value
    }
}

/// The capabilities of each file, in the order of the build file. Several entries of one file are joined.
pub(super) fn all(declared: &[Capability]) -> Vec<FileCapability> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all: Vec<FileCapability> = Vec::new();
    for capability in declared {
        let path = capability.path.as_str();
        let place = *places.entry(path).or_insert_with(|| {
            let (permitted, inheritable, effective) = (0, 0, false);
            all.push(FileCapability { path: path.to_owned(), permitted, inheritable, effective });
            all.len() - 1
        });
        let Some(file) = all.get_mut(place) else { continue };
        for (names, flags) in &capability.add {
            let named = |name: &str| NUMBERS.iter().find(|(known, _)| *known == name);
            let bits = names.split(',').filter_map(named).fold(0, |bits, (_, number)| bits | 1 << number);
            file.effective |= flags.contains('e');
            file.permitted |= if flags.contains('p') { bits } else { 0 };
            file.inheritable |= if flags.contains('i') { bits } else { 0 };
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Map;

    fn declared(path: &str, add: &[(&str, &str)]) -> Capability {
        let add: Map = add.iter().map(|&(names, flags)| (names.into(), flags.into())).collect();
        Capability { path: path.into(), add, ..Capability::default() }
    }

    #[test]
    fn the_attribute_is_that_of_the_kernel() {
        let all = all(&[
            declared("/usr/bin/ping", &[("cap_net_raw", "+ep")]),
            declared("/usr/bin/multi", &[("cap_net_bind_service,cap_net_admin", "+eip")]),
            declared("/usr/bin/ping", &[("cap_ipc_lock", "+p")]),
        ]);
        assert_eq!(
            all.iter().map(|file| &*file.path).collect::<Vec<_>>(),
            ["/usr/bin/ping", "/usr/bin/multi"]
        );
        assert_eq!(all[0].value()[..12], [1, 0, 0, 3, 0, 0x60, 0, 0, 0, 0, 0, 0]);
        assert_eq!(all[1].value()[..12], [1, 0, 0, 3, 0, 0x14, 0, 0, 0, 0x14, 0, 0]);
        assert_eq!(all[1].value()[12..], [0; 12]);
    }
}
