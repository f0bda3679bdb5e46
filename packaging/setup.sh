#!/usr/bin/env bash
# Brings what a purpose needs onto a Debian machine: setup.sh build|test|vm|bench|package. Rust and Node must be there already.
# The second time it asks nobody anything: it calls apt, npm and cargo install only for what is missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
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

case $purpose in
  build) packages=("${build_packages[@]}") ;;
  test | vm) packages=("${build_packages[@]}" "${test_packages[@]}" "${vm_packages[@]}" "${package_packages[@]}") ;;
  package) packages=("${build_packages[@]}" "${package_packages[@]}") ;;
  bench) packages=("${build_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}") ;;
  *) fail "usage: setup.sh build|test|vm|bench|package" ;;
esac
[ -n "${XDG_CACHE_HOME:-${HOME:-}}" ] || fail "neither XDG_CACHE_HOME nor HOME is set: no place for a cache"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hoody-code

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
command -v npm >/dev/null || fail "npm is missing: install it (it comes with Node.js; on Debian it is the package npm), then run this again"
if [ "$purpose" = test ]; then
  cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing: run 'rustup component add rustfmt', then run this again"
  cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing: run 'rustup component add clippy', then run this again"
fi

# ---- Debian packages ------------------------------------------------------------------------------------------------------
installed() { [[ $(dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null) =~ (^|[[:space:]])installed ]]; }

apt() {
  local log rc=0
  log=$(mktemp)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >"$log" 2>&1 || rc=$?
  if [ "$rc" -ne 0 ]; then
    tail -n 20 "$log" | sed 's/^/    /' >&2
    rm -f "$log"
    return "$rc"
  fi
  rm -f "$log"
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
    # A stale or partly unreachable index may still do; what decides is whether the packages can be had.
    apt update || say "could not refresh the package lists, going on with those that are here"
    apt install --no-install-recommends "${missing[@]}" ||
      fail "apt could not install (no network, or no disk space?): ${missing[*]}"
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

# ---- npm packages of the browser tests and the benchmark -------------------------------------------------------------------
tests=$here/../tests
lock_sum=$(cat "$tests/package.json" "$tests/package-lock.json" | sha256sum | cut -d' ' -f1)
stamp=$tests/node_modules/.lock-sum
if [ "$(cat "$stamp" 2>/dev/null)" != "$lock_sum" ]; then
  say "installing the npm packages of the browser tests"
  (cd "$tests" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
    fail "npm could not install the browser tests' packages (no network?)"
  printf '%s\n' "$lock_sum" >"$stamp"
fi
[ "$purpose" = test ] || exit 0

# ---- fail2ban's filter tester, promtool --------------------------------------------------------------------------------------
# unpack PACKAGE FROM TO: puts what is at FROM in a package at TO. Not installed: these packages would start services, one of which
# bans people from this machine.
unpack() {
  local dir
  say "unpacking $1 into $cache/tools"
  dir=$(mktemp -d)
  (cd "$dir" && apt-get -qq download "$1" >/dev/null 2>&1 && dpkg-deb -x "$1"_*.deb files) || fail "apt could not download $1 (no network?)"
  mkdir -p "$(dirname "$3")"
  rm -rf "$3"
  mv "$dir/files$2" "$3"
  rm -rf "$dir"
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
  mkdir -p "$cache/tools"
  python3 -m venv --clear "$schemathesis"
  "$schemathesis/bin/pip" install --quiet --no-input --disable-pip-version-check --require-hashes -r "$tests/schemathesis/requirements.txt" ||
    fail "pip could not install schemathesis (no network?)"
  printf '%s\n' "$lock_sum" >"$schemathesis/.lock-sum"
fi

# ---- cargo-deny -----------------------------------------------------------------------------------------------------------
export PATH=$PATH:$cache/tools/bin
if ! cargo-deny --version >/dev/null 2>&1; then
  say "compiling cargo-deny $cargo_deny into $cache/tools (three to six minutes, once)"
  log=$(mktemp)
  # It runs for two seconds at a time: a quick compilation is worth more than quick code.
  if ! CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    CARGO_PROFILE_RELEASE_DEBUG=0 cargo install --locked --root "$cache/tools" cargo-deny --version "$cargo_deny" >"$log" 2>&1; then
    tail -n 20 "$log" | sed 's/^/    /' >&2
    rm -f "$log"
    fail "cargo could not install cargo-deny (no network, or no disk space?)"
  fi
  rm -f "$log"
fi
