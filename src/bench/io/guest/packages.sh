#!/bin/bash
# A package manager in a copy of its project, the working directory: `packages.sh fill NAME CACHE` has it fetch all that the project
# needs into the cache, `packages.sh use NAME CACHE` has it work from there without a network.
set -eu
mode=$1 name=$2 cache=$3
mkdir -p "$cache"
export HOME=/dev/shm npm_config_cache=$cache/npm npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
# Without write permission for its owner a user could not remove the modules.
export CARGO_HOME=$cache/cargo GOMODCACHE=$cache/go GOCACHE=$cache/go-build GOFLAGS=-modcacherw
case $mode-$name in
  fill-npm-ci) npm ci ;;
  use-npm-ci) npm ci --offline ;;
  fill-pip-install) pip wheel --no-cache-dir --wheel-dir "$cache/pip" -r requirements.txt ;;
  use-pip-install) pip install --no-index --no-cache-dir --find-links "$cache/pip" --target lib -r requirements.txt ;;
  fill-cargo-build)
    cargo fetch
    cp Cargo.lock "$cache/cargo"
    ;;
  use-cargo-build)
    cp "$cache/cargo/Cargo.lock" .
    cargo build --offline
    ;;
  fill-go-build) go build -o program . ;;
  use-go-build) GOPROXY=off GOFLAGS="$GOFLAGS -mod=readonly" go build -o program . ;;
esac
