//! The isolation of a container.

use super::probe::Docker;
use crate::backend::isolation::{GIVEN, Isolation};

impl Docker {
    /// As the daemon of this host gives it.
    pub fn isolation(&self) -> Isolation {
        let own = [
            "mounts",
            "processes",
            "host name",
            "devices",
            "memory and processors (limited)",
            "network (docker's bridge)",
            "docker's capabilities",
        ];
        let mut isolation = Isolation::new(&own, &["kernel", "root inside is root of this machine", GIVEN]);
        isolation.own.extend(self.security.iter().cloned());
        isolation
    }
}
