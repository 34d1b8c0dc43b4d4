"""What package managers, databases and git do with files, tried in one directory.

Usage: probes.py DIRECTORY

Prints one line for each probe: `probe NAME: ok`, or `probe NAME: ` and what went wrong. The host has made `old-directory/file`,
`old-file`, `old-text` (with the text `old`) and `old-linked` in the directory before the build began. A probe works in a directory
of its own. Its docstring says which tools rely on it.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import sqlite3
import subprocess
import sys

AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

LIBC = ctypes.CDLL(None, use_errno=True)
PROBES = []


def probe(function):
    """Adds a probe, in the order of this file."""
    PROBES.append(function)
    return function


def call(result):
    """The result of a function of the C library; raises OSError for its errors."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def equal(found, expected):
    """Fails with both values when they differ."""
    assert found == expected, f"{found!r}, not {expected!r}"


def write(name, data=b"", mode="wb"):
    """Writes a file, and waits for the error that close(2) may bring."""
    with open(name, mode) as file:
        file.write(data)


def read(name):
    with open(name, "rb") as file:
        return file.read()


def run(*argv, **options):
    """Runs a program; fails with the end of its error output."""
    done = subprocess.run(argv, capture_output=True, **options)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-200:]!r}"
    return done.stdout


# Content.


@probe
def mapped_write():
    """Linkers and databases write by a shared mapping, and read by read(2)."""
    write("file", bytes(10_000))
    with open("file", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[5000:5005] = b"hello"
        mapping.flush()
    equal(read("file")[4999:5006], b"\0hello\0")


@probe
def unlinked_file():
    """Temporary files are unlinked while they are open, then written, cut, mapped and changed by descriptor."""
    descriptor = os.open("file", os.O_RDWR | os.O_CREAT)
    os.unlink("file")
    os.ftruncate(descriptor, 131_072)
    equal(os.fstat(descriptor).st_size, 131_072)
    os.pwrite(descriptor, b"x", 100)
    os.fchmod(descriptor, 0o600)
    with mmap.mmap(descriptor, 4096) as mapping:
        equal(mapping[100:101], b"x")
    os.close(descriptor)


@probe
def unnamed_file():
    """O_TMPFILE, then linkat(2): a file appears whole or not at all. Tools that use it have another way."""
    descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o644)
    os.write(descriptor, b"x")
    path = b"/proc/self/fd/%d" % descriptor
    call(LIBC.linkat(AT_FDCWD, path, AT_FDCWD, b"linked", AT_SYMLINK_FOLLOW))
    os.close(descriptor)
    equal(read("linked"), b"x")


@probe
def sparse_file():
    """Disk images and databases have holes, which take no space."""
    with open("file", "w+b") as file:
        file.truncate(1 << 33)
        file.seek(1 << 32)
        file.write(b"x")
    size = os.stat("file").st_blocks * 512
    assert size < 10 << 20, f"a hole takes {size} bytes"


@probe
def piece_of_new_file():
    """Downloaders set the size of a new file, which they can only write, and fill it in pieces."""
    descriptor = os.open("file", os.O_WRONLY | os.O_CREAT)
    os.ftruncate(descriptor, 10_000)
    os.pwrite(descriptor, b"x", 5000)
    os.close(descriptor)
    equal(read("file")[4999:5002], b"\0x\0")


@probe
def reserved_space():
    """posix_fallocate(3): databases and downloaders reserve the space of a file."""
    descriptor = os.open("file", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, 1 << 20)
    equal(os.fstat(descriptor).st_size, 1 << 20)
    os.close(descriptor)


@probe
def copied_range():
    """copy_file_range(2): how coreutils, Python and Go copy a file."""
    write("from", os.urandom(300_000))
    source = os.open("from", os.O_RDONLY)
    target = os.open("to", os.O_WRONLY | os.O_CREAT)
    while os.copy_file_range(source, target, 300_000):
        pass
    os.close(source)
    os.close(target)
    equal(read("from"), read("to"))


@probe
def synced_appends():
    """Logs: with O_APPEND the offset of pwrite(2) has no effect, and O_SYNC waits for the disk."""
    descriptor = os.open("file", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC)
    os.write(descriptor, b"a")
    os.pwrite(descriptor, b"b", 0)
    os.close(descriptor)
    equal(read("file"), b"ab")


@probe
def concurrent_appends():
    """Four processes append lines to one file: none is lost."""
    loop = "for i in $(seq 200); do echo line >> file; done"
    writers = [subprocess.Popen(["sh", "-c", loop]) for _ in range(4)]
    equal([writer.wait() for writer in writers], [0] * 4)
    equal(len(read("file").splitlines()), 800)


@probe
def fsync():
    """Databases sync a file, and the directory that names it."""
    for name, flags in [("file", os.O_WRONLY | os.O_CREAT), (".", os.O_RDONLY)]:
        descriptor = os.open(name, flags)
        os.fsync(descriptor)
        os.close(descriptor)


# Databases and locks.


@probe
def sqlite_journal():
    """SQLite with a rollback journal, as pip, cargo and many caches use it."""
    with sqlite3.connect("database") as connection:
        connection.execute("create table t(a)")
        connection.executemany("insert into t values(?)", [(number,) for number in range(100)])
    equal(connection.execute("select count(*) from t").fetchone(), (100,))
    connection.close()


@probe
def sqlite_write_ahead_log():
    """SQLite in WAL mode: two connections share a mapped index."""
    one = sqlite3.connect("database")
    equal(one.execute("pragma journal_mode=wal").fetchone(), ("wal",))
    one.execute("create table t(a)")
    one.commit()
    two = sqlite3.connect("database")
    two.execute("insert into t values(1)")
    two.commit()
    equal(one.execute("select count(*) from t").fetchone(), (1,))
    two.close()
    one.close()


@probe
def flock():
    """cargo, Go and apt lock with flock(2): a second descriptor does not get the lock."""
    with open("file", "w") as one, open("file", "w") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        try:
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        raise AssertionError("two descriptors have the lock")


@probe
def record_lock():
    """SQLite and dpkg lock with fcntl(2): a second process does not get the lock."""
    other = "import fcntl; fcntl.lockf(open('file', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with open("file", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        done = subprocess.run([sys.executable, "-c", other], capture_output=True)
        assert b"BlockingIOError" in done.stderr, f"exit {done.returncode}: {done.stderr[-200:]!r}"


# Names.


@probe
def rename_over():
    """A file replaces a file, and a directory an empty directory: how every cache stores an entry."""
    write("a", b"a")
    write("b", b"b")
    os.rename("a", "b")
    equal(read("b"), b"a")
    os.mkdir("c")
    write("c/file")
    os.mkdir("d")
    os.rename("c", "d")
    equal(os.listdir("d"), ["file"])


@probe
def rename_old_directory():
    """A directory that was there before the build is renamed."""
    os.rename("../old-directory", "renamed")
    equal(os.listdir("renamed"), ["file"])


@probe
def rename_old_file():
    """A file that was there before the build is renamed into a new directory."""
    os.rename("../old-file", "renamed")
    assert not os.path.exists("../old-file"), "the old name is still there"


@probe
def append_to_old_file():
    """A file that was there before the build is appended to."""
    write("../old-text", b"more", "ab")
    equal(read("../old-text"), b"oldmore")


@probe
def rename_no_replace():
    """renameat2(2) with RENAME_NOREPLACE: the first of two wins."""
    write("a")
    write("b")
    try:
        call(LIBC.renameat2(AT_FDCWD, b"a", AT_FDCWD, b"b", RENAME_NOREPLACE))
    except FileExistsError:
        return
    raise AssertionError("the file was replaced")


@probe
def rename_exchange():
    """renameat2(2) with RENAME_EXCHANGE: two trees change places at once."""
    write("a", b"a")
    write("b", b"b")
    call(LIBC.renameat2(AT_FDCWD, b"a", AT_FDCWD, b"b", RENAME_EXCHANGE))
    equal((read("a"), read("b")), (b"b", b"a"))


@probe
def hard_link():
    """git and pnpm link files: both names are one file with two links."""
    write("a")
    os.link("a", "b")
    one, two = os.stat("a"), os.stat("b")
    equal(one.st_ino, two.st_ino)
    equal(one.st_nlink, 2)


@probe
def hard_link_to_old_file():
    """A file that was there before the build is linked."""
    os.link("../old-linked", "linked")
    equal(os.stat("linked").st_ino, os.stat("../old-linked").st_ino)


@probe
def symbolic_links():
    """Links that lead nowhere, that are absolute, and that are long."""
    os.symlink("x" * 3000, "long")
    os.symlink("/etc/passwd", "absolute")
    equal((os.readlink("long"), os.readlink("absolute")), ("x" * 3000, "/etc/passwd"))


@probe
def odd_names():
    """Names of 255 bytes, with a line break, not in UTF-8, with a last dot or space, with a colon, and that differ in case."""
    names = [b"n" * 255, b"a\nb", b"caf\xe9", b"dot.", b"space ", b"a:b", b"Aa", b"aA", b"-", b"\\", b"e\xcc\x81", b"\xc3\xa9"]
    for name in names:
        write(name, name)
    equal(sorted(os.listdir(b".")), sorted(names))
    equal([read(name) for name in names], names)


@probe
def deep_path():
    """A path of more than 3,300 bytes: node_modules below node_modules."""
    path = "/".join(["d" * 240] * 14)
    os.makedirs(path)
    write(path + "/file", b"x")
    equal(read(path + "/file"), b"x")


@probe
def list_while_deleting():
    """rm -r removes the entries of a directory while it lists them."""
    os.mkdir("many")
    for number in range(3000):
        write(f"many/{number}")
    with os.scandir("many") as entries:
        equal(len([os.unlink(entry) for entry in entries]), 3000)
    equal(os.listdir("many"), [])


@probe
def remove_read_only_tree():
    """Go's module cache is read-only: root removes it as it is, others make it writable first."""
    os.makedirs("module/a/b")
    write("module/a/b/file")
    for name, mode in [("module/a/b/file", 0o444), ("module/a/b", 0o555), ("module/a", 0o555)]:
        os.chmod(name, mode)
    if os.geteuid() != 0:
        run("chmod", "-R", "u+w", "module")
    run("rm", "-r", "module")


# Attributes.


@probe
def create_read_only():
    """git writes its objects into files that are created read-only."""
    descriptor = os.open("file", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    os.write(descriptor, b"x")
    os.close(descriptor)
    equal(read("file"), b"x")


@probe
def create_without_permissions():
    """A file that is created with mode 0 can be written by the descriptor that created it."""
    descriptor = os.open("file", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0)
    os.write(descriptor, b"x")
    os.close(descriptor)
    equal(os.stat("file").st_size, 1)


@probe
def user_attributes():
    """Attributes in `user.`: browsers and desktop tools; a package manager needs none."""
    write("file")
    os.setxattr("file", "user.a", b"value")
    equal(os.getxattr("file", "user.a"), b"value")


@probe
def nanoseconds():
    """make, ninja and git compare times with nanoseconds."""
    write("file")
    os.utime("file", ns=(1, 123_456_789))
    equal(os.stat("file").st_mtime_ns, 123_456_789)


@probe
def future_time():
    """Archives have times after 2038."""
    write("file")
    os.utime("file", (4_000_000_000, 4_000_000_000))
    equal(os.stat("file").st_mtime, 4e9)


@probe
def directory_mode():
    """A directory keeps its set-group-id bit while the build runs."""
    os.mkdir("directory")
    os.chmod("directory", 0o2775)
    equal(oct(os.stat("directory").st_mode & 0o7777), oct(0o2775))


@probe
def own_files():
    """What a step creates belongs to its user: git refuses directories of others."""
    write("file")
    found = os.stat("file")
    equal((found.st_uid, found.st_gid), (os.geteuid(), os.getegid()))


@probe
def space():
    """Installers ask for free space and for the longest name first."""
    found = os.statvfs(".")
    assert found.f_bavail > 0 and found.f_namemax >= 255, str(found)


# Special files.


@probe
def fifo():
    """A fifo passes data between two processes."""
    os.mkfifo("fifo")
    writer = subprocess.Popen(["sh", "-c", "echo through > fifo"])
    equal(read("fifo"), b"through\n")
    equal(writer.wait(), 0)


@probe
def unix_socket():
    """Gradle, ccache and ssh listen on a socket with a name."""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen(1)
        client.connect("socket")


# Programs.


@probe
def run_script():
    """A file that was just written is run."""
    write("script", b"#!/bin/sh\necho ran\n")
    os.chmod("script", 0o755)
    equal(run("./script"), b"ran\n")


@probe
def git():
    """git commits, packs, clones with hard links, and finds nothing wrong."""
    os.mkdir("repository")
    write("repository/file", b"".join(b"%d\n" % number for number in range(1000)))
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    run("git", "init", "-q", "repository")
    run("git", "-C", "repository", "add", "file")
    run("git", "-C", "repository", *who, "commit", "-qm", "one")
    run("git", "-C", "repository", "gc", "-q")
    run("git", "clone", "-q", "repository", "clone")
    run("git", "-C", "clone", "fsck", "--strict")


@probe
def virtual_environment():
    """python -m venv: links to the interpreter, and scripts."""
    run(sys.executable, "-m", "venv", "--without-pip", "environment")
    equal(run("environment/bin/python", "-c", "print(1)"), b"1\n")


def main():
    root = os.path.abspath(sys.argv[1])
    for function in PROBES:
        name = function.__name__.replace("_", "-")
        # The files that were there before lie beside it.
        directory = os.path.join(root, name)
        os.mkdir(directory)
        os.chdir(directory)
        try:
            function()
            said = "ok"
        except OSError as error:
            said = errno.errorcode.get(error.errno, str(error))
        except Exception as error:
            said = f"{type(error).__name__} {error}".replace("\n", " ")
        print(f"probe {name}: {said}", flush=True)
    print(f"{len(PROBES)} probes", flush=True)


if __name__ == "__main__":
    main()
