#!/usr/bin/env bash
# packaging/check.sh [BINARIES [ENGINE|none]]: makes every package twice and holds them to what is promised: the same bytes, nothing that lintian
# or rpmlint complain of without a reason given in deb/*.lintian-overrides and rpm/rpmlint.toml, the same files in the .deb and in
# the .rpm. Leaves the packages in target/packages/check for tests/vm/package.test.mjs. They are lightly compressed: quick to make.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binaries=${1:-$here/target/release}
engine=${2:+--engine $2}
out=$here/target/packages/check

say() { printf 'packages: %s\n' "$*"; }
fail() {
  printf 'packages: %s\n' "$*" >&2
  exit 1
}

rm -rf "$out" "$out-again"
for to in "$out" "$out-again"; do
  "$here/packaging/package.sh" deb --binaries "$binaries" $engine --level 0 --out "$to" >/dev/null
  "$here/packaging/package.sh" rpm --binaries "$binaries" $engine --level 1 --out "$to" >/dev/null
done
for file in "$out"/*; do
  cmp "$file" "$out-again/$(basename "$file")" || fail "$(basename "$file") made twice is not the same twice"
done
rm -rf "$out-again"
say "made twice, byte for byte the same: $(cd "$out" && echo *)"

lintian --no-cfg --allow-root --fail-on error,warning "$out"/*.deb || fail "lintian complains"
# It knows no way to fail of warnings, but says how many there were.
rpmlint -c "$here/packaging/rpm/rpmlint.toml" "$out"/*.rpm >"$out/rpmlint.log" 2>&1 || true
grep -q ' 0 errors, 0 warnings' "$out/rpmlint.log" || { cat "$out/rpmlint.log" >&2; fail "rpmlint complains"; }
rm "$out/rpmlint.log"
say "lintian and rpmlint have nothing to say"

# What a package of one kind alone has: overrides and changelogs are Debian's; zsh looks for completions in another place.
files() { (cd "$1" && find . ! -type d -printf '%M %p %l\n' | grep -Ev ' \./usr/share/(lintian/|doc/[^/]*/changelog\.gz)' | sed 's#/zsh/vendor-completions/#/zsh/site-functions/#' | sort); }
sums() { (cd "$1" && find . -type f -print0 | xargs -0 sha256sum | sed 's#/zsh/vendor-completions/#/zsh/site-functions/#' | grep -Ev ' \./usr/share/(lintian/|doc/[^/]*/changelog\.gz)' | sort); }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in hoody-code hoody-code-engine; do
  [ -n "$(find "$out" -name "${name}_*.deb")" ] || continue
  mkdir -p "$work/deb" "$work/rpm"
  dpkg-deb -x "$out/$name"_*.deb "$work/deb"
  (cd "$work/rpm" && rpm2cpio "$out/$name"-[0-9]*.rpm | cpio -idm --quiet --no-absolute-filenames)
  diff <(files "$work/deb") <(files "$work/rpm") || fail "$name: the .deb and the .rpm hold other files"
  diff <(sums "$work/deb") <(sums "$work/rpm") || fail "$name: files of the .deb and of the .rpm differ"
  if [ "$name" = hoody-code ]; then
    # What is missing from both is found by nobody else.
    for path in usr/bin/hoody-code usr/bin/hoody usr/bin/hoody-code-broker etc/hoody-code/config.toml usr/lib/systemd/system/hoody-code{,-broker}.service \
      usr/lib/systemd/system/hoody-code{,-https,-control,-metrics,-dashboard,-broker}.socket usr/lib/sysusers.d/hoody-code.conf usr/lib/tmpfiles.d/hoody-code.conf \
      usr/share/man/man{1/hoody-code.1,5/hoody-code-config.5,8/hoody-code-broker.8}.gz usr/share/bash-completion/completions/hoody{-code,} \
      usr/share/fish/vendor_completions.d/hoody{-code,}.fish etc/fail2ban/filter.d/hoody-code.conf usr/share/doc/hoody-code/{copyright,operate.md,examples/proxy/nginx.conf}; do
      [ -e "$work/deb/$path" ] || [ -L "$work/deb/$path" ] || fail "$name has no $path"
    done
    ls "$work/deb"/usr/share/doc/hoody-code/examples/{prometheus,grafana}/* >/dev/null || fail "$name has no alerts or no dashboard"
  fi
  rm -rf "$work/deb" "$work/rpm"
done
say "the .deb and the .rpm of a package hold the same files"
