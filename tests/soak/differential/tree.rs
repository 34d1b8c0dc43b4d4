//! Trees as lines: a name and everything that belongs to it, in order.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The packages that a build wrote, by file name: their entries, and the digest of the file, which is the same as well.
pub(crate) fn of_packages(directory: &Path) -> BTreeMap<String, Vec<String>> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = format!("package {}", entry.file_name().to_string_lossy());
            (name, of_archive(&entry.path()))
        })
        .collect()
}

fn of_archive(path: &Path) -> Vec<String> {
    let file = File::open(path).unwrap();
    let reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "zst") {
        Box::new(zstd::Decoder::new(file).unwrap())
    } else {
        // The sections of a package are members of one gzip file, and together one archive.
        Box::new(flate2::read::MultiGzDecoder::new(file))
    };
    let mut archive = tar::Archive::new(reader);
    let mut lines = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path_bytes().escape_ascii().to_string();
        let link = entry.link_name_bytes().map(|link| link.escape_ascii().to_string());
        let header = entry.header().clone();
        let mut extensions = Vec::new();
        if let Some(records) = entry.pax_extensions().unwrap() {
            for record in records {
                let record = record.unwrap();
                let key = record.key().unwrap().to_owned();
                if !matches!(key.as_str(), "path" | "linkpath" | "size") {
                    extensions.push(format!("{key}={}", record.value_bytes().escape_ascii()));
                }
            }
        }
        extensions.sort();
        let mtime = header.mtime().unwrap();
        let content = digest(&mut entry);
        lines.push(format!(
            "{name} {:?} {:o} {}:{} {} {content} {} {mtime} {}",
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.size(),
            link.map_or(String::new(), |link| format!("-> {link}")),
            extensions.join(" ")
        ));
    }
    lines.sort();
    lines.push(format!("the file: {}", digest(&mut File::open(path).unwrap())));
    lines
}

/// A directory of the host, without times, kiln's own directory in a cache aside.
pub(crate) fn of_directory(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let kind = metadata.file_type();
            let name =
                path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes().escape_ascii().to_string();
            let content = if kind.is_file() {
                digest(&mut File::open(&path).unwrap())
            } else if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                format!("dir {} fifo {} socket {}", kind.is_dir(), kind.is_fifo(), kind.is_socket())
            };
            let links = if kind.is_file() { metadata.nlink() } else { 1 };
            lines.push(format!(
                "{name} {:o} {}:{} {links} {content}",
                metadata.mode(),
                metadata.uid(),
                metadata.gid()
            ));
            if kind.is_dir() {
                open.push(path);
            }
        }
    }
    lines.sort();
    lines
}

fn digest(reader: &mut impl Read) -> String {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    HEXLOWER.encode(&hasher.finalize()[..8])
}
