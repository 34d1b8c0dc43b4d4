//! An image as a tree of files, for sandboxes of users whose kernel does not mount it: unpacked once, shared by all runs.
//!
//! It is in the image's own entry and is removed with it. A run that uses it holds the entry's lock, shared, so that it is not
//! removed meanwhile.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use super::{Image, Store};
use crate::{
    event::{Event, Sink},
    exit::Failure,
    plan::{Ids, user_namespace},
    process::{self, Command, Spawner, Stdio},
};

/// Gigabytes on a slow disk.
const UNPACKING: Duration = Duration::from_secs(1800);

/// A tree, which stays for as long as this is held.
#[derive(Debug)]
pub struct Tree {
    /// Where.
    pub path: PathBuf,
    _lock: Flock<File>,
}

impl Store {
    /// The tree of `image` whose owners are right for a sandbox in which the invoking user is `inside`.
    ///
    /// # Errors
    /// A host failure when it cannot be unpacked.
    pub async fn tree(
        &self,
        image: &Image,
        ids: Ids,
        inside: (u32, u32),
        spawner: &Spawner,
        sink: &mut dyn Sink,
    ) -> Result<Tree> {
        let entry = image.path.parent().context("an image is in its entry")?;
        let path = entry.join(name(ids, inside));
        if !path.exists() {
            let _alone = self.lock(&image.key, &image.record.recipe, sink).await?;
            if !path.exists() {
                sink.emit(Event::Note { text: "unpack the image: this user cannot mount it".into() });
                unpack(image, &path, &user_namespace(ids, inside), spawner).await?;
            }
        }
        let lock = Flock::lock(self.lock_file(&image.key)?, FlockArg::LockShared)
            .map_err(|(_, error)| error)
            .context("hold the tree of an image")?;
        Ok(Tree { path, _lock: lock })
    }
}

/// Owners differ: root's files belong to the invoking user if that is root inside, else to the first id of the range. Without
/// a range, all files belong to the invoking user.
fn name(ids: Ids, inside: (u32, u32)) -> String {
    match (ids, inside) {
        (Ids::Own | Ids::Root, _) => "tree".into(),
        (Ids::Range, (0, 0)) => "tree-of-user".into(),
        (Ids::Range, (1000, 1000)) => "tree-of-range".into(),
        // Files of these ids in the image belong to the invoking user in the tree.
        (Ids::Range, (uid, gid)) => format!("tree-of-{uid}-{gid}"),
        (Ids::SingleUid, _) => "tree-of-one".into(),
    }
}

/// Unpacks beside the final place; a tree under its name is whole.
async fn unpack(image: &Image, path: &Path, prefix: &[String], spawner: &Spawner) -> Result<()> {
    let making = path.with_extension("making");
    process::remove(&making).with_context(|| format!("remove {}", making.display()))?;
    let at_end = spawner.remove_at_end(&making);
    let mut line = prefix.to_vec();
    line.push("fsck.erofs".into());
    let sole =
        line.iter().any(|word| word == "--map-user=0") && !line.iter().any(|word| word == "--map-auto");
    line.extend(
        ["--preserve-perms", if sole { "--no-preserve-owner" } else { "--preserve-owner" }]
            .map(str::to_owned),
    );
    let mut extract = OsString::from("--extract=");
    extract.push(&making);
    let command = Command::new(line[0].clone()).args(&line[1..]).arg(extract).arg(&image.path);
    let output = spawner.output(command.stdin(Stdio::Null), UNPACKING).await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        process::remove(&making).with_context(|| format!("remove {}", making.display()))?;
        return Err(Failure::host(
            format!("fsck.erofs cannot unpack {}: {said}", image.path.display()),
            "apt-get install erofs-utils, and see that the disk has room",
        )
        .into());
    }
    fs::rename(&making, path).with_context(|| format!("keep {}", path.display()))?;
    at_end.forget(&making);
    Ok(())
}
