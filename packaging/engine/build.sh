#!/usr/bin/env bash
# Builds the engine (VS Code as a server, and the node it runs on) from npm packages and hands it to the daemon's store.
#
#   build.sh          build and add it, unless an engine with the same id is there
#   build.sh --id     print the id this tree would build, and stop
#   build.sh --dir    print the directory of that engine, built or not, and stop
#   build.sh --node   print the path of the node in that engine (or plain "node" while there is none), and stop
#
# The id carries a hash over everything that decides the outcome: package.json, the lock files, this file, the machine type, how
# node is started, which the compile cache depends on, and the daemon's code that makes an engine of a tree.
# Nothing is fetched that a lock file of ours does not name together with its checksum; no package's install script runs but
# those of the native modules listed below. relock.sh makes the lock files.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../why.sh"
bin=${HOODY_CODE_BIN:-$here/../../target/release/hoody-code}

# What VS Code loads and npm must compile (or fetch nothing for): the packages its package.json allows scripts for, without
# those it forbids (koffi, ssh2, cpu-features). The two Windows ones compile to an empty module here, which VS Code expects.
native=(
  kerberos node-pty @parcel/watcher @vscode/deviceid @vscode/fs-copyfile @vscode/native-watchdog @vscode/spdlog
  @vscode/sqlite3 @vscode/windows-process-tree @vscode/windows-registry
)
need_mb=3072

say() { printf 'engine: %s\n' "$*"; }
fail() {
  printf 'engine: %s\n' "$*" >&2
  exit 1
}

case $(uname -s)-$(uname -m) in
  Linux-x86_64) arch=x64 other=arm64 ;;
  Linux-aarch64) arch=arm64 other=x64 ;;
  *) fail "cannot build for $(uname -s) on $(uname -m): only for Linux on x86_64 or aarch64" ;;
esac

version=$(sed -n 's/^ *"code-server": "\([0-9.]*\)".*/\1/p' "$here/package.json")
[ -n "$version" ] || fail "no code-server version in $here/package.json"
# Without comments, empty lines and tests: what is said of it differently is no other engine.
code() { sed -s -e '/^#\[cfg(test)\]/,$d' -e '/^ *\/\//d' -e '/^ *$/d' "$@"; }
hash=$(
  cd "$here"
  {
    printf '%s\n' "$arch"
    cat package.json package-lock.json vscode/npm-shrinkwrap.json vscode/extensions/npm-shrinkwrap.json build.sh
    cd ../../src/engine
    sed -n '/^pub const NODE_FLAGS/p' command.rs
    sed -n '/^pub const FORMAT/p' installed.rs
    cat preload.cjs
    code adding.rs copy.rs manifest.rs pack.rs warm.rs
  } | sha256sum | cut -c1-12
)
id=code-server-$version-$hash

[ -n "${XDG_CACHE_HOME:-${HOME:-}}" ] || fail "neither XDG_CACHE_HOME nor HOME is set: no place for the engine"
engines=${XDG_CACHE_HOME:-$HOME/.cache}/hoody-code/engines

case ${1-} in
  --id)
    printf '%s\n' "$id"
    exit 0
    ;;
  --dir)
    printf '%s\n' "$engines/$id"
    exit 0
    ;;
  --node)
    found=$(find "$engines/$id" -maxdepth 3 -name node -type f -perm -u+x -print -quit 2>/dev/null || true)
    printf '%s\n' "${found:-node}"
    exit 0
    ;;
  '') ;;
  *) fail "unknown argument $1 (there are --id, --dir and --node)" ;;
esac

[ -x "$bin" ] || fail "no hoody-code program at $bin: build it first (make build)"
mkdir -p "$engines" 2>/dev/null || fail "cannot make the directory $engines"

present() { "$bin" engine list --json 2>/dev/null | grep -qF "\"$id\""; }
if present; then
  say "$id is there"
  exit 0
fi

# One build at a time. Whoever waited looks again: the other one may have built the same engine.
exec 9>"$engines/.build.lock"
if ! flock -n 9; then
  say "another build is running, waiting for it"
  flock 9
  if present; then
    say "$id is there"
    exit 0
  fi
fi

for tool in node npm g++ make python3; do
  command -v "$tool" >/dev/null || fail "$tool is missing: install it first (packaging/setup.sh build does, but for node and npm)"
done

# Under the lock any other staging directory is what a killed build left. The name is none that the store sweeps itself.
rm -rf "$engines"/.npm-build-*

free_mb=$(df -Pm "$engines" | awk 'NR == 2 { print $4 }') || fail "cannot tell how much of the disk is free in $engines"
[ "$free_mb" -ge "$need_mb" ] || fail "too little disk space: $free_mb MB free in $engines, $need_mb MB needed: make room, then run this again"

staging=$(mktemp -d "$engines/.npm-build-XXXXXX")
log=$staging/build.log
ticker=
cleanup() {
  [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
  rm -rf "$staging"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# step TITLE COMMAND…: output to the log; the title, a sign of life every 15 s and the time it took to the terminal.
step() {
  local title=$1 began=$SECONDS rc=0
  shift
  say "$title"
  # Not for longer than this script lives, however it ends.
  (
    while sleep 15 >/dev/null 2>&1 9>&- && kill -0 $$ 2>/dev/null; do say "  … $((SECONDS - began)) s"; done
  ) 9>&- &
  ticker=$!
  printf '\n== %s\n' "$title" >>"$log"
  "$@" >"$log.step" 2>&1 </dev/null || rc=$?
  cat "$log.step" >>"$log" || true
  [ "$rc" -ne 0 ] || unpacked "$log.step" || rc=1
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  ticker=
  if [ "$rc" -ne 0 ]; then
    {
      printf 'engine: the last lines of its output:\n'
      tail -n 20 "$log.step" | sed 's/^/    /'
    } >&2
    cp "$log" "$engines/.last-failed-build.log" 2>/dev/null || true
    fail "could not do this: $title: $(why "$log.step") (whole log: $engines/.last-failed-build.log)"
  fi
  say "  done in $((SECONDS - began)) s"
}

# The caller's make and node must not reach into the modules' own builds.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES NODE_OPTIONS NODE_PATH NODE_ENV
export npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false npm_config_color=false npm_config_progress=false

cp "$here/package.json" "$here/package-lock.json" "$staging/"
fetch() { (cd "$staging" && npm ci --omit=dev --include=optional --ignore-scripts); }
step "[1/6] fetching VS Code, node and npm" fetch

app=$staging/node_modules/code-server
vscode=$app/lib/vscode
node_home=$staging/node_modules/node-linux-$arch
node=$node_home/bin/node
[ -x "$node" ] || fail "npm did not install node-linux-$arch: its configuration may omit optional packages"
[ -f "$vscode/out/server-main.js" ] || fail "the code-server package has no lib/vscode/out/server-main.js"

# From here on the pinned npm under the pinned node, with that node's headers: what the machine has no longer matters.
export PATH=$node_home/bin:$PATH npm_config_nodedir=$node_home
JOBS=$(nproc)
export JOBS
pinned_npm() { "$node" "$staging/node_modules/npm/bin/npm-cli.js" "$@"; }

cp "$here/vscode/npm-shrinkwrap.json" "$vscode/"
cp "$here/vscode/extensions/npm-shrinkwrap.json" "$vscode/extensions/"
dependencies() {
  (cd "$vscode" && pinned_npm ci --omit=dev --ignore-scripts) &&
    (cd "$vscode/extensions" && pinned_npm ci --omit=dev --ignore-scripts && "$node" postinstall.mjs)
}
step "[2/6] fetching VS Code's own dependencies" dependencies

compile() { (cd "$vscode" && pinned_npm rebuild "${native[@]}"); }
step "[3/6] compiling its native modules (one to three minutes)" compile

# The store keeps lib/vscode alone: the licences go with it. And the two links the package's own postinstall makes.
finish() {
  cp "$app/LICENSE" "$vscode/LICENSE.code-server"
  cp "$app/ThirdPartyNotices.txt" "$vscode/"
  cp "$node_home/LICENSE" "$vscode/LICENSE.node"
  ln -sfn code-linux.sh "$vscode/bin/remote-cli/code-server"
  ln -sfn browser-linux.sh "$vscode/bin/helpers/browser.sh"
}

size_mb() { du -sm "$vscode" | cut -f1; }

# Only what nothing on this kind of machine can load: objects of finished compilations, source maps, other systems' binaries.
prune() {
  local modules=$vscode/node_modules
  find "$modules" -type d \( -path '*/build/Release/obj' -o -path '*/build/Release/obj.target' -o -path '*/build/Release/.deps' \) \
    -prune -exec rm -rf {} +
  find "$modules" -type f \( -path '*/build/Release/*.a' -o -name '*.o' \) -delete
  find "$app" -type f \( -name '*.js.map' -o -name '*.mjs.map' -o -name '*.cjs.map' -o -name '*.css.map' -o -name '*.ts.map' \
    -o -name '*.mts.map' -o -name '*.cts.map' \) -delete
  find "$modules" -type d -path '*/prebuilds/*' ! -path '*/prebuilds/*/*' ! -name "linux-$arch" -prune -exec rm -rf {} +
  find "$modules/@vscode/ripgrep-universal/bin" -mindepth 1 -maxdepth 1 ! -name "linux-$arch" -exec rm -rf {} +
  rm -rf "$modules/node-pty/third_party/conpty" "$modules/@microsoft/mxc-sdk/bin/$other" "$modules"/@parcel/watcher-linux-*-musl
  find "$modules" -type d -path '*/@koromix/*' -name 'musl_*' -prune -exec rm -rf {} +
  find "$modules/@microsoft/mxc-sdk/bin" "$modules/@vscode" -type f \( -name '*.exe' -o -name '*.dll' \) -delete
  rm -f "$vscode"/extensions/ms-vscode.js-debug/src/*.win32-*.node
  # Links npm made to files the extensions' own postinstall has removed.
  find "$vscode" -xtype l -delete
}
before=$(size_mb)
step "[4/6] leaving out what cannot run here" prune
finish
after=$(size_mb)
say "  $before MB before, $after MB now: $((before - after)) MB saved"

step "[5/6] trying it out" "$node" "$here/check.mjs" "$vscode"

# It shows its own progress.
say "[6/6] adding it to the store"
"$bin" engine add "$app" --node "$node" --id "$id" --move >/dev/null || fail "could not add the engine to the store"
rm -f "$engines/.last-failed-build.log"
say "$id is ready"
