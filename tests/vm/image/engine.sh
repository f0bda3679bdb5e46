#!/usr/bin/env bash
# Packs the engine for the guest, and npm for its users: two read-only disks that every guest on this machine shares. Seconds.
#
#   engine.sh          pack them, unless they are there; the engine itself must have been built (make build)
#   engine.sh --path   print the directory with engine.squashfs and tools.squashfs; fails when it is not there
#
# The guest has them at /usr/lib/hoody-code/engines and at /opt/tools (bin/node, which is the engine's, bin/npm, bin/npx).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packaging=$images/../../../packaging/engine
engine=$("$packaging/build.sh" --dir)
id=${engine##*/}
name=engine-$id-$(hash_of "$images/engine.sh")

case ${1-} in
  --path)
    [ -d "$cache/$name" ] || fail "not packed yet: run $images/engine.sh"
    printf '%s\n' "$cache/$name"
    exit 0
    ;;
  '') ;;
  *) fail "unknown argument $1 (there is --path)" ;;
esac

[ ! -d "$cache/$name" ] || exit 0
[ -d "$engine" ] || fail "no engine at $engine: build it first (make build)"
need mksquashfs npm
begin 1500
[ ! -d "$cache/$name" ] || exit 0
mkdir "$staging/out"

# Uncompressed, since the guest has one processor (but the kernel wants to know the name of what is not used). Whoever built the engine, in the guest it is root's and for all to read.
squash() {
  mksquashfs "$@" -all-root -root-mode 755 -action 'chmod(go+rX)@!type(l)' -no-xattrs -comp zstd -noI -noD -noF -noX -no-progress -quiet
}
step "packing the engine" squash "$engine" "$staging/out/engine.squashfs" -keep-as-directory

# The version that builds the engine; npm's package holds all that npm needs.
npm_version=$(sed -n '/"node_modules\/npm": {/,/}/s/^ *"version": "\(.*\)",$/\1/p' "$packaging/package-lock.json" | head -n 1)
[ -n "$npm_version" ] || fail "no npm version in $packaging/package-lock.json"
tools=$staging/tools
fetch() {
  mkdir -p "$tools/bin" "$tools/lib"
  npm install --prefix "$tools/lib" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error "npm@$npm_version"
}
step "fetching npm $npm_version" fetch
node=$(find "$engine" -maxdepth 3 -name node -type f -perm -u+x -print -quit)
[ -n "$node" ] || fail "no node in $engine"
ln -s "/usr/lib/hoody-code/engines/$id${node#"$engine"}" "$tools/bin/node"
for tool in npm npx; do ln -s "../lib/node_modules/npm/bin/$tool-cli.js" "$tools/bin/$tool"; done
step "packing npm" squash "$tools" "$staging/out/tools.squashfs"

publish "$staging/out" "$name" engine-
