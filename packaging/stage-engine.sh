#!/bin/bash
# packaging/stage-engine.sh DIR [ENGINE]: lays an engine out in DIR as the package hoody-code-engine has it. ENGINE is the directory
# of an installed one; without it, the one that packaging/engine/build.sh has built. Changes nothing outside DIR.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:?usage: packaging/stage-engine.sh DIR [ENGINE]}
engine=${2:-$("$here/packaging/engine/build.sh" --dir)}
[ -f "$engine/engine.json" ] || { echo "packaging/stage-engine.sh: no engine at $engine: run 'make build' first" >&2; exit 1; }
engines=$dir/usr/lib/hoody-code/engines
umask 022

install -d "$engines"
install -m 0755 "$here/packaging/engine-upgrade.sh" "$dir/usr/lib/hoody-code/engine-upgrade"
cp -r --reflink=auto --preserve=timestamps "$engine" "$engines/"
staged=$engines/$(basename "$engine")
# Whoever runs the engine as its owner adds to it: node to the compile cache, an extension to its own directory. The record was
# written last: what is newer came by use.
find "$staged" -type f -newer "$staged/engine.json" -delete
find "$staged" -depth -type d -empty -newer "$staged/engine.json" -delete
# Whoever built it: on the host it is root's, for all to read.
chmod -R u=rwX,go=rX "$staged"
# Modes that npm's packages come with by mistake.
find "$staged" -type f -perm -u+x \( -name '*.wasm' -o -name '*.cmd' -o -name '*.gyp' \) -exec chmod a-x {} +
# Where it was built is nobody's business.
sed -i -E 's|("source": ")[^"]*|\1npm|' "$staged/engine.json"
