//! The root of a single package from its sections, without a repository: for fuzzing, which needs no right checksums.

use std::{
    fs::File,
    io::{Result, Seek, Write},
};

use super::{
    compose::compose,
    package::{Control, Package, data_entries, verify_files},
};
use crate::{
    apk::tar::invalid,
    image::erofs,
    plan::{ApkPackage, ApkRoot},
};

/// Writes the image of a package with these sections, which are not compressed, to the empty file `image`.
///
/// # Errors
/// `InvalidData` for sections and packages that are refused.
pub fn image_of_package(control: &[u8], data: &[u8], image: &File) -> Result<()> {
    let control = Control::read(control)?;
    let mut file = tempfile::tempfile()?;
    file.write_all(data)?;
    file.rewind()?;
    let entries = data_entries(&file, data.len() as u64)?;
    verify_files(&file, &entries)?;
    let package = ApkPackage {
        name: control.info.name.clone(),
        version: control.info.version.clone(),
        repository: "./packages".into(),
        checksum: "Q1".into(),
        size: data.len() as u64,
        tag: None,
        versioned_libraries: Vec::new(),
    };
    let recipe = ApkRoot { packages: vec![package], ..ApkRoot::default() };
    let composed = compose(&recipe, "x86_64", vec![Package { control, data: file, entries }]);
    let composed = composed.map_err(|failure| invalid(&failure.what))?;
    // What was accepted can be written: an error here is a defect.
    erofs::write(&composed.tree, &composed.sources, image).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use proptest::prelude::*;
    use tar::{Builder, EntryType, Header};

    use super::*;

    fn add(builder: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, content: &[u8], target: &str) {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        match target {
            "" => builder.append_data(&mut header, path, content).expect("added"),
            target => builder.append_link(&mut header, path, target).expect("added"),
        }
    }

    /// A control section and data with all that a root is composed of.
    fn sample() -> [Vec<u8>; 2] {
        let mut control = Builder::new(Vec::new());
        let info = b"pkgname = busybox\npkgver = 1-r0\narch = x86_64\nprovides = cmd:busybox=1-r0\ntriggers = /bin\n";
        add(&mut control, ".PKGINFO", EntryType::Regular, info, "");
        let mut data = Builder::new(Vec::new());
        for path in ["bin/", "etc/", "etc/ld.so.conf.d/", "etc/busybox-paths.d/", "lib/", "usr/"] {
            add(&mut data, path, EntryType::Directory, b"", "");
        }
        for (path, content) in [
            ("etc/passwd", &b"root:x:0:0:root:/root:/bin/sh\nn:x:9:9::/home/n:/bin/sh\n"[..]),
            ("etc/ld.so.conf", b"include ld.so.conf.d/*.conf\n/lib\n"),
            ("etc/ld.so.conf.d/x.conf", b"/usr/local/lib # x\n"),
            ("etc/busybox-paths.d/busybox", b"bin/sh\n/usr/bin/env\n"),
            ("lib/libx.so.1", b"\x7fELF\x02\x01"),
            ("bin/busybox", &[7; 5000]),
        ] {
            add(&mut data, path, EntryType::Regular, content, "");
        }
        add(&mut data, "bin/hard", EntryType::Link, b"", "bin/busybox");
        add(&mut data, "usr/bin", EntryType::Symlink, b"", "../bin");
        let records = [("SCHILY.xattr.user.x", &b"y"[..]), ("uid", b"70000")];
        data.append_pax_extensions(records).expect("added");
        add(&mut data, "usr/bin/through", EntryType::Regular, b"x", "");
        [control, data].map(|builder| builder.into_inner().expect("ended"))
    }

    /// Makes the sums of headers right, so that a change reaches what lies behind them.
    fn repair(tar: &mut [u8]) {
        for block in tar.chunks_exact_mut(512).filter(|block| block.get(257..262) == Some(b"ustar")) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }

    #[test]
    fn the_sample_is_an_image() {
        let [control, data] = sample();
        let image = tempfile::tempfile().expect("a file");
        image_of_package(&control, &data, &image).expect("composed");
        assert!(image.metadata().expect("a file").len() > 5000);
    }

    proptest! {
        #[test]
        fn no_package_is_too_odd(changes in prop::collection::vec((any::<bool>(), any::<usize>(), any::<u8>()), 1..6)) {
            let [mut control, mut data] = sample();
            for (is_control, at, byte) in changes {
                let tar = if is_control { &mut control } else { &mut data };
                let length = tar.len();
                tar[at % length] = byte;
            }
            repair(&mut control);
            repair(&mut data);
            let image = tempfile::tempfile().expect("a file");
            if let Err(error) = image_of_package(&control, &data, &image) {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidData, "{:#}", error);
            }
        }
    }
}
