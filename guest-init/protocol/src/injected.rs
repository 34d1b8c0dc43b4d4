//! Data that a guest gets after `Prepare` and before its first step: certificates, secrets. It is not part of a plan, and `Debug`
//! does not show it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Certificates that the host trusts, for the guest's stores.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// PEM blocks, one after the other; added to the guest's own bundle, and to the stores of its Java.
    pub bundle: String,
}

/// Secrets, for the steps' user alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The user that may read them.
    pub uid: u32,
    /// The group of the files.
    pub gid: u32,
    /// Each becomes a file of that name in `/run/secrets`.
    pub secrets: Vec<Secret>,
}

/// A secret: a file of its name in [`SECRETS`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// One component of a path.
    pub id: String,
    /// The content of the file.
    #[serde(with = "crate::bytes")]
    pub value: Vec<u8>,
}

/// Where secrets lie in a guest, on a file system in memory.
pub const SECRETS: &str = "/run/secrets";

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} bytes)", self.bundle.len())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_a_secret() {
        let secret = Secret { id: "token".into(), value: b"hunter2".to_vec() };
        let shown =
            format!("{:?}", crate::ToGuest::Secrets(Secrets { uid: 0, gid: 0, secrets: vec![secret] }));
        assert!(shown.contains("token") && !shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }
}
