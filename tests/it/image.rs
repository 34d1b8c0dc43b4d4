//! The image store with its real makers: mkfs.erofs, tar, and mmdebstrap where the network allows it.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command as Plain,
    sync::mpsc,
    time::Duration,
};

use kiln::{
    env::Env,
    event::{Event, ImageState},
    exit::{Code, code_of},
    home::Home,
    image::{ImageRecipe, Reference, Source, Store},
    process::{Command, Spawner},
};

use crate::{process::spawner, skip::skip};

/// A store of its own, and room for the roots of a test.
struct World {
    directory: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scratch = directory.path().join("scratch");
        fs::create_dir(&scratch).unwrap();
        let env: Env = [("TMPDIR", &scratch)].into_iter().collect();
        let store = Store::open(&Home::at(directory.path().join("home")), &env).unwrap();
        Self { directory, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What lies in the store and the scratch directory, but locks.
    fn leftovers(&self) -> Vec<String> {
        let names =
            |name: &str| fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().file_name());
        let all = names("home/images").chain(names("scratch"));
        let all = all.map(|name| name.to_string_lossy().into_owned());
        all.filter(|name| !name.ends_with(".lock") && name.len() != 64).collect()
    }
}

/// A root with one of everything, and things that an image must not have.
fn root(at: &Path) -> PathBuf {
    for directory in ["usr/bin", "proc/1", "tmp"] {
        fs::create_dir_all(at.join(directory)).unwrap();
    }
    fs::write(at.join("usr/bin/tool"), "tool").unwrap();
    fs::set_permissions(at.join("usr/bin/tool"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs::hard_link(at.join("usr/bin/tool"), at.join("usr/bin/same")).unwrap();
    symlink("usr/bin", at.join("bin")).unwrap();
    fs::write(at.join("proc/1/secret"), "of the host").unwrap();
    fs::write(at.join("tmp/junk"), "of the host").unwrap();
    at.to_path_buf()
}

fn recipe(source: Source) -> ImageRecipe {
    ImageRecipe::new(source, vec![], vec![], "amd64").unwrap()
}

fn tar(arguments: &[&str], at: &Path, root: &Path) -> PathBuf {
    let status =
        Plain::new("tar").args(arguments).arg("-cf").arg(at).arg("-C").arg(root).arg(".").status().unwrap();
    assert!(status.success());
    at.to_path_buf()
}

fn dump(image: &Path, path: &str) -> String {
    let path = format!("--path={path}");
    let output = Plain::new("dump.erofs").args([&path, "--ls"]).arg(image).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// dump.erofs does not show set-uid bits: the mode as the inode has it (erofs on-disk format: at 4; slots of 32 bytes).
fn mode(image: &Path, dumped: &str) -> u16 {
    let nid = dumped.split_once("NID: ").unwrap().1.split_whitespace().next().unwrap();
    let at = nid.parse::<usize>().unwrap() * 32 + 4;
    u16::from_le_bytes(fs::read(image).unwrap()[at..at + 2].try_into().unwrap())
}

fn states(events: &[Event]) -> Vec<ImageState> {
    events
        .iter()
        .filter_map(|e| if let Event::Image { state, .. } = e { Some(*state) } else { None })
        .collect()
}

async fn ensure(store: &Store, recipe: &ImageRecipe, spawner: &Spawner) -> (PathBuf, Vec<Event>) {
    let mut events = Vec::new();
    let image = store.ensure(recipe, spawner, &mut |event| events.push(event)).await.unwrap();
    (image.path, events)
}

/// The tree of [`root`], and nothing of the host.
fn assert_is_the_root(image: &Path) {
    let tool = dump(image, "/usr/bin/tool");
    assert!(tool.contains("Size: 4 ") && tool.contains("Links: 2 "), "{tool}");
    assert_eq!(mode(image, &tool), 0o104_755);
    assert!(dump(image, "/bin").contains("symlink file"));
    for empty in ["/proc", "/tmp"] {
        let listing = dump(image, empty);
        assert!(
            listing.contains("directory") && !listing.contains("secret") && !listing.contains("junk"),
            "{listing}"
        );
    }
}

#[tokio::test]
async fn a_directory_becomes_an_image_once_and_again_when_it_changes() {
    let (world, spawner) = (World::new(), spawner());
    let root = root(&world.path("root, with a comma"));
    let recipe = recipe(Source::Directory(root.clone()));
    let (first, events) = ensure(&world.store, &recipe, &spawner).await;
    assert_eq!(states(&events), [ImageState::Making, ImageState::Made]);
    assert_is_the_root(&first);
    let (second, events) = ensure(&world.store, &recipe, &spawner).await;
    assert_eq!((states(&events), &second), (vec![ImageState::Present], &first));
    fs::write(root.join("usr/bin/tool"), "loot").unwrap();
    let (third, _) = ensure(&world.store, &recipe, &spawner).await;
    assert_ne!(third, first);
    assert_eq!(world.store.list().unwrap().len(), 2);
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_tar_of_each_compression_becomes_an_image_whatever_its_name() {
    let (world, spawner) = (World::new(), spawner());
    let root = root(&world.path("root"));
    for (number, compression) in [&[][..], &["--gzip"], &["--xz"], &["--zstd"]].into_iter().enumerate() {
        let tar = tar(compression, &world.path(&format!("{number}.img")), &root);
        let (source, _) = Reference::parse(tar.to_str().unwrap()).unwrap().locate().unwrap();
        let (image, _) = ensure(&world.store, &recipe(source), &spawner).await;
        assert_is_the_root(&image);
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hostile_tar_writes_nothing_outside() {
    let (world, spawner) = (World::new(), spawner());
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap();
    let climb = format!("../../../../../../../../../../../..{target}/climbed");
    for (number, entries) in [
        vec![("link", Some(target), ""), ("link/through", None, "x")],
        vec![(climb.as_str(), None, "x")],
        vec![("dev", Some(target), ""), ("proc", Some(target), "")],
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(outside.join("kept"), "kept").unwrap();
        let tar = world.path(&format!("{number}.tar"));
        fs::write(&tar, hostile(&entries)).unwrap();
        // Refused or made harmless: both are right.
        let made = world.store.ensure(&recipe(Source::Tar(tar)), &spawner, &mut |_| ()).await;
        assert!(made.is_ok() || code_of(&made.unwrap_err()) == Code::Host);
        let left: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"], "case {number}");
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

/// A tar with names that the tar crate would refuse to write; (name, target of a symbolic link, content).
fn hostile(entries: &[(&str, Option<&str>, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, link, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(target) = link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn a_tar_that_is_broken_is_an_error_with_tars_own_words() {
    let (world, spawner) = (World::new(), spawner());
    let path = world.path("broken.tar");
    fs::write(&path, b"\x1f\x8b and no gzip").unwrap();
    let error = world.store.ensure(&recipe(Source::Tar(path)), &spawner, &mut |_| ()).await.unwrap_err();
    assert_eq!(code_of(&error), Code::Host);
    assert!(error.to_string().contains("gzip"), "{error:#}");
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn two_at_once_make_it_once_and_the_second_says_that_it_waits() {
    let (world, spawner) = (World::new(), spawner());
    let recipe = recipe(Source::Directory(root(&world.path("root"))));
    let other = world.store.clone();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut into_first = |event| first.push(event);
    let mut into_second = |event| second.push(event);
    let (a, b) = tokio::join!(
        world.store.ensure(&recipe, &spawner, &mut into_first),
        other.ensure(&recipe, &spawner, &mut into_second)
    );
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(states(&first), [ImageState::Making, ImageState::Made]);
    assert_eq!(states(&second), [ImageState::Waiting, ImageState::Present]);
}

#[tokio::test]
async fn what_a_killed_maker_left_is_swept_by_the_next() {
    let (world, spawner) = (World::new(), spawner());
    let tar = tar(&[], &world.path("root.tar"), &root(&world.path("root")));
    let recipe = recipe(Source::Tar(tar));
    // What is on disk when a power cut ends a maker: no destructor, no reaper.
    let key = world.store.key(&recipe).unwrap();
    let staging = world.path("scratch/kiln-image-0123456789abcdef-x");
    fs::create_dir_all(staging.join("root/usr")).unwrap();
    let attempt = world.path("home/images").join(format!(".making-{key}-x"));
    fs::create_dir(&attempt).unwrap();
    symlink(&staging, attempt.join("staging")).unwrap();
    fs::write(attempt.join("root.erofs"), "half").unwrap();
    assert_eq!(world.store.find(&recipe).unwrap(), None);
    let (image, _) = ensure(&world.store, &recipe, &spawner).await;
    assert_is_the_root(&image);
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupted_maker_leaves_nothing_and_releases_the_lock() {
    let (world, spawner) = (World::new(), spawner());
    let root = root(&world.path("root"));
    let mut junk = fs::File::create(root.join("big")).unwrap();
    (0..64).for_each(|n| junk.write_all(&vec![n; 1 << 20]).unwrap());
    let recipe = recipe(Source::Tar(tar(&["--xz"], &world.path("root.tar"), &root)));
    {
        // Dropped as soon as it says that it makes: as a Ctrl-C does.
        let (sender, receiver) = mpsc::channel();
        let mut sink = move |event| sender.send(event).unwrap_or_default();
        let making = world.store.ensure(&recipe, &spawner, &mut sink);
        let begun = tokio::time::timeout(Duration::from_millis(1), making).await;
        assert!(begun.is_err(), "64 MiB of xz take longer");
        assert_eq!(states(&receiver.try_iter().collect::<Vec<_>>()), [ImageState::Making]);
    }
    assert_eq!(world.store.find(&recipe).unwrap(), None);
    let (image, events) = ensure(&world.store, &recipe, &spawner).await;
    assert_eq!(states(&events), [ImageState::Making, ImageState::Made]);
    assert_is_the_root(&image);
    drop(spawner);
}

#[tokio::test]
async fn prune_removes_what_is_unwanted() {
    let (world, spawner) = (World::new(), spawner());
    let recipe = recipe(Source::Directory(root(&world.path("root"))));
    let (image, _) = ensure(&world.store, &recipe, &spawner).await;
    assert_eq!(world.store.prune(&spawner, |_| false).await.unwrap(), []);
    assert_eq!(world.store.prune(&spawner, |_| true).await.unwrap().len(), 1);
    assert!(!image.exists());
    assert_eq!(world.store.find(&recipe).unwrap(), None);
}

#[tokio::test]
async fn a_debian_root_is_installed_clean_and_known_by_its_release() {
    let (world, spawner) = (World::new(), spawner());
    let reachable = Command::new("apt-get").args(["--print-uris", "--yes", "download", "hello"]);
    let asked = spawner.output(reachable, Duration::from_secs(60)).await;
    if Plain::new("mmdebstrap").arg("--version").output().is_err() || !asked.is_ok_and(|o| o.status.success())
    {
        return skip("no mmdebstrap, or apt knows no packages");
    }
    let source = Source::Debian { suite: "bookworm".into() };
    let recipe = ImageRecipe::new(source, vec!["make".into()], vec![], "amd64").unwrap();
    let (path, events) = ensure(&world.store, &recipe, &spawner).await;
    assert!(events.iter().any(|event| matches!(event, Event::Note { .. })));
    let image = world.store.find(&recipe).unwrap().unwrap();
    for name in ["make ", "ca-certificates ", "libc6 "] {
        assert!(image.record.packages.iter().any(|package| package.starts_with(name)), "{name}");
    }
    assert!(dump(&path, "/usr/bin/make").contains("regular file"));
    for empty in ["/dev", "/proc", "/sys", "/run", "/var/lib/apt/lists", "/var/cache/apt"] {
        let listing = dump(&path, empty);
        let entries: Vec<_> = listing.lines().skip_while(|line| !line.contains("FILENAME")).skip(1).collect();
        assert_eq!(entries.len(), 2, "{empty}: {listing}");
    }
    for absent in ["/etc/resolv.conf", "/etc/hostname", "/usr/sbin/policy-rc.d"] {
        assert!(!dump(&path, absent).contains("regular file"), "{absent}");
    }
    assert!(dump(&path, "/etc/machine-id").contains("Size: 0"));
    // Nothing changes within the seconds of this test: asking the distribution gives the same hash.
    let mut events = Vec::new();
    let fresh = world.store.refresh(&recipe, &spawner, &mut |event| events.push(event)).await.unwrap();
    assert_eq!((fresh, states(&events)), (image, vec![ImageState::Present]));
    assert_eq!(world.leftovers(), Vec::<String>::new());
}
