//! Images that are written and read again, by this module's reader and by the tools of others.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
};

use super::{Content, Erofs, Inode, Kind, Node, NodeId, Tree, write};

/// Sizes around a block, and around what is inlined.
const SIZES: [u64; 14] =
    [0, 1, 31, 32, 2047, 2048, 4031, 4032, 4064, 4095, 4096, 4097, 3 * 4096 + 5, 300_000];

fn put(tree: &mut Tree, directory: NodeId, name: &str, node: Node) -> NodeId {
    let node = tree.add(node);
    link(tree, directory, name, node);
    node
}

fn link(tree: &mut Tree, directory: NodeId, name: &str, node: NodeId) {
    tree.entries_mut(directory).expect("a directory").insert(name.into(), node);
}

fn directory() -> Kind {
    Kind::Directory(BTreeMap::new())
}

fn bytes(size: u64) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

/// A tree with all that an image can hold, and the file that has a part of its contents.
fn tree() -> (Tree, File) {
    let mut source = tempfile::tempfile().expect("a file");
    source.write_all(&[9; 777]).expect("written");
    source.write_all(&bytes(400_000)).expect("written");
    let mut tree = Tree::new();
    tree.nodes[Tree::ROOT].mtime = 1_700_000_000;
    for size in SIZES {
        let extent = Kind::File(Content::Extent { source: 0, offset: 777, size });
        put(&mut tree, Tree::ROOT, &format!("extent-{size}"), Node::new(extent, 0o644));
        let own = Kind::File(Content::Bytes(bytes(size)));
        let mut node = Node::new(own, 0o4711);
        (node.mtime, node.uid, node.gid) = (1_700_000_000, 7, 65_536);
        put(&mut tree, Tree::ROOT, &format!("bytes-{size}"), node);
    }
    let many = put(&mut tree, Tree::ROOT, "many", Node::new(directory(), 0o1777));
    for at in 0..1000 {
        let own = Kind::File(Content::Bytes(at.to_string().into()));
        put(
            &mut tree,
            many,
            &format!("{}name long enough for several blocks {at}", "!+.a"),
            Node::new(own, 0o600),
        );
    }
    put(&mut tree, many, "!before the dot", Node::new(directory(), 0o2755));
    let mut node = Node::new(Kind::File(Content::Bytes(b"x".into())), 0o755);
    node.xattrs.insert(b"security.capability".into(), vec![1, 0, 0, 3, 0, 0, 0, 0]);
    node.xattrs.insert(b"user.long".into(), bytes(5000));
    node.xattrs.insert(b"user.empty".into(), Vec::new());
    let named = put(&mut tree, Tree::ROOT, "attributes", node);
    link(&mut tree, many, "zweiter Name ü", named);
    put(&mut tree, Tree::ROOT, "link", Node::new(Kind::Symlink("../a/where ever".into()), 0o777));
    put(&mut tree, Tree::ROOT, "long link", Node::new(Kind::Symlink(vec![b'l'; 4095]), 0o777));
    let mut deep = Tree::ROOT;
    for _ in 0..300 {
        deep = put(&mut tree, deep, "d", Node::new(directory(), 0o755));
    }
    (tree, source)
}

fn image(tree: &Tree, sources: &[File], path: &Path) {
    let image = File::options().read(true).write(true).create(true).truncate(true).open(path);
    write(tree, sources, &image.expect("made")).expect("an image");
}

/// Compares a node and all below it with its inode.
fn compare(
    tree: &Tree,
    source: &[u8],
    erofs: &Erofs,
    id: NodeId,
    inode: &Inode,
    links: &mut BTreeMap<NodeId, u64>,
) {
    let node = &tree.nodes[id];
    assert_eq!(inode.mode, u32::from(node.st_mode()));
    assert_eq!((inode.uid, inode.gid, inode.mtime), (node.uid, node.gid, (node.mtime, 0)));
    assert_eq!(*links.entry(id).or_insert(inode.number), inode.number, "a hard link is one inode");
    let attributes: BTreeMap<_, _> = erofs.xattrs(inode).expect("attributes").into_iter().collect();
    assert_eq!(attributes, node.xattrs);
    match &node.kind {
        Kind::Directory(entries) => {
            let found = erofs.entries(inode).expect("entries");
            let names: Vec<_> = found.iter().map(|(name, _)| name).collect();
            assert_eq!(names, entries.keys().collect::<Vec<_>>());
            for ((_, number), child) in found.iter().zip(entries.values()) {
                compare(tree, source, erofs, *child, &erofs.inode(*number).expect("an inode"), links);
            }
        }
        Kind::File(Content::Bytes(bytes)) | Kind::Symlink(bytes) => {
            assert_eq!(&erofs.content(inode).expect("content"), bytes);
        }
        Kind::File(Content::Extent { offset, size, .. }) => {
            let wanted = &source[*offset as usize..(offset + size) as usize];
            assert_eq!(erofs.content(inode).expect("content"), wanted);
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    let work = tempfile::tempdir().expect("a directory");
    let path = work.path().join("image");
    let (tree, file) = tree();
    let source = [vec![9; 777], bytes(400_000)].concat();
    image(&tree, &[file], &path);
    let erofs = Erofs::open(&path).expect("an image");
    let root = erofs.root().expect("the root");
    compare(&tree, &source, &erofs, Tree::ROOT, &root, &mut BTreeMap::new());
    assert_eq!(root.links, 2 + 2, "many, d");
    let attributes =
        erofs.entries(&root).expect("entries").into_iter().find(|(name, _)| name == b"attributes");
    assert_eq!(erofs.inode(attributes.expect("there").1).expect("an inode").links, 2);
}

#[test]
fn the_same_tree_is_the_same_image_and_takes_little_more_than_its_contents() {
    let work = tempfile::tempdir().expect("a directory");
    let (one, two) = (work.path().join("one"), work.path().join("two"));
    let (tree, file) = tree();
    let again = file.try_clone().expect("a descriptor");
    image(&tree, &[file], &one);
    image(&tree, &[again], &two);
    let (one, two) = (fs::read(&one).expect("read"), fs::read(&two).expect("read"));
    assert!(one == two);
    let contents: u64 = 2 * SIZES.iter().sum::<u64>();
    assert!(one.len() as u64 > contents && (one.len() as u64) < contents + 300_000, "{}", one.len());
}

#[test]
fn the_tools_of_erofs_accept_it() {
    let work = tempfile::tempdir().expect("a directory");
    let (path, out) = (work.path().join("image"), work.path().join("out"));
    let (tree, file) = tree();
    image(&tree, &[file], &path);
    let mut extract = std::ffi::OsString::from("--extract=");
    extract.push(&out);
    // The package that `kiln image build` needs has it.
    let run = Command::new("fsck.erofs").arg(extract).arg(&path).output().expect("fsck.erofs is there");
    assert!(
        run.status.success(),
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    for size in SIZES {
        for name in ["extent", "bytes"] {
            let name = format!("{name}-{size}");
            assert!(fs::read(out.join(&name)).expect("there") == bytes(size), "{name}");
        }
    }
    assert_eq!(fs::read_link(out.join("long link")).expect("a link").as_os_str().len(), 4095);
    assert_eq!(fs::read_dir(out.join("many")).expect("a directory").count(), 1002);
}

#[test]
fn a_tree_that_the_format_cannot_hold_is_an_error() {
    let refused = |change: fn(&mut Tree)| {
        let mut tree = Tree::new();
        change(&mut tree);
        let file = tempfile::tempfile().expect("a file");
        write(&tree, &[], &file).expect_err("it cannot be held").to_string()
    };
    let told = refused(|tree| {
        put(tree, Tree::ROOT, "a/b", Node::new(directory(), 0o755));
    });
    assert_eq!(told, "\"a/b\" is not a name");
    let told = refused(|tree| {
        let below = put(tree, Tree::ROOT, "a", Node::new(directory(), 0o755));
        link(tree, below, "b", Tree::ROOT);
    });
    assert_eq!(told, "a directory has two names");
    let told = refused(|tree| {
        tree.nodes[Tree::ROOT].xattrs.insert(b"nfs.acl".into(), Vec::new());
    });
    assert_eq!(told, "the attribute nfs.acl has no known prefix");
    let told = refused(|tree| {
        let gone = Kind::File(Content::Extent { source: 0, offset: 0, size: 1 });
        put(tree, Tree::ROOT, "a", Node::new(gone, 0o755));
    });
    assert_eq!(told, "a content lies in no source");
}
