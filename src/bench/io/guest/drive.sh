#!/bin/bash
# One visit of `kiln bench io`, in a guest: the lines of the file `units` are the work, in its order, in the directory $1.
#
# Descriptor 3 is the output that kiln reads: `@ begin NAME`, `@ end NAME`, `@ failed NAME REASON`, `@ job NAME ERROR KIB`. kiln
# takes the time of each line by the host's clock, since the clock of an emulated guest loses time.
set -u
tools=/home/build target=$1 scratch=/dev/shm/bench
exec 3>&1 1>&2
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' HOME=$scratch

# The guest's caches are dropped, those of the host are not. A sandbox has no caches of its own, and may not write this file.
cold() {
  { : > /proc/sys/vm/drop_caches; } 2>/dev/null || return 0
  sync
  echo 3 > /proc/sys/vm/drop_caches
}

timed() {
  local name=$1
  shift
  echo "@ begin $name" >&3
  if "$@" > /dev/null; then echo "@ end $name" >&3; else echo "@ failed $name $1 exited with $?" >&3; fi
}

run_fio() {
  [ -e "$target/data" ] || cp "$tools/data" "$target/data"
  head -c 33554432 "$target/data" > "$target/written"
  cold
  LD_PRELOAD=$tools/markers.so fio --output-format=terse --terse-version=3 --output=terse "$tools/jobs.fio"
  # The fields of a line: 2 the name, 4 the error, 5 and 46 the KiB that were read and written (fio's HOWTO, terse output).
  local fields
  while IFS=';' read -ra fields; do
    if [ "${#fields[@]}" -gt 46 ]; then
      echo "@ job ${fields[2]} ${fields[4]} $((fields[5] + fields[46]))" >&3
    fi
  done < terse
}

compile() {
  local file include
  include=$(gcc -print-file-name=include)
  for file in src/*.c; do
    gcc -O1 -nostdinc -isystem "$include" -isystem include -isystem include/x86_64-linux-gnu \
      -c "$file" -o "${file%.c}.o" || return 1
  done
}

# The parts up to the named one, since each needs those before it: kiln ignores the markers that it did not ask for.
run_tree() {
  cp "$tools/tree.tar" .
  mkdir "$target/tree"
  cold
  timed untar tar -xf tree.tar -C "$target/tree"
  [ "$1" != untar ] || return 0
  cd "$target/tree" || return
  # The first status writes the times and inodes of the new files into the index, so that the second one compares only these.
  git status > /dev/null
  cold
  timed git-status git status --porcelain
  [ "$1" = compile ] || return 0
  cold
  timed compile compile
}

# The project is on the guest's own disk, as that of a build is; the cache is in the target.
run_package() {
  [ -e "$target/packages" ] || cp -r "$tools/packages" "$target/packages"
  rm -rf /var/tmp/project
  cp -r "$tools/projects/$1" /var/tmp/project
  cd /var/tmp/project || return
  cold
  timed "$1" bash "$tools/packages.sh" use "$1" "$target/packages"
}

# The same with a network: each cache is made in the directory $target/packages.
fill_package() {
  rm -rf /var/tmp/project
  cp -r "$tools/projects/$1" /var/tmp/project
  cd /var/tmp/project || return
  timed "$1" bash "$tools/packages.sh" fill "$1" "$target/packages"
}

mkdir -p "$target" "$scratch"
while read -r unit argument; do
  cd "$scratch" || exit
  case $unit in
    fio) run_fio ;;
    files) perl "$tools/files.pl" "$target/files" "$argument" ;;
    tree) run_tree "$argument" ;;
    package) run_package "$argument" ;;
    fill) fill_package "$argument" ;;
  esac
done < "$tools/units"
# Work that failed has said so by its marker.
exit 0
