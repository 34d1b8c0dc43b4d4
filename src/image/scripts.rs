//! The scripts of makers, for `sh -eu` in the writable directory of a jail.
//!
//! Before it: [`super::builder`] and [`super::debian`] choose the programs. Values are arguments, never part of a script.

/// Packs the working directory into descriptor 3. Not compressed: a guest without KVM would pay for it at each read.
/// Times are kept (Python's caches are valid for one modification time); the UUID is fixed, since it is not used.
pub(super) const PACK: &str = r#"
for directory in dev proc sys run tmp; do rm -rf "./$directory"; mkdir -m 755 "./$directory"; done
chmod 1777 tmp
mkfs.erofs --quiet -U 6b696c6e-0000-4000-8000-000000000000 /proc/self/fd/3 .
"#;

/// Unpacks the tar of standard input below the working directory. GNU tar refuses `..`, strips leading slashes, and makes
/// links that lead elsewhere only when all else is unpacked, so that no entry passes through one.
pub(super) const UNPACK: &str = r#"
tar --extract --file - "$@" --numeric-owner --same-owner --same-permissions --xattrs --xattrs-include='*' --exclude='./dev/*' --anchored --exclude='dev/*'
"#;

/// An empty root to fill, and into it.
pub(super) const ROOT: &str = r#"
mkdir -m 755 root
cd root
"#;

/// Removes files of the host and of apt from a Debian root; writes its packages to descriptor 4.
pub(super) const TIDY: &str = r#"
cd root
dpkg-query --admindir=./var/lib/dpkg --show --showformat '${Package} ${Version}\n' >&4
rm -rf var/lib/apt/lists var/cache/apt var/log/apt var/log/bootstrap.log var/log/dpkg.log var/log/alternatives.log
mkdir -p var/lib/apt/lists var/cache/apt
rm -f etc/resolv.conf etc/hostname etc/machine-id etc/hosts
: > etc/machine-id
printf '127.0.0.1 localhost\n::1 localhost\n' > etc/hosts
"#;

/// One hash over the InRelease files below `$1`, in the order of their names.
pub(super) const IN_RELEASE: &str = r#"
in_release() { for file in "$1"/*_InRelease; do sha256sum < "$file"; done | sha256sum | sed 's/^/inrelease /; s/ *-$//'; }
"#;

/// Runs mmdebstrap with the arguments but the first, which is the script of a hook, to be named by its path.
pub(super) const MMDEBSTRAP: &str = r#"
printf '#!/bin/sh\nset -eu\n%s' "$1" > hook
chmod 755 hook
shift
mmdebstrap "$@"
"#;

/// Writes the release from which [`FETCH`] took the packages to descriptor 4.
pub(super) const RELEASE: &str = r#"
in_release seed/var/lib/apt/lists >&4
"#;

/// Where [`MMDEBSTRAP`] puts the hook.
pub(super) const HOOK: &str = "/work/hook";

/// A hook of mmdebstrap's in an empty root (`$1`) with apt's lists: all packages are fetched, in the two transactions in which
/// mmdebstrap installs them, so that each is the one that apt will choose then. ESSENTIAL, PACKAGES and PRIORITY are replaced.
pub(super) const FETCH: &str = r#"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" TMPDIR="$1/tmp" DEBIAN_FRONTEND=noninteractive
apt-get -qq --download-only install 'ESSENTIAL'
for deb in "$1"/var/cache/apt/archives/*.deb; do
  dpkg-deb --field "$deb"
  printf 'Status: install ok installed\n\n'
done > "$1/var/lib/dpkg/essential"
apt-get -qq --download-only -o Dir::State::Status="$1/var/lib/dpkg/essential" install PACKAGES 'PRIORITY'
"#;

/// A hook of mmdebstrap's before it updates the lists of a root (`$1`): it has them, and the packages, from [`FETCH`].
pub(super) const SEED: &str = r#"
for directory in var/lib/apt/lists var/cache/apt; do
  rm -rf "$1/$directory"
  mv "seed/$directory" "$1/$directory"
done
rm -rf seed
"#;

/// apt in the working directory alone, for the architecture `$1` with the keyring `$2`; the other arguments are the lines of
/// sources.list. It checks signatures and hashes, and bounds its downloads.
pub(super) const APT: &str = r#"
architecture=$1 keyring=$2
shift 2
printf '%s\n' "$@" > sources.list
mkdir -p lists/partial cache state
apt() {
  program=$1
  shift
  "$program" -o Dir="$PWD" -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State="$PWD/state" -o Dir::State::Lists="$PWD/lists" -o Dir::State::Status=/dev/null -o Dir::Cache="$PWD/cache" \
    -o Dir::Etc::Trusted="$keyring" -o Dir::Etc::TrustedParts=/dev/null \
    -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
    -o Acquire::Languages=none -o APT::Sandbox::User= -o APT::Update::Error-Mode=any "$@"
}
"#;

/// After [`APT`]: without indexes, only the InRelease files.
pub(super) const UPDATE: &str = r#"
apt apt-get -o Acquire::IndexTargets::deb::Packages::DefaultEnabled=false update >&2
in_release lists
"#;

/// After [`APT`]: the names of all packages and of all that they provide, to descriptor 4.
pub(super) const NAMES: &str = r#"
apt apt-get -qq update >&2
apt apt-cache dumpavail | sed -n 's/^Package: //p; s/^Provides: //p' >&4
"#;

/// The status file of a root that is extended, from standard input.
pub(super) const STATUS: &str = r#"
cat > status
"#;

/// A hook as [`FETCH`], for a root that is extended, whose status file is `status`: it fetches what the root lacks. The result must
/// have exactly the packages that one made from nothing would have; else, and if the distribution has changed since RELEASE, it
/// writes why to `unfit`. Packages are fetched while this is found out.
pub(super) const FETCH_MORE: &str = r#"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" TMPDIR="$1/tmp" DEBIAN_FRONTEND=noninteractive
unfit() { echo "$1" > unfit; exit 0; }
simulate() {
  status=$PWD/$1
  shift
  # Without a cache of its own: it is 40 MB for each status file.
  apt-get -qq --simulate -o Dir::Cache::pkgcache= -o Dir::State::Status="$status" install "$@"
}
chosen() { sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\{0,1\}(\([^ ]*\) .*/\1=\3/p' "$@"; }
[ "$(in_release "$1/var/lib/apt/lists")" = 'inrelease RELEASE' ] || unfit 'the distribution has changed since it was made'
: > nothing
simulate status PACKAGES > more &
more=$!
# If the root turns out to be unfit, what was fetched is not used.
apt-get -qq --download-only -o Dir::State::Status="$PWD/status" install PACKAGES > /dev/null &
fetched=$!
simulate nothing 'ESSENTIAL' > first
chosen first > names
awk -v RS= -v FS='\n' 'FILENAME == "names" {for (at = 1; at <= NF; at++) wanted[$at] = 1; next}
  {name = version = ""
   for (at = 1; at <= NF; at++) {
     if ($at ~ /^Package: /) name = substr($at, 10)
     if ($at ~ /^Version: /) version = substr($at, 10)
   }
   if ((name "=" version) in wanted) print $0 "\n"}' names status > essential
simulate essential PACKAGES 'PRIORITY' > second
chosen first second | sort > wanted
wait "$more"
{ chosen more; awk '/^Package: /{name = $2} /^Version: /{print name "=" $2}' status; } | sort > found
cmp -s wanted found && ! grep -q '^Remv ' more || unfit 'it has other packages than a root from nothing'
wait "$fetched"
"#;

/// After [`FETCH_MORE`]: fails if the root is unfit.
pub(super) const FIT: &str = r#"
if [ -e unfit ]; then cat unfit; exit 1; fi
"#;

/// After [`SEED`]: installs PACKAGES in a root (`$1`), as mmdebstrap does it. A jail has no terminals.
pub(super) const INSTALL: &str = r#"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" DEBIAN_FRONTEND=noninteractive
apt-get -qq --yes --no-download -o Dpkg::Use-Pty=false -o Dir::Bin::dpkg=env -o DPkg::Options::=--unset=TMPDIR -o DPkg::Options::=dpkg \
  -o DPkg::Chroot-Directory="$1" install PACKAGES
"#;
