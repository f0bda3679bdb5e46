# What the scripts here share; sourced by them, never run.

# `why` knows the tools' words, untranslated.
export LC_ALL=C.UTF-8

# why LOG: the cause of a failure and what to do about it, as the output of apt, npm, pip or cargo in LOG tells it.
why() {
  if grep -qE 'ENOSPC|EDQUOT|No space left|Disk quota exceeded|enough free space' "$1"; then
    echo "the disk is full: make room, then run this again"
  elif grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|Temporary failure|Could not (resolve|connect)|Unable to connect|Failed to establish a new connection|Connection (refused|reset|timed out)|Network is unreachable' "$1"; then
    echo "no network: see that what is named above can be reached from here, then run this again"
  elif grep -q 'Could not get lock' "$1"; then
    echo "another program is installing packages: wait for it, then run this again"
  elif grep -q 'dpkg was interrupted' "$1"; then
    echo "an earlier installation was interrupted: run 'dpkg --configure -a' as root, then this again"
  elif grep -q TAR_ENTRY_ERROR "$1"; then
    echo "npm could not unpack all of it: $(grep -m 1 -o 'TAR_ENTRY_ERROR.*' "$1")"
  else
    echo "the last lines of its output say why"
  fi
}

# unpacked LOG: whether npm unpacked all that it fetched. On a full disk it warns, and says that it has succeeded.
unpacked() { ! grep -q TAR_ENTRY_ERROR "$1"; }
