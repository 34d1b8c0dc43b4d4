//! What `kiln bench io` compares: ways in which a guest, or the host itself, has a directory. Pure.

use crate::{
    bench::Variant,
    exit::Failure,
    plan::{CacheModeOption, CacheSharing, RunnerKind, VirtiofsOption},
};

/// The directory of the cache in a guest, in which the work is done.
const CACHE: &str = "/var/cache/melange/bench";
/// A directory on the guest's own disk.
const DISK: &str = "/var/tmp/bench";

/// A way to have a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// Its name for programs, and for `--shares`.
    pub(crate) id: String,
    /// Its name for people.
    pub(crate) title: String,
    /// The backend.
    pub(super) runner: RunnerKind,
    /// The cache in which the work is done; `None`: it is done on the guest's own disk.
    pub(super) cache: Option<CacheUse>,
    /// The requested number of queues of the embedded device.
    pub(super) request_queues: Option<u32>,
}

/// How a guest has the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheUse {
    pub(super) virtiofs: VirtiofsOption,
    pub(super) mode: CacheModeOption,
    /// Alone (`locked`) a guest caches without asking again, and writes back later.
    pub(super) sharing: CacheSharing,
}

/// The id of the host itself.
pub(crate) const HOST: &str = "host";
/// The id of the guest's own disk.
pub(crate) const OWN_DISK: &str = "disk";

/// All ways, in the order of the table. `queues` is the most that the embedded device can use in the guest: with more than one,
/// one queue is compared as well.
pub(crate) fn shares(queues: u32) -> Vec<Share> {
    use CacheModeOption::{Discard, Rw};
    use CacheSharing::{Locked, Shared};
    use VirtiofsOption::{Embedded, Off, Spawned};
    let mut all = vec![
        Share { runner: RunnerKind::Bubblewrap, ..share(HOST, "host, no guest", Off, Rw, Locked) },
        Share { cache: None, ..share(OWN_DISK, "block device, the guest's own disk", Off, Discard, Shared) },
        share("9p-ro", "9p read-only, writes in an overlay", Off, Discard, Shared),
        share("9p-rw", "9p read-write", Off, Rw, Locked),
        share("spawned-auto", "virtiofsd, shared (auto)", Spawned, Rw, Shared),
        share("spawned-always", "virtiofsd, alone (write-back)", Spawned, Rw, Locked),
    ];
    for (policy, title, sharing) in
        [("auto", "shared (auto)", Shared), ("always", "alone (write-back)", Locked)]
    {
        let one = share(
            &format!("embedded-{policy}"),
            &format!("embedded, {title}, 1 queue"),
            Embedded,
            Rw,
            sharing,
        );
        all.push(Share { request_queues: Some(1), ..one.clone() });
        if queues > 1 {
            all.push(Share {
                id: format!("embedded-{policy}-mq"),
                title: format!("embedded, {title}, {queues} queues"),
                request_queues: Some(queues),
                ..one
            });
        }
    }
    all
}

fn share(
    id: &str,
    title: &str,
    virtiofs: VirtiofsOption,
    mode: CacheModeOption,
    sharing: CacheSharing,
) -> Share {
    Share {
        id: id.into(),
        title: title.into(),
        runner: RunnerKind::Qemu,
        cache: Some(CacheUse { virtiofs, mode, sharing }),
        request_queues: None,
    }
}

/// Those that `--shares` names.
///
/// # Errors
/// A usage failure for a name that is none of them.
pub(crate) fn chosen(all: Vec<Share>, names: &[String]) -> Result<Vec<Share>, Failure> {
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|share| share.id == **name)) {
        let ids: Vec<&str> = all.iter().map(|share| share.id.as_str()).collect();
        return Err(Failure::usage(
            format!("--shares: there is no share {unknown:?} for this guest's kernel"),
            format!("Give one or more of these, with commas between them: {}.", ids.join(", ")),
        ));
    }
    Ok(all.into_iter().filter(|share| names.is_empty() || names.contains(&share.id)).collect())
}

/// The columns of the table. The host is the reference; where it is not among them, the guest's own disk is.
pub(crate) fn columns(shares: &[Share]) -> Vec<Variant> {
    let reference = [HOST, OWN_DISK].into_iter().find(|id| shares.iter().any(|share| share.id == *id));
    let column = |Share { id, title, .. }: &Share| Variant {
        id: id.clone(),
        title: title.clone(),
        reference: reference == Some(id.as_str()),
    };
    shares.iter().map(column).collect()
}

impl Share {
    /// The directory in the guest in which the work is done.
    pub(super) fn directory(&self) -> &'static str {
        if self.cache.is_some() { CACHE } else { DISK }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(shares: &[Share]) -> Vec<&str> {
        shares.iter().map(|share| share.id.as_str()).collect()
    }

    #[test]
    fn several_queues_are_compared_where_the_kernel_uses_them() {
        let (one, many) = (shares(1), shares(4));
        let usual = ["host", "disk", "9p-ro", "9p-rw", "spawned-auto", "spawned-always", "embedded-auto"];
        assert_eq!(ids(&one)[..7], usual);
        assert_eq!(ids(&one)[7..], ["embedded-always"]);
        assert_eq!(
            ids(&many)[6..],
            ["embedded-auto", "embedded-auto-mq", "embedded-always", "embedded-always-mq"]
        );
        let queues: Vec<Option<u32>> = many[6..].iter().map(|share| share.request_queues).collect();
        assert_eq!(queues, [Some(1), Some(4), Some(1), Some(4)]);
        assert!(many[9].title.ends_with(", 4 queues"), "{}", many[9].title);
    }

    #[test]
    fn the_reference_is_the_host_or_else_the_guests_own_disk() {
        let reference = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let columns = columns(&chosen(shares(1), &names).expect("they are there"));
            let of_them: Vec<String> =
                columns.into_iter().filter(|column| column.reference).map(|column| column.id).collect();
            of_them
        };
        assert_eq!(reference(&[]), ["host"]);
        assert_eq!(reference(&["9p-ro", "disk"]), ["disk"]);
        assert_eq!(reference(&["9p-ro", "9p-rw"]), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_name_is_an_error_that_has_all_names() {
        let error = chosen(shares(1), &["embedded-auto-mq".into()]).expect_err("one queue");
        assert!(error.way_out.ends_with("spawned-always, embedded-auto, embedded-always."), "{error:?}");
    }

    #[test]
    fn the_work_is_done_in_the_cache_or_on_the_guests_own_disk() {
        for share in shares(2) {
            let expected = if share.id == OWN_DISK { DISK } else { CACHE };
            assert_eq!(share.directory(), expected, "{}", share.id);
        }
    }
}
