#!/usr/bin/env bash
# Builds all that the guests are started from: the kernel and, meanwhile, the root file systems and the engine's disks.
# Four to seven minutes on two cores the first time; after that it only looks.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

"$here/kernel.sh" &
kernel=$!
rc=0
"$here/root.sh" trixie || rc=$?
# The oldest systemd we support, where programs built on this machine run beside it.
if [ "$rc" = 0 ] && "$here/root.sh" --fits bookworm 2>/dev/null; then "$here/root.sh" bookworm || rc=$?; fi
[ "$rc" != 0 ] || "$here/engine.sh" || rc=$?
# Whatever failed has said why. The kernel is waited for all the same: the next attempt has it.
wait "$kernel" || rc=$?
exit "$rc"
