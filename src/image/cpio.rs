//! A writer of cpio archives in the "newc" format, as the kernel unpacks an initramfs from (initramfs buffer-format.rst).
//!
//! [`super::initramfs`] chooses the files. They belong to root and have no time, so that equal contents give
//! equal bytes.

/// An archive in the making.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    /// A directory; its parent must have been added before.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// A regular file; `mode` is its permission bits.
    pub fn file(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.entry(path, FILE | mode, (0, 0), contents);
    }

    /// A character device for root alone.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The whole archive, with its trailer.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), contents: &[u8]) {
        self.inode += 1;
        let name = path.trim_start_matches('/');
        let links = 1 + u32::from(mode & DIRECTORY != 0 && mode & FILE == 0);
        let size = u32::try_from(contents.len()).expect("nothing in an initramfs is as large as 4 GiB");
        let name_size = name.len() as u32 + 1;
        // magic, then: ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        self.bytes.extend(b"070701");
        for field in [self.inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0] {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    /// Header with name, and contents, each end on a multiple of 4.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_byte_for_byte_newc() {
        let mut archive = Archive::default();
        archive.directory("/dev");
        archive.character_device("/dev/console", 5, 1);
        archive.file("/init", 0o755, b"hello");
        let zeros = |n: usize| "00000000".repeat(n);
        let expected = [
            format!(
                "07070100000001000041ed{}00000002{}{}00000004{}dev\0",
                zeros(2),
                zeros(2),
                zeros(4),
                zeros(1)
            ),
            "\0\0".into(),
            format!(
                "0707010000000200002180{}00000001{}{}00000005000000010000000c{}dev/console\0",
                zeros(2),
                zeros(2),
                zeros(2),
                zeros(1)
            ),
            "\0\0".into(),
            format!(
                "07070100000003000081ed{}00000001{}00000005{}00000005{}init\0",
                zeros(2),
                zeros(1),
                zeros(4),
                zeros(1)
            ),
            "\0hello\0\0\0".into(),
            format!(
                "0707010000000400000000{}00000001{}{}0000000b{}TRAILER!!!\0",
                zeros(2),
                zeros(2),
                zeros(4),
                zeros(1)
            ),
            "\0\0\0".into(),
        ]
        .concat();
        let actual = archive.finish();
        assert_eq!(String::from_utf8_lossy(&actual), expected);
        assert_eq!(actual.len() % 4, 0);
    }
}
