"""Keeps a server of files busy, in phases. After each it prints `mark NAME`, and waits until the host has made the file `go-NAME`.

Usage: many.py DIRECTORY LOOKED_UP HELD OPERATIONS

The host has made `tree/`, with LOOKED_UP files in directories of at most 1,000.
"""

import os
import sys
import time

# So many files a process: the usual limit of descriptors is higher.
HELD_BY_EACH = 800

os.chdir(sys.argv[1])
LOOKED_UP, HELD, OPERATIONS = (int(number) for number in sys.argv[2:5])


def mark(name):
    print(f"mark {name}", flush=True)
    while not os.path.exists(f"go-{name}"):
        time.sleep(0.05)


def paths():
    for number in range(LOOKED_UP):
        yield f"tree/{number // 1000}/{number % 1000}"


def look_up():
    """The status of each file, by its name: the guest's kernel and the server come to know all of them."""
    for path in paths():
        os.stat(path)


def hold():
    """Opens files in several processes, and holds them while one more is made and read."""
    children = []
    for first in range(0, HELD, HELD_BY_EACH):
        ready, child_is_ready = os.pipe()
        end, parent_has_ended = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(parent_has_ended)
            numbers = range(first, min(first + HELD_BY_EACH, HELD))
            files = [os.open(f"tree/{number // 1000}/{number % 1000}", os.O_RDONLY) for number in numbers]
            os.write(child_is_ready, b"x")
            os.read(end, 1)
            os._exit(0 if len(files) == len(numbers) else 1)
        os.close(child_is_ready)
        os.close(end)
        # A child that failed has closed its end.
        if os.read(ready, 1) != b"x":
            sys.exit("a file could not be opened")
        os.close(ready)
        children.append((child, parent_has_ended))
    work("while-held", 8)
    mark("held")
    # A child has the ends of those before it: all are closed before one is waited for.
    for _, parent_has_ended in children:
        os.close(parent_has_ended)
    for child, _ in children:
        if os.waitpid(child, 0)[1] != 0:
            sys.exit("a process that held files failed")


def work(name, operations):
    """Eight operations on names and content of two files, again and again; leaves nothing."""
    os.mkdir(name)
    for _ in range(operations // 8):
        file = os.open(f"{name}/a", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.pwrite(file, b"content", 0)
        os.close(file)
        os.link(f"{name}/a", f"{name}/b")
        os.rename(f"{name}/a", f"{name}/c")
        if os.stat(f"{name}/b").st_size != 7:
            sys.exit("a file has lost its content")
        os.unlink(f"{name}/b")
        os.unlink(f"{name}/c")
    os.rmdir(name)


mark("start")
look_up()
mark("looked-up")
hold()
mark("released")
# What the server keeps once, it has after a tenth.
work("warm", OPERATIONS // 10)
mark("warm")
work("work", OPERATIONS)
mark("worked")
