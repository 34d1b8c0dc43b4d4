#!/usr/bin/env bash
# Sets up what kiln needs on Debian 12, Debian 13 or Ubuntu 24.04: `images/setup.sh [tools] [kernel] [virtiofsd]`, all
# three by default, and `docker` when it is named. Says what it does, asks nothing, does nothing twice. See images/README.md.
set -euo pipefail

home=${KILN_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/kiln}
export DEBIAN_FRONTEND=noninteractive
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
say() { printf 'setup: %s\n' "$*"; }

install() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  say "installs ${missing[*]}"
  as_root apt-get update -q
  as_root apt-get install -q -y --no-install-recommends "${missing[@]}"
}

tools() {
  local wanted=(qemu-system-x86 erofs-utils mmdebstrap debian-archive-keyring bubblewrap fakeroot uidmap e2fsprogs kmod
    bash coreutils tar xz-utils zstd gcc libc6-dev make pkg-config libcap-ng-dev libseccomp-dev ca-certificates curl git)
  install "${wanted[@]}"
  if command -v rustup >/dev/null; then static_target "$(uname -m)-unknown-linux-musl"; fi
}

static_target() {
  local root list file
  root=$(rustc --print sysroot)
  # What the compiler finds counts, not what rustup's list says.
  if compgen -G "$root/lib/rustlib/$1/lib/libstd-*" >/dev/null; then return; fi
  say 'adds the Rust target for static programs'
  list=$root/lib/rustlib/manifest-rust-std-$1
  if [ -e "$list" ]; then
    # rustup adds nothing that is on its list, and removes nothing whose files are gone: so they are made, empty.
    sed -n 's/^file://p' "$list" | while read -r file; do mkdir -p "$root/${file%/*}" && touch "$root/$file"; done
    rustup target remove "$1"
  fi
  rustup target add "$1"
}

kernel() {
  if compgen -G "$home/kernels/*/vmlinuz" >/dev/null; then return; fi
  say "fetches a kernel into $home/kernels; /boot is not touched"
  local work packages
  work=$(mktemp -d)
  # The package behind the distribution's newest one; Ubuntu keeps the modules beside it.
  packages=$(apt-cache depends linux-image-amd64 linux-image-generic linux-image-virtual 2>/dev/null |
    awk '$1 == "Depends:" && /linux-(image|modules)-[0-9]/ { print $2 }' | sort -uV)
  packages=$(tail -n 1 <<<"$(grep linux-image <<<"$packages")")$'\n'$(grep linux-modules <<<"$packages" | tail -n 2 || true)
  # shellcheck disable=SC2086
  (cd "$work" && apt-get download -q $packages && for deb in *.deb; do dpkg -x "$deb" root; done)
  local modules version
  modules=$(find "$work/root" -type d -path '*lib/modules/*' -prune | head -n 1)
  version=$(basename "$modules")
  ! [ -d "$work/root/usr/lib/modules" ] || cp -an "$work/root/usr/lib" "$work/root/"
  PATH=$PATH:/sbin:/usr/sbin depmod -b "$work/root" "$version"
  mkdir -p "$home/kernels/$version"
  cp -a "$work/root/lib/modules/$version" "$home/kernels/$version/modules"
  cp "$work/root/boot/vmlinuz-$version" "$home/kernels/$version/.vmlinuz"
  mv "$home/kernels/$version/.vmlinuz" "$home/kernels/$version/vmlinuz"
  rm -rf "$work"
}

virtiofsd() {
  local place
  for place in "$home/bin/virtiofsd" /usr/libexec/virtiofsd; do
    if "$place" --version 2>/dev/null | grep -q '^virtiofsd 1\.'; then return; fi
  done
  if ! command -v cargo >/dev/null; then
    # Debian 13 and Ubuntu 24.04 have one that serves all users.
    if apt-cache show virtiofsd >/dev/null 2>&1; then install virtiofsd && return; fi
    say 'there is no package of virtiofsd here; it is built with cargo, which is missing: install Rust' >&2
    return 1
  fi
  say "builds virtiofsd 1.14.0 into $home/bin; cargo checks what it downloads"
  cargo install --quiet --locked --root "$home" --version 1.14.0 virtiofsd
}

# For `--runner docker`. Where there is no init system that starts it, a dockerd is started here and stays.
docker() {
  if command docker info >/dev/null 2>&1; then return; fi
  install docker.io iptables ca-certificates
  # Debian 13 has the client in a package of its own.
  command -v docker >/dev/null || install docker-cli
  if command docker info >/dev/null 2>&1; then return; fi
  say 'starts a docker daemon; its log is /var/log/kiln-dockerd.log'
  as_root sh -c 'setsid dockerd >/var/log/kiln-dockerd.log 2>&1 </dev/null &'
  timeout 60 sh -c 'until docker info >/dev/null 2>&1; do sleep 0.2; done'
}

if [ $# = 0 ]; then set -- tools kernel virtiofsd; fi
for part in "$@"; do
  case $part in
    # Not in a list of && or ||, in which bash goes on after an error.
    tools | kernel | virtiofsd | docker) "$part" ;;
    *) say "unknown part: $part (tools, kernel, virtiofsd, docker)" >&2 && exit 2 ;;
  esac
done
say 'everything is there'
