#!/usr/bin/env bash
# Makes packages from what is built: hoody-code and hoody-code-engine.
#
#   package.sh deb|rpm [--binaries DIR] [--engine DIR|none] [--architecture amd64|arm64] [--suffix +1] [--level N] [--out DIR]
#
# Both kinds are made by the distributions' own tools from one staged tree (stage.sh, stage-engine.sh), so they hold the same files
# with the same modes. A list of assets, as the cargo subcommands for it want one, could not say that of the ten thousand files of
# an engine. The same input gives the same bytes: times are those of the last commit, names and order are fixed.
#
# --binaries      where the programs are (target/release); for another architecture also set HOODY_CODE_GENERATOR (stage.sh)
# --engine        an installed engine; none: make hoody-code alone
# --suffix        behind the version, for builds of the same version
# --level         how hard it is compressed, 0 to 9 (1 for a .deb, by xz, which is what Debian takes; 9 for an .rpm, by zstd)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
maintainer='The hoody-code authors <hoody-code@hoody.com>'

fail() {
  printf 'package.sh: %s\n' "$*" >&2
  exit 1
}

kind=${1-}
case $kind in deb | rpm) shift ;; *) fail "usage: package.sh deb|rpm [--binaries DIR] [--engine DIR|none] …" ;; esac
binaries=$here/target/release engine= suffix= level= out=$here/target/packages
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch= ;; esac
while [ $# -gt 1 ]; do
  case $1 in
    --binaries) binaries=$2 ;;
    --engine) engine=$2 ;;
    --architecture) arch=$2 ;;
    --suffix) suffix=$2 ;;
    --level) level=$2 ;;
    --out) out=$2 ;;
    *) fail "unknown option $1" ;;
  esac
  shift 2
done
[ -n "$level" ] || level=$([ "$kind" = deb ] && echo 1 || echo 9)
case $arch in
  amd64) rpm_arch=x86_64 machine=3e00 ;;
  arm64) rpm_arch=aarch64 machine=b700 ;;
  *) fail "packages are for amd64 and arm64, not for '$arch'" ;;
esac
for tool in zstd gzip $([ "$kind" = deb ] && echo dpkg-deb dpkg-shlibdeps || echo rpmbuild); do
  command -v "$tool" >/dev/null || fail "$tool is missing: run packaging/setup.sh package"
done

# e_machine of elf(5): what is built for one machine does not run on the other, whatever the package says.
for program in hoody-code hoody-code-broker; do
  [ ! -e "$binaries/$program" ] || [ "$(od -An -tx1 -j18 -N2 "$binaries/$program" | tr -d ' ')" = "$machine" ] || fail "$binaries/$program is not for $arch"
done

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/Cargo.toml" | head -n 1)
[ "$(head -n 1 "$here/packaging/changelog")" = "$version" ] || fail "packaging/changelog does not begin with $version, the version in Cargo.toml"
committed() { git -C "$here" log -1 --format=%ct -- "$@" 2>/dev/null || true; }
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(committed .)}
[ -n "$SOURCE_DATE_EPOCH" ] || fail "not a git checkout: say SOURCE_DATE_EPOCH, in seconds"
# The engine's parts have versions of their own; a later assembly of the same ones is told by its day.
assembled=$(committed packaging/engine)
engine_version=$(sed -n 's/^ *"code-server": "\([0-9.]*\)".*/\1/p' "$here/packaging/engine/package.json")+$(date -u -d "@${assembled:-$SOURCE_DATE_EPOCH}" +%Y%m%d)

umask 022
export LC_ALL=C TZ=UTC
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# changes NAME FORMAT: the changelog's entries; each begins with a version in the first column.
changes() {
  if [ "$1" = hoody-code ]; then cat "$here/packaging/changelog"; else printf '%s\n  * VS Code as npm had it, with its native modules compiled here.\n' "$engine_version"; fi
}
deb_changes() {
  local author
  author="$maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
  changes "$1" | awk -v name="$1" -v suffix="$suffix" -v author="$author" '
    /^[0-9]/ { if (open) printf "\n -- %s\n\n", author; printf "%s (%s%s) unstable; urgency=medium\n\n", name, $1, open ? "" : suffix; open = 1; next }
    NF { print } END { printf "\n -- %s\n", author }'
}
rpm_changes() {
  changes "$1" | awk -v suffix="$suffix" -v author="$(date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y') $maintainer" '
    /^[0-9]/ { if (open) print ""; printf "* %s - %s%s-1\n", author, $1, open ? "" : suffix; open = 1; next }
    { sub(/^  \* /, "- "); gsub(/%/, "%%"); print }'
}

# The time of everything is that of the last commit, whenever it was built.
settle() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# libraries ROOT: what the programs in there are linked with, as a list of packages.
libraries() {
  local elf
  mkdir -p "$work/shlibs/debian"
  printf 'Source: hoody-code\nPackage: hoody-code\nArchitecture: any\n' >"$work/shlibs/debian/control"
  # Programs, and the modules that node loads. Two are for whoever sits at the machine, and linked with its desktop: Copilot's own
  # runtime, and Microsoft's sign-in, which does without.
  mapfile -t elf < <(find "$1" -type f \( -perm -u+x -o -name '*.node' \) ! -path '*copilot*' ! -path '*/microsoft-authentication/*' -print0 | sort -z |
    xargs -0r -n 50 file --mime-type -F '' | awk '$2 ~ /x-(pie-)?executable|x-sharedlib/ { print $1 }')
  (cd "$work/shlibs" && dpkg-shlibdeps --ignore-missing-info -O "${elf[@]/#/-e}" 2>"$work/shlibs/log" | sed -n 's/^shlibs:Depends=//p') ||
    { cat "$work/shlibs/log" >&2; fail "dpkg-shlibdeps does not know a library"; }
}

deb() {
  local name=$1 root=$2 version=$3 script
  local meta=$root/DEBIAN doc=$root/usr/share/doc/$name
  deb_changes "$name" | gzip -9n >"$doc/changelog.gz"
  chmod 644 "$doc/changelog.gz"
  install -D -m 644 "$here/packaging/deb/$name.lintian-overrides" "$root/usr/share/lintian/overrides/$name"
  install -d "$meta"
  (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$meta/md5sums"
  (cd "$root" && find . -path './etc/*' -type f -printf '/%P\n' | sort) >"$meta/conffiles"
  [ -s "$meta/conffiles" ] || rm "$meta/conffiles"
  for script in postinst prerm postrm; do
    [ ! -f "$here/packaging/deb/$name.$script" ] || install -m 755 "$here/packaging/deb/$name.$script" "$meta/$script"
  done
  [ ! -f "$here/packaging/deb/$name.triggers" ] || install -m 644 "$here/packaging/deb/$name.triggers" "$meta/triggers"
  {
    printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: %s\n' "$name" "$version" "$arch" "$maintainer"
    printf 'Installed-Size: %s\nPriority: optional\n' "$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)"
    sed "s|@SHLIBS@|$(libraries "$root")|" "$here/packaging/deb/$name.control"
  } >"$meta/control"
  chmod 644 "$meta"/md5sums "$meta"/control
  [ ! -f "$meta/conffiles" ] || chmod 644 "$meta/conffiles"
  settle "$root"
  dpkg-deb --root-owner-group -Zxz -z"$level" --build "$root" "$work" >/dev/null
  # An earlier version would be installed along with `*.deb`.
  rm -f "$out/${name}"_*_"$arch.deb"
  mv "$work/${name}_${version}_$arch.deb" "$out/"
  printf '%s\n' "$out/${name}_${version}_$arch.deb"
}

rpm() {
  local name=$1 root=$2 version=$3
  local files=$work/$name.files
  if [ -d "$root/usr/share/zsh/vendor-completions" ]; then
    mv "$root/usr/share/zsh/vendor-completions" "$root/usr/share/zsh/site-functions"
  fi
  settle "$root"
  # Directories of ours are ours; those that others have, too, are not.
  (cd "$root" && find . -mindepth 1 \( -type d \( -path '*/hoody-code*' -o -path './usr/lib/hoody-code*' \) -printf '%%%%dir %%%%attr(%m,root,root) "/%P"\n' \) -o \
    \( ! -type d -path './etc/hoody-code/*' -printf '%%%%config(noreplace) %%%%attr(%m,root,root) %%%%verify(not group) "/%P"\n' \) -o \
    \( ! -type d -path './etc/*' -printf '%%%%config(noreplace) %%%%attr(%m,root,root) "/%P"\n' \) -o \
    \( -type l -printf '"/%P"\n' \) -o \( ! -type d -path './usr/share/doc/*' -printf '%%%%doc %%%%attr(%m,root,root) "/%P"\n' \) -o \
    \( ! -type d -printf '%%%%attr(%m,root,root) "/%P"\n' \)) | sed 's/%%/%/g' | sort >"$files"
  rm -f "$out/$name"-[0-9]*".$rpm_arch.rpm"
  rpm_changes "$name" >"$work/$name.changes"
  sed -e "/^%{CHANGES_}$/{r $work/$name.changes" -e 'd}' "$here/packaging/rpm/$name.spec" >"$work/$name.spec"
  rpmbuild -bb --quiet --target "$rpm_arch-linux" --buildroot "$work/buildroot" \
    --define "_topdir $work/rpm" --define "_rpmdir $out" --define '_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' \
    --define "VERSION_ $version" --define 'RELEASE_ 1' --define "MAINTAINER_ $maintainer" --define "STAGED_ $root" --define "FILES_ $files" \
    --define '__os_install_post %{nil}' --define 'debug_package %{nil}' --define '_build_id_links none' --define '__brp_check_rpaths %{nil}' \
    --define "_binary_payload w$level.zstdio" --define '_buildhost hoody-code' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' "$work/$name.spec" >"$work/rpm.log" 2>&1 || { cat "$work/rpm.log" >&2; fail "rpmbuild failed"; }
  printf '%s\n' "$out/$name-$version-1.$rpm_arch.rpm"
}

stage=$work/hoody-code
"$here/packaging/stage.sh" "$stage" "$binaries"
install -D -m 644 "$here/packaging/copyright" "$stage/usr/share/doc/hoody-code/copyright"
"$kind" hoody-code "$stage" "$version$suffix"

if [ "$engine" != none ]; then
  stage=$work/hoody-code-engine
  "$here/packaging/stage-engine.sh" "$stage" ${engine:+"$engine"}
  install -D -m 644 "$here/packaging/copyright.engine" "$stage/usr/share/doc/hoody-code-engine/copyright"
  "$kind" hoody-code-engine "$stage" "$engine_version$suffix"
fi
