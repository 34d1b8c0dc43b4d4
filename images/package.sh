#!/usr/bin/env bash
# Makes what is given to others: `target/package/kiln-VERSION-ARCH.tar.gz` and a Debian package, each with the program, its
# manual pages, completions, licence and pages. Needs Rust, tar, binutils and dpkg-deb. The same source gives the same files.
set -euo pipefail
umask 022
export LC_ALL=C
cd "$(dirname "$0")/.."

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
cargo build --release --locked
kiln=target/release/kiln
version=$("$kiln" version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)
out=target/package
tree=$out/tree
doc=$tree/usr/share/doc/kiln
rm -rf "$out"

install -D --strip -m 755 "$kiln" "$tree/usr/bin/kiln"
"$kiln" man "$tree/usr/share/man/man1"
completion() {
  mkdir -p "$tree/$(dirname "$2")"
  "$kiln" completion "$1" >"$tree/$2"
}
completion bash usr/share/bash-completion/completions/kiln
completion zsh usr/share/zsh/vendor-completions/_kiln
completion fish usr/share/fish/vendor_completions.d/kiln.fish
install -D -m 644 -t "$doc" README.md SECURITY.md CHANGELOG.md LICENSE
install -D -m 644 -t "$doc/docs" docs/*
install -D -m 644 -t "$doc/images" images/README.md
gzip -9n "$tree"/usr/share/man/man1/*.1
pack() {
  find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  "$@"
}
pack tar --sort=name --owner=0 --group=0 --numeric-owner -C "$tree/usr" -czf "$out/kiln-$version-$(uname -m).tar.gz" .

# Debian's own forms of what the archive has: its policy wants the licence by reference.
maintainer='The kiln developers <kiln@localhost>'
rm "$doc/LICENSE"
printf '%s\n' 'Copyright (c) the kiln developers' '' 'License: Apache-2.0, see /usr/share/common-licenses/Apache-2.0' >"$doc/copyright"
printf '%s (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' kiln "$version" "$maintainer" \
  "$(date --utc --date="@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %T +0000')" | gzip -9n >"$doc/changelog.gz"
# The oldest C library that it runs with: that of the newest symbol it needs.
libc=$(objdump -T "$kiln" | grep -o 'GLIBC_2[.0-9]*' | sort -Vu | tail -n 1)
mkdir "$tree/DEBIAN"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: kiln
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -k --apparent-size -s "$tree/usr" | cut -f1)
Depends: libc6 (>= ${libc#GLIBC_}), libgcc-s1, qemu-system-x86, erofs-utils, mmdebstrap, debian-archive-keyring, e2fsprogs, uidmap, curl, git, ca-certificates
Recommends: bubblewrap, fakeroot
Section: devel
Priority: optional
Description: builds packages from source, each build in a microVM of its own
 kiln reads melange-compatible YAML. One cache directory serves every build.
CONTROL
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
pack dpkg-deb --root-owner-group --build "$tree" "$out/kiln_${version}_$architecture.deb" >/dev/null
rm -rf "$tree"
ls -l "$out"
