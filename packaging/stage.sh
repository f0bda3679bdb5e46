#!/bin/bash
# packaging/stage.sh DIR [BINARIES]: lays an installation out in DIR, as a package has it: programs from BINARIES (target/release),
# units, accounts, directories, the default configuration, pages and examples. The one place that says what goes where: packages
# and the tests' virtual machines are made from it. Changes nothing outside DIR.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:?usage: packaging/stage.sh DIR [BINARIES]}
binaries=${2:-$here/target/release}
units=$dir/usr/lib/systemd/system
share=$dir/usr/share
doc=$share/doc/hoody-code
umask 022

# put MODE DIRECTORY FILE…
put() {
  local mode=$1 to=$2
  shift 2
  install -d "$to"
  install -m "$mode" "$@" "$to/"
}

# ---- programs; `hoody code …` is the same one ---------------------------------------------------------------------------------
install -d "$dir/usr/bin"
for program in hoody-code hoody-code-broker; do
  [ -x "$binaries/$program" ] || { echo "packaging/stage.sh: no $binaries/$program: run 'make build' first" >&2; exit 1; }
  install -m 0755 --strip "$binaries/$program" "$dir/usr/bin/$program"
done
ln -sf hoody-code "$dir/usr/bin/hoody"

# ---- systemd ------------------------------------------------------------------------------------------------------------------
put 0644 "$units" "$here"/systemd/*.service "$here"/systemd/*.socket "$here"/systemd/*.slice
for drop_in in "$here"/systemd/*.d; do
  put 0644 "$units/$(basename "$drop_in")" "$drop_in"/*.conf
done
install -d "$dir/usr/lib/sysusers.d" "$dir/usr/lib/tmpfiles.d" "$dir/usr/lib/sysctl.d"
install -m 0644 "$here/systemd/hoody-code.sysusers.conf" "$dir/usr/lib/sysusers.d/hoody-code.conf"
install -m 0644 "$here/systemd/hoody-code.tmpfiles.conf" "$dir/usr/lib/tmpfiles.d/hoody-code.conf"
install -m 0644 "$here/systemd/hoody-code.sysctl.conf" "$dir/usr/lib/sysctl.d/50-hoody-code.conf"

# ---- configuration: not for everybody to read. tmpfiles.d gives it to the front's group -----------------------------------------
install -d -m 0750 "$dir/etc/hoody-code" "$dir/etc/hoody-code/conf.d"
install -m 0640 "$here/etc/config.toml" "$dir/etc/hoody-code/config.toml"
put 0644 "$dir/etc/fail2ban/filter.d" "$here"/packaging/fail2ban/filter.d/*

# ---- completions and man pages, by the program itself. HOODY_CODE_GENERATOR: one that runs here, when those in BINARIES do not ---
shared=$(mktemp -d)
trap 'rm -rf "$shared"' EXIT
"${HOODY_CODE_GENERATOR:-$binaries/hoody-code}" generate "$shared"
install -d "$share/bash-completion/completions" "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d"
for program in hoody-code hoody; do
  install -m 0644 "$shared/bash/$program.bash" "$share/bash-completion/completions/$program"
  install -m 0644 "$shared/zsh/_$program" "$share/zsh/vendor-completions/_$program"
  install -m 0644 "$shared/fish/$program.fish" "$share/fish/vendor_completions.d/$program.fish"
done
cp "$here"/packaging/man/*.8 "$shared/man/"
for page in "$shared"/man/*; do
  gzip -9n "$page"
  put 0644 "$share/man/man${page##*.}" "$page.gz"
done
ln -sf hoody-code.1.gz "$share/man/man1/hoody.1.gz"

# ---- documents and examples -----------------------------------------------------------------------------------------------------
put 0644 "$doc" "$here"/docs/*.md
put 0644 "$doc/screens" "$here"/docs/screens/*.png
put 0644 "$doc/examples/proxy" "$here"/packaging/proxy/*
sed -i 's#(\.\./packaging/proxy/#(examples/proxy/#g' "$doc"/*.md
put 0644 "$doc/examples/fail2ban" "$here"/packaging/fail2ban/jail.d/*
for kind in prometheus grafana; do
  [ ! -d "$here/packaging/$kind" ] || cp -r --no-preserve=mode,ownership "$here/packaging/$kind" "$doc/examples/"
done
