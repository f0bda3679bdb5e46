#!/usr/bin/env bash
# Builds the guest's kernel: user-mode Linux from Debian's kernel source, with um.config. Three to six minutes on two cores.
#
#   kernel.sh          build it, unless it is there
#   kernel.sh --path   print where the program is, and stop; fails when it is not there
#
# The source moves on in the archive. A kernel that was built from an earlier one stays good: what is in the cache is used, and
# its name says which version it is.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Where to look for a source that is new enough, in this order: UML before 7 panics on current processors.
suites=(trixie-backports forky sid)

key=$(hash_of "$images/kernel.sh" "$images/um.config")
found() { find "$cache" -maxdepth 3 -path "*/kernel-*-$key/linux" -type f -print -quit 2>/dev/null; }

case ${1-} in
  --path)
    path=$(found)
    [ -n "$path" ] || fail "not built yet: run $images/kernel.sh"
    printf '%s\n' "$path"
    exit 0
    ;;
  '') ;;
  *) fail "unknown argument $1 (there is --path)" ;;
esac

[ -z "$(found)" ] || exit 0
need gcc make flex bison bc xz dpkg-deb
apt_mirrors
begin 5000
[ -z "$(found)" ] || exit 0

# An apt of our own beside the machine's: same proxies and mirrors, other suites, no rights needed.
private_apt=(
  -oDir::Etc::sourcelist="$staging/sources.list" -oDir::Etc::sourceparts=/dev/null -oDir::State::Lists="$staging/lists"
  -oDir::Cache="$staging/apt" -oAPT::Sandbox::User=root -oAcquire::Languages=none -oAcquire::Retries=3
)
mkdir -p "$staging/lists/partial" "$staging/apt/archives/partial"

look_for_source() {
  local suite
  for suite in "${suites[@]}"; do
    printf 'deb [signed-by=%s] %s %s main\n' "$signed" "$mirror" "$suite" >"$staging/sources.list"
    apt-get -qq "${private_apt[@]}" update || continue
    package=$(apt-cache "${private_apt[@]}" pkgnames linux-source- | grep -E '^linux-source-([7-9]|[1-9][0-9]+)\.[0-9]+$' |
      sort -V | tail -n 1) || continue
    version=$(apt-cache "${private_apt[@]}" show "$package" | sed -n 's/^Version: //p' | head -n 1)
    return 0
  done
  echo "no linux-source-7.* or newer in ${suites[*]}"
  return 1
}
step "looking for a kernel source" look_for_source

fetch() { (cd "$staging" && apt-get -qq "${private_apt[@]}" download "$package"); }
step "fetching $package $version" fetch

# Other processors' code and a display driver's register tables are a third of the source, and nothing here reads them.
unpack() {
  mkdir "$staging/source"
  dpkg-deb --fsys-tarfile "$staging"/"$package"_*.deb | tar -xO "./usr/src/$package.tar.xz" |
    tar -xJ -C "$staging/source" --strip-components=1 --exclude='*/drivers/gpu/drm/*/*/*.[ch]' --exclude='*/boot/dts/*'
  rm -f "$staging"/*.deb
}
step "unpacking it" unpack

# The caller's make must not reach into the kernel's.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CFLAGS LDFLAGS ARCH CROSS_COMPILE KCONFIG_CONFIG
compile() {
  mkdir "$staging/build" "$staging/out"
  cp "$images/um.config" "$staging/build/.config"
  local make=(make -s -C "$staging/source" ARCH=um O="$staging/build")
  "${make[@]}" olddefconfig
  nice -n 5 "${make[@]}" -j"$(nproc)" linux
  strip -s "$staging/build/linux" -o "$staging/out/linux"
  cp "$staging/build/.config" "$staging/out/config"
}
step "compiling it (three to six minutes)" compile

# A colon or a tilde in a version would be in the way of whoever passes the path on.
publish "$staging/out" "kernel-${version//[!0-9A-Za-z.+-]/_}-$key" kernel-
