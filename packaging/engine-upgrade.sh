#!/bin/sh
# Editors that are open while their engine is upgraded go on with the one they were started from. Run by the package's own
# scriptlets: `keep` before the old files go, `settle` when they are gone, `clear` when the package is removed.
#
# What is kept is marked as retired: nothing is started from it. It goes with the next upgrade after its last editor has ended;
# sooner by `hoody-code engine remove`.
set -e

engines=/usr/lib/hoody-code/engines

# Some process runs a program from there. One that was deleted meanwhile is still called by its path.
in_use() {
  for exe in /proc/[0-9]*/exe; do
    case $(readlink "$exe" 2>/dev/null) in "$engines/$1"/*) return 0 ;; esac
  done
  return 1
}

case ${1-} in
  keep)
    for record in "$engines"/*/engine.json; do
      [ -e "$record" ] || continue
      dir=${record%/engine.json}
      id=${dir##*/}
      if [ ! -e "$dir/retired" ] && in_use "$id"; then
        # Links, not copies: no space, and the same pages in memory.
        rm -rf "$engines/.kept-$id"
        cp -al "$dir" "$engines/.kept-$id"
      fi
    done
    ;;
  settle)
    for kept in "$engines"/.kept-*; do
      [ -d "$kept" ] || continue
      dir=$engines/${kept##*/.kept-}
      if [ -e "$dir/engine.json" ]; then
        # The same engine, packed anew; or one that is not the package's.
        rm -rf "$kept"
      else
        rm -rf "$dir"
        : >"$kept/retired"
        mv "$kept" "$dir"
      fi
    done
    for mark in "$engines"/*/retired; do
      [ -e "$mark" ] || continue
      dir=${mark%/retired}
      in_use "${dir##*/}" || rm -rf "$dir"
    done
    ;;
  clear)
    for dir in "$engines"/.kept-* "$engines"/*; do
      case $dir in
        */.kept-*) rm -rf "$dir" ;;
        *) [ ! -e "$dir/retired" ] || rm -rf "$dir" ;;
      esac
    done
    ;;
  *)
    echo "usage: $0 keep|settle|clear" >&2
    exit 64
    ;;
esac
