#!/bin/bash
# packaging/stage.sh DIR [BINARIES]: lays an installation out in DIR, as a package has it: programs from BINARIES
# (target/release), units, accounts, directories, the default configuration. Changes nothing outside DIR.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:?usage: packaging/stage.sh DIR [BINARIES]}
binaries=${2:-$here/target/release}
units=$dir/usr/lib/systemd/system

install -d "$dir/usr/bin" "$units" "$dir/usr/lib/sysusers.d" "$dir/usr/lib/tmpfiles.d" "$dir/etc/hoody-code"
for program in hoody-code hoody-code-broker; do
  [ -x "$binaries/$program" ] || { echo "packaging/stage.sh: no $binaries/$program: run 'make build' first" >&2; exit 1; }
  install -m 0755 --strip "$binaries/$program" "$dir/usr/bin/$program"
done
# `hoody code …` is the same program.
ln -sf hoody-code "$dir/usr/bin/hoody"
for unit in "$here"/systemd/*.service "$here"/systemd/*.socket "$here"/systemd/*.slice; do
  install -m 0644 "$unit" "$units/"
done
for drop_in in "$here"/systemd/*.d; do
  install -d "$units/$(basename "$drop_in")"
  install -m 0644 "$drop_in"/*.conf "$units/$(basename "$drop_in")/"
done
install -m 0644 "$here/systemd/hoody-code.sysusers.conf" "$dir/usr/lib/sysusers.d/hoody-code.conf"
install -m 0644 "$here/systemd/hoody-code.tmpfiles.conf" "$dir/usr/lib/tmpfiles.d/hoody-code.conf"
shared=$(mktemp -d)
trap 'rm -rf "$shared"' EXIT
"$binaries/hoody-code" generate "$shared"
install -d "$dir/usr/share/man/man1" "$dir/usr/share/bash-completion/completions" "$dir/usr/share/zsh/vendor-completions" "$dir/usr/share/fish/vendor_completions.d"
install -m 0644 "$shared"/man/*.1 "$dir/usr/share/man/man1/"
install -m 0644 "$shared/bash/hoody-code.bash" "$dir/usr/share/bash-completion/completions/hoody-code"
install -m 0644 "$shared/zsh/_hoody-code" "$dir/usr/share/zsh/vendor-completions/_hoody-code"
install -m 0644 "$shared/fish/hoody-code.fish" "$dir/usr/share/fish/vendor_completions.d/hoody-code.fish"
[ ! -f "$here/etc/config.toml" ] || install -m 0640 "$here/etc/config.toml" "$dir/etc/hoody-code/config.toml"
