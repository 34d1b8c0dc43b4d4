#!/usr/bin/env bash
# Sets up what kiln needs on Debian 12, Debian 13 or Ubuntu 24.04: `images/setup.sh [tools] [kernel] [virtiofsd]`, all
# three by default, `kernel-backports`, `docker` and `browser` when they are named. Says what it does, asks nothing, does nothing twice. See
# images/README.md.
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
  # Tests make roots of it.
  if [ ! -x /usr/bin/busybox ]; then install busybox-static; fi
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

# apt looks at this host's sources, unless a part names others here.
apt_options=()

kernel() {
  if compgen -G "$home/kernels/*/vmlinuz" >/dev/null; then return; fi
  store_kernel "$(newest_image linux-image-amd64 linux-image-generic linux-image-virtual)"
}

# A kernel that spreads the requests to a virtiofs share over several queues: Linux 6.11 is the first that does.
kernel-backports() {
  local stored image ID='' VERSION_ID='' VERSION_CODENAME=''
  stored=$(find "$home/kernels" -mindepth 2 -maxdepth 2 -name vmlinuz -printf '%h\n' 2>/dev/null | sort -V | tail -n 1 || true)
  stored=${stored##*/}
  if has_queues "$stored"; then say "kernel $stored is there, and new enough"; return; fi
  # shellcheck disable=SC1091
  . /etc/os-release
  image=$(newest_image linux-image-amd64 linux-image-generic linux-image-virtual)
  if has_queues "${image#linux-image-}"; then
    say "the usual kernel of $ID $VERSION_ID is new enough"
  else
    case $ID in
      debian)
        use_backports "$VERSION_CODENAME"
        image=$(newest_image linux-image-amd64)
        ;;
      ubuntu) image=$(newest_image "linux-image-generic-hwe-$VERSION_ID") ;;
    esac
  fi
  if ! has_queues "${image#linux-image-}"; then
    say "$ID $VERSION_ID offers no kernel from Linux 6.11 on; builds work without it" >&2
    return 1
  fi
  store_kernel "$image"
}

has_queues() { [ -n "$1" ] && printf '6.11\n%s\n' "$1" | sort -VC; }

# The package with the newest kernel of these metapackages; nothing where the distribution has none of them.
newest_image() {
  { apt-cache "${apt_options[@]}" depends "$@" 2>/dev/null || true; } |
    awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2 }' | sort -uV | tail -n 1
}

# Debian's backports by a source list, package lists and a cache of their own: those of the host stay as they are. The signature
# is checked with Debian's keys, the mirror is that of the host.
use_backports() {
  local mirror
  install debian-archive-keyring
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $1" 'Component: main' | awk 'NR == 1')
  make_scratch
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $1-backports main" \
    >"$scratch/sources.list"
  apt_options=(-o "Dir::Etc::sourcelist=$scratch/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$scratch/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$scratch/cache")
  mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
  say "reads the package list of $1-backports; this host's sources stay as they are"
  apt-get "${apt_options[@]}" update -q --error-on=any
}

scratch=''
make_scratch() {
  if [ -n "$scratch" ]; then return; fi
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # Where root runs it, apt fetches as a user without rights, who has to enter.
  chmod 755 "$scratch"
}

# Fetches and unpacks a package with a kernel. Ubuntu has its modules in other packages.
store_kernel() {
  if [ -z "$1" ]; then say 'no source of apt has a kernel: apt-get update may help' >&2; return 1; fi
  say "fetches $1 into $home/kernels; /boot is not touched"
  local modules version packages
  make_scratch
  mkdir "$scratch/packages"
  if [ "$(id -u)" = 0 ]; then chown _apt "$scratch/packages"; fi
  packages=$(apt-cache "${apt_options[@]}" depends "$1" | awk '$1 == "Depends:" && $2 ~ /^linux-modules-[0-9]/ { print $2 }')
  # shellcheck disable=SC2086
  (cd "$scratch/packages" && apt-get "${apt_options[@]}" download -q "$1" $packages)
  for deb in "$scratch"/packages/*.deb; do dpkg -x "$deb" "$scratch/root"; done
  modules=$(find "$scratch/root" -type d -path '*lib/modules/*' -prune | head -n 1)
  version=$(basename "$modules")
  ! [ -d "$scratch/root/usr/lib/modules" ] || cp -an "$scratch/root/usr/lib" "$scratch/root/"
  PATH=$PATH:/sbin:/usr/sbin depmod -b "$scratch/root" "$version"
  # What an interrupted run has left there is not whole. The image comes last: with it the kernel counts as complete.
  rm -rf "$home/kernels/$version"
  mkdir -p "$home/kernels/$version"
  cp -a "$scratch/root/lib/modules/$version" "$home/kernels/$version/modules"
  cp "$scratch/root/boot/vmlinuz-$version" "$home/kernels/$version/.vmlinuz"
  mv "$home/kernels/$version/.vmlinuz" "$home/kernels/$version/vmlinuz"
  rm -rf "$scratch/packages" "$scratch/root"
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

# For the test of the page of `kiln bench`: a Chromium without windows, and a font.
browser() {
  local package
  # Ubuntu has neither: its chromium-browser is a link to a snap, which cannot read the files of a test.
  for package in chromium-headless-shell chromium; do
    if apt-cache show "$package" >/dev/null 2>&1; then
      install "$package" fonts-dejavu-core
      return
    fi
  done
  say 'there is no package of Chromium here but a snap; the test of the page is skipped' >&2
  return 1
}

if [ $# = 0 ]; then set -- tools kernel virtiofsd; fi
for part in "$@"; do
  case $part in
    # Not in a list of && or ||, in which bash goes on after an error.
    tools | kernel | kernel-backports | virtiofsd | docker | browser) "$part" ;;
    *) say "unknown part: $part (tools, kernel, kernel-backports, virtiofsd, docker, browser)" >&2 && exit 2 ;;
  esac
done
say 'everything is there'
