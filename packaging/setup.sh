#!/usr/bin/env bash
# Brings what a purpose needs onto a Debian machine: setup.sh build|test|vm|bench|package. Rust and Node must be there already.
# The second time it asks nobody anything: it calls apt, npm and cargo install only for what is missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/why.sh"
purpose=${1-}
cargo_deny=0.20.2

# g++, make, python3 and libkrb5-dev compile VS Code's native modules, gcc the daemon's C dependencies.
build_packages=(ca-certificates g++ gcc libc6-dev libkrb5-dev make pkg-config python3)
# python3-venv holds the dev servers that come from PyPI; caddy, haproxy and nginx stand in front of the service in tests of its browser side.
test_packages=(caddy chromium curl fonts-dejavu-core git haproxy nginx-light openssl procps puma python3-venv ruby-rails testssl.sh)
bench_packages=(nginx-light wrk)
# What packages are made and checked with: dpkg-deb and rpmbuild, lintian and rpmlint.
package_packages=(cpio dpkg-dev file gzip lintian rpm rpmlint xz-utils zstd)
# What the guests of tests/vm are made with (a kernel, Debian images, disks) and run with; uidmap for who is not root.
vm_packages=(bc bison debian-archive-keyring e2fsprogs flex mmdebstrap openssh-client slirp4netns squashfs-tools util-linux xz-utils)
[ "$(id -u)" = 0 ] || vm_packages+=(uidmap)

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# quiet TASK COMMAND…: its output goes to the log; of a failure, the last lines of that are shown, and one that says what is wrong.
quiet() {
  local task=$1 rc=0
  shift
  "$@" >"$log" 2>&1 </dev/null || rc=$?
  if [ "$rc" -ne 0 ] || ! unpacked "$log"; then
    tail -n 20 "$log" | sed 's/^/    /' >&2
    fail "could not $task: $(why "$log")"
  fi
}

case $purpose in
  build) packages=("${build_packages[@]}") ;;
  test | vm) packages=("${build_packages[@]}" "${test_packages[@]}" "${vm_packages[@]}" "${package_packages[@]}") ;;
  package) packages=("${build_packages[@]}" "${package_packages[@]}") ;;
  bench) packages=("${build_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}") ;;
  *) fail "usage: setup.sh build|test|vm|bench|package" ;;
esac
[ -n "${XDG_CACHE_HOME:-${HOME:-}}" ] || fail "neither XDG_CACHE_HOME nor HOME is set: no place for a cache"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hoody-code
log=$(mktemp) || fail "cannot write to ${TMPDIR:-/tmp}"
scratch=
trap 'rm -rf "$log" ${scratch:+"$scratch"}' EXIT

# ---- what we do not install -----------------------------------------------------------------------------------------------
rust=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$here/../Cargo.toml")
[ -n "$rust" ] || fail "no rust-version in $here/../Cargo.toml"
command -v cargo >/dev/null || fail "cargo is missing: install Rust $rust or newer (rustup does), then run this again"
command -v rustc >/dev/null || fail "rustc is missing: install Rust $rust or newer (rustup does), then run this again"
found=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p') || true
[ -n "$found" ] || fail "rustc does not run: install Rust $rust or newer (rustup does), then run this again"
printf '%s\n' "$rust" "$found" | sort -CV ||
  fail "Rust is too old ($found, $rust or newer is needed): run 'rustup update stable', then run this again"
command -v node >/dev/null || fail "node is missing: install Node.js 18 or newer with npm, then run this again"
found=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p') || true
[ "${found:-0}" -ge 18 ] || fail "node is too old, or does not run: install Node.js 18 or newer with npm, then run this again"
command -v npm >/dev/null || fail "npm is missing: install it (it comes with Node.js; on Debian it is the package npm), then run this again"
if [ "$purpose" = test ]; then
  cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing: run 'rustup component add rustfmt', then run this again"
  cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing: run 'rustup component add clippy', then run this again"
fi

# ---- Debian packages ------------------------------------------------------------------------------------------------------
installed() { [[ $(dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null) =~ (^|[[:space:]])installed ]]; }

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"; }

# A stale or partly unreachable index may still do; what decides is whether the packages can be had.
refresh_and_install() {
  apt update || true
  apt install --no-install-recommends "$@"
}

if command -v dpkg-query >/dev/null; then
  missing=()
  for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
  done
  if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then
      as_root=()
    elif sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      fail "no right to install packages (not root, no sudo without a password); install by hand: apt-get install ${missing[*]}"
    fi
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    newcomers=()
    for daemon in caddy haproxy nginx; do
      installed "$daemon" || newcomers+=("$daemon")
    done
    quiet "install ${missing[*]}" refresh_and_install "${missing[@]}"
    # Tests and benchmark run their own; the packages must not leave servers on ports 80 and 443.
    for daemon in "${newcomers[@]}"; do
      if installed "$daemon" && [ -d /run/systemd/system ]; then
        "${as_root[@]}" systemctl disable --now --quiet "$daemon.service" || true
      fi
    done
  fi
else
  say "this is not Debian; needed here are the equivalents of: ${packages[*]}"
fi
case $purpose in build | package) exit 0 ;; esac

[ "$purpose" != test ] || mkdir -p "$cache/tools" 2>/dev/null || fail "cannot make the directory $cache/tools"

# ---- npm packages of the browser tests and the benchmark -------------------------------------------------------------------
tests=$here/../tests
lock_sum=$(cat "$tests/package.json" "$tests/package-lock.json" | sha256sum | cut -d' ' -f1)
stamp=$tests/node_modules/.lock-sum
if [ "$(cat "$stamp" 2>/dev/null)" != "$lock_sum" ]; then
  say "installing the npm packages of the browser tests"
  quiet "install the npm packages of the browser tests" env -C "$tests" npm ci --ignore-scripts --no-audit --no-fund
  printf '%s\n' "$lock_sum" >"$stamp"
fi
[ "$purpose" = test ] || exit 0

# ---- fail2ban's filter tester, promtool --------------------------------------------------------------------------------------
# unpack PACKAGE FROM TO: puts what is at FROM in a package at TO. Not installed: these packages would start services, one of which
# bans people from this machine.
unpack() {
  say "unpacking $1 into $cache/tools"
  mkdir -p "$(dirname "$3")"
  # Beside where it goes, so that all of it appears at once.
  scratch=$(mktemp -d "$cache/tools/.unpacking-XXXXXX")
  quiet "download $1" env -C "$scratch" apt-get -qq download "$1"
  quiet "unpack $1" dpkg-deb -x "$scratch/$1"_*.deb "$scratch/files"
  rm -rf "$3"
  mv -T "$scratch/files$2" "$3"
  rm -rf "$scratch"
}

if command -v dpkg-deb >/dev/null; then
  [ -x "$cache/tools/fail2ban/usr/bin/fail2ban-regex" ] || unpack fail2ban '' "$cache/tools/fail2ban"
  [ -x "$cache/tools/bin/promtool" ] || unpack prometheus /usr/bin/promtool "$cache/tools/bin/promtool"
fi

# ---- schemathesis ----------------------------------------------------------------------------------------------------------
schemathesis=$cache/tools/schemathesis
lock_sum=$(cat "$tests/schemathesis/requirements.txt" <(python3 --version) | sha256sum | cut -d' ' -f1)
if [ "$(cat "$schemathesis/.lock-sum" 2>/dev/null)" != "$lock_sum" ]; then
  say "installing schemathesis into $schemathesis"
  quiet "make a Python environment for schemathesis" python3 -m venv --clear "$schemathesis"
  quiet "install schemathesis" "$schemathesis/bin/pip" install --quiet --no-input --disable-pip-version-check --require-hashes -r "$tests/schemathesis/requirements.txt"
  printf '%s\n' "$lock_sum" >"$schemathesis/.lock-sum"
fi

# ---- cargo-deny -----------------------------------------------------------------------------------------------------------
export PATH=$PATH:$cache/tools/bin
if ! cargo-deny --version >/dev/null 2>&1; then
  say "compiling cargo-deny $cargo_deny into $cache/tools (three to six minutes, once)"
  # It runs for two seconds at a time: a quick compilation is worth more than quick code.
  quiet "install cargo-deny" env CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    CARGO_PROFILE_RELEASE_DEBUG=0 cargo install --locked --root "$cache/tools" cargo-deny --version "$cargo_deny"
fi
