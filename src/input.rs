//! A file that the user names -> its bytes, with a limit of size and time.
//!
//! The file may be a pipe (`<(pass show token)`). [`PATIENCE`] ends the wait for one without a writer, and a file without an
//! end is read to the limit only. A caller that handles signals reads in another thread.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// How long a pipe may take to end: its writer may wait for a password.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a file, or a pipe to its end: at most `most` bytes and one more, by which the caller knows that there are too many.
///
/// # Errors
/// Errors of opening and reading; `TimedOut` for a pipe that does not end.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    read_within(path, most, PATIENCE)
}

fn read_within(path: &Path, most: usize, patience: Duration) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    if file.metadata()?.is_file() {
        return bounded(file, most);
    }
    let deadline = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    while bytes.len() <= most {
        if !has_bytes(&file, deadline)? {
            let why = format!("it did not end within {} s", patience.as_secs());
            return Err(io::Error::new(ErrorKind::TimedOut, why));
        }
        let count = match (&file).read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count.min(most + 1 - bytes.len()),
            // Another reader was faster.
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        bytes.extend_from_slice(&piece[..count]);
    }
    Ok(bytes)
}

/// Opens a regular file.
///
/// # Errors
/// Errors of opening; `InvalidInput` for a directory, a pipe or a device, which is not waited for.
pub fn open_file(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
}

/// Opens without waiting for a pipe's writer.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY).open(path)
}

fn bounded(file: File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Waits for bytes or the end of the file; false after the deadline.
fn has_bytes(file: &File, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], left) {
            Ok(count) => return Ok(count > 0 && Instant::now() < deadline),
            // A signal.
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, thread};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    const MOST: usize = 100_000;

    #[test]
    fn at_most_one_byte_more_than_the_limit_is_read() {
        assert_eq!(read(Path::new("/dev/zero"), MOST).expect("read").len(), MOST + 1);
        let file = tempfile::NamedTempFile::new().expect("made");
        fs::write(file.path(), vec![1; MOST]).expect("written");
        assert_eq!(read(file.path(), MOST).expect("read").len(), MOST);
        assert_eq!(read(file.path(), MOST - 10).expect("read").len(), MOST - 9);
        assert_eq!(read(Path::new("/"), MOST).expect_err("refused").kind(), ErrorKind::IsADirectory);
    }

    #[test]
    fn only_a_regular_file_is_opened_and_a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().expect("made");
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).expect("made");
        for odd in [path.as_path(), directory.path(), Path::new("/dev/zero")] {
            assert_eq!(open_file(odd).expect_err("odd").kind(), ErrorKind::InvalidInput, "{}", odd.display());
        }
        let file = tempfile::NamedTempFile::new().expect("made");
        open_file(file.path()).expect("opened");
    }

    #[test]
    fn the_time_limit_holds_for_a_pipe_that_trickles() {
        let (reader, mut writer) = io::pipe().expect("made");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let trickle = thread::spawn(move || while writer.write_all(b"x").is_ok() {});
        let waited = read_within(Path::new(&path), usize::MAX - 1, Duration::from_millis(50));
        assert_eq!(waited.expect_err("it has no end").kind(), ErrorKind::TimedOut);
        drop(reader);
        trickle.join().expect("it ended");
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_a_pipe_without_a_writer_times_out() {
        let directory = tempfile::tempdir().expect("made");
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).expect("made");
        let waited = read_within(&path, MOST, Duration::from_millis(10)).expect_err("it has no writer");
        assert_eq!(waited.kind(), ErrorKind::TimedOut);
        let writer = thread::spawn({
            let path = path.clone();
            move || {
                let mut pipe = File::options().write(true).open(path).expect("opened");
                (0..9).for_each(|n| pipe.write_all(&vec![n; 10_000]).expect("it is read"));
            }
        });
        let bytes = read(&path, MOST).expect("read");
        writer.join().expect("it ended");
        assert_eq!((bytes.len(), bytes.last()), (90_000, Some(&8)));
    }
}
