#!/usr/bin/env bash
# Makes what is given to others: `target/package/kiln-VERSION-ARCH.tar.gz` and a Debian package, each with the program, its
# manual pages, completions, licence and README. Needs Rust, tar and dpkg-deb. The same source gives the same files.
set -euo pipefail
cd "$(dirname "$0")/.."

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
cargo build --release --locked
kiln=target/release/kiln
version=$("$kiln" version | cut -d' ' -f2)
machine=$(uname -m)
architecture=$(dpkg --print-architecture)
out=target/package
tree=$out/tree
rm -rf "$out"

install -D -m 755 "$kiln" "$tree/usr/bin/kiln"
"$kiln" man "$tree/usr/share/man/man1"
gzip -9n "$tree"/usr/share/man/man1/*.1
completion() {
  mkdir -p "$(dirname "$tree/$2")"
  "$kiln" completion "$1" >"$tree/$2"
}
completion bash usr/share/bash-completion/completions/kiln
completion zsh usr/share/zsh/vendor-completions/_kiln
completion fish usr/share/fish/vendor_completions.d/kiln.fish
install -D -m 644 -t "$tree/usr/share/doc/kiln" README.md CHANGELOG.md
install -m 644 LICENSE "$tree/usr/share/doc/kiln/copyright"
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

archive=$out/kiln-$version-$machine.tar.gz
tar --sort=name --owner=0 --group=0 --numeric-owner -C "$tree/usr" -c . | gzip -9n >"$archive"

mkdir "$tree/DEBIAN"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: kiln
Version: $version
Architecture: $architecture
Maintainer: The kiln developers <kiln@localhost>
Depends: libc6, qemu-system-x86, erofs-utils, mmdebstrap, debian-archive-keyring, e2fsprogs, uidmap, curl, git, ca-certificates
Recommends: bubblewrap, fakeroot
Section: devel
Priority: optional
Description: builds packages from source, each build in a microVM of its own
 kiln reads melange-compatible YAML. One cache directory serves every build.
CONTROL
dpkg-deb --root-owner-group --build "$tree" "$out/kiln_${version}_$architecture.deb" >/dev/null
rm -rf "$tree"
ls -l "$out"
