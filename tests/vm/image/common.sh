# What the scripts here share; sourced by them, never run. They keep what they make in vm/ of the project's cache, in a directory
# whose name carries a hash over everything that decides the outcome: nothing that is there is ever made again, nothing
# half-made is ever there, because it is made in a staging directory beside and renamed when complete.

me=$(basename "$0" .sh)
images=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$images/../../../packaging/why.sh"

say() { printf 'vm %s: %s\n' "$me" "$*" >&2; }
fail() {
  printf 'vm %s: %s\n' "$me" "$*" >&2
  exit 1
}

[ -n "${XDG_CACHE_HOME:-${HOME:-}}" ] || fail "neither XDG_CACHE_HOME nor HOME is set: no place for the cache"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hoody-code/vm

hash_of() { cat "$@" | sha256sum | cut -c1-12; }

need() {
  local tool
  for tool in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || fail "$tool is missing: run packaging/setup.sh vm"
  done
}

# begin NEED_MB: takes this script's lock (whoever had to wait looks again) and makes $staging.
begin() {
  mkdir -p "$cache" 2>/dev/null || fail "cannot make the directory $cache"
  exec 9>"$cache/.lock-$me"
  flock -n 9 || {
    say "another build is running, waiting for it"
    flock 9
  }
  # Under the lock any other staging directory is what a killed build left.
  rm -rf "$cache/.staging-$me"-*
  local free_mb
  free_mb=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
  [ "$free_mb" -ge "$1" ] || fail "too little disk space: $free_mb MB free in $cache, $1 MB needed"
  staging=$(mktemp -d "$cache/.staging-$me-XXXXXX")
  chmod 755 "$staging"
  trap 'rm -rf "$staging"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# step TITLE COMMAND…: output to a log; the title and the time to the terminal; the log's end when it fails.
step() {
  local title=$1 began=$SECONDS rc=0
  shift
  say "$title"
  "$@" >"$staging/log" 2>&1 </dev/null 9>&- || rc=$?
  if [ "$rc" -ne 0 ]; then
    tail -n 20 "$staging/log" | sed 's/^/    /' >&2
    fail "could not do this: $title: $(why "$staging/log")"
  fi
  say "  done in $((SECONDS - began)) s"
}

# publish DIR NAME PREFIX: DIR becomes the cache's NAME; others that begin with PREFIX are of an earlier state of these scripts.
# They go unless they are in use: a guest keeps its images open, and a file that is open outlives its name.
publish() {
  find "$cache" -maxdepth 1 -name "$3*" ! -name "$2" -exec rm -rf {} +
  chmod 755 "$1"
  mv -T "$1" "$cache/$2"
  say "$2 is ready"
}

# ---- the machine's own apt --------------------------------------------------------------------------------------------------
# site CODENAME: the mirror this machine has a release from, as its package index says.
site() { apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $1" 2>/dev/null | head -n 1; }

# apt_mirrors: sets $mirror and $security, to fetch any release of Debian from, and $signed, the keys to trust.
apt_mirrors() {
  local here
  need apt-get
  here=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME-}")
  mirror=$(site "$here")
  [ -n "$mirror" ] || fail "apt has no package lists of Debian $here: run apt-get update as root first (this needs a Debian machine)"
  security=$(site "$here-security")
  security=${security:-$mirror-security}
  signed=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -r "$signed" ] || fail "$signed is missing: install the package debian-archive-keyring"
}
