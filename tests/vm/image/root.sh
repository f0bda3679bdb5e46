#!/usr/bin/env bash
# Builds the guest's root file system: a small Debian with systemd as PID 1, from the mirrors of the machine's own apt. About
# half a minute.
#
#   root.sh [SUITE]          build it, unless it is there; SUITE is trixie (systemd 257; the default) or bookworm (252)
#   root.sh --path [SUITE]   print the directory with root.img and the key (id) of its root user; fails when it is not there
#   root.sh --fits [SUITE]   succeeds when a program built on this machine can run in that guest: the C library decides
#
# As root it unpacks as root. Anybody else does it in a user namespace, for which the package uidmap and a range of
# subordinate ids are needed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Sparse: it takes the space that is written.
size=8G
packages=(
  # what is tested on
  systemd systemd-sysv systemd-oomd dbus dbus-user-session udev libpam-systemd libnss-systemd polkitd libstdc++6
  # what tests do things with
  acl bind9-dnsutils btrfs-progs ca-certificates curl e2fsprogs gcc gdb git iproute2 iputils-ping libc6-dev make nftables
  openssh-server passwd procps psmisc python3 quota socat strace sudo util-linux xz-utils
)
# Units that cost time at each boot or run at a time of their own choosing.
masked=(
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
  getty@tty1.service ldconfig.service systemd-binfmt.service systemd-hwdb-update.service
  systemd-journal-catalog-update.service systemd-pcrphase.service quota.service quotarpc.service rpcbind.service
)

# pack DIR, as root or what looks like it: DIR/root.tar becomes DIR/out/root.img.
pack() {
  local root=$1/root unit
  mkdir "$root"
  # The kernel makes the device nodes; a user namespace may not.
  tar -C "$root" -xpf "$1/root.tar" --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*'
  rm -rf "$root"/boot/* "$root"/var/cache/apt/*
  # Like a machine whose first boot is over: its id is the same each time.
  tar -C "$images/guest" --owner=0 --group=0 --mode=u=rwX,go=rX -cf - . | tar -C "$root" -xf - --no-overwrite-dir
  mkdir -p "$root/usr/lib/hoody-code/engines" "$root/opt/tools" "$root/var/log/journal" "$root/root/.ssh"
  install -m 600 "$1/out/id.pub" "$root/root/.ssh/authorized_keys"
  chmod 700 "$root/root/.ssh"
  # No password opens root's account; a lock (!) would have sshd refuse the key as well.
  sed -i 's/^root:[^:]*:/root:*:/' "$root/etc/shadow"
  mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
  ln -s ../guest-net.service "$root/etc/systemd/system/multi-user.target.wants/"
  for unit in "${masked[@]}"; do ln -sfn /dev/null "$root/etc/systemd/system/$unit"; done
  ln -sfn /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
  # Quotas of users, groups and projects are kept by the file system itself; it is mounted with limits enforced.
  mkfs.ext4 -q -F -L root -O quota,project -E quotatype=usrquota:grpquota:prjquota -d "$root" "$1/out/root.img" "$size"
  rm -rf "$root"
}

action=build
case ${1-} in
  --path | --fits | --pack) action=${1#--} && shift ;;
  -*) fail "unknown argument $1 (there are --path and --fits)" ;;
esac
export PATH=$PATH:/usr/sbin:/sbin
if [ "$action" = pack ]; then
  pack "$@"
  exit 0
fi

suite=${1:-trixie}
case $suite in
  trixie) glibc=2.41 ;;
  bookworm) glibc=2.36 ;;
  *) fail "unknown suite $suite (there are trixie and bookworm)" ;;
esac
if [ "$action" = fits ]; then
  ours=$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)
  [ "$(printf '%s\n' "$ours" "$glibc" | sort -V | tail -n 1)" = "$glibc" ] ||
    fail "programs built here want glibc $ours, $suite has $glibc"
  exit 0
fi

mapfile -t overlay < <(find "$images/guest" -type f | sort)
name=root-$suite-$(hash_of "$images/root.sh" "${overlay[@]}")
if [ -f "$cache/$name/root.img" ]; then
  [ "$action" = build ] || printf '%s\n' "$cache/$name"
  exit 0
fi
[ "$action" = build ] || fail "the $suite image is not built yet: run $images/root.sh $suite"

need mmdebstrap mkfs.ext4 ssh-keygen
if [ "$(id -u)" = 0 ]; then
  mode=root
  as_root=()
else
  need newuidmap
  as_root=(unshare --map-root-user --map-auto)
  mode=unshare
  "${as_root[@]}" true 2>/dev/null || fail "no user namespaces for $(id -un) (a range in /etc/subuid is needed), and not root"
fi
apt_mirrors
begin 4000
[ ! -f "$cache/$name/root.img" ] || exit 0
mkdir "$staging/out"

sources() {
  printf "deb [signed-by=$signed] %s %s main\n" "$mirror" "$suite" "$mirror" "$suite-updates"
  [ -z "$security" ] || printf "deb [signed-by=$signed] %s %s main\n" "$security" "$suite-security"
}
sources >"$staging/sources.list"

# How this machine's apt gets at its mirrors (proxies, dates) holds for mmdebstrap's, too.
mapfile -t options < <(apt-config dump --no-empty --format '%f "%v";%n' |
  grep -E '^Acquire::(http|https|ftp|Retries|ForceIPv|Check-)' || true)
bootstrap() {
  local option list
  list=$(IFS=, && printf '%s' "${packages[*]}")
  for option in "${options[@]}"; do set -- "$@" --aptopt="$option"; done
  mmdebstrap --quiet --mode="$mode" --variant=minbase --include="$list" "$@" \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$staging/root.tar" "$staging/sources.list"
}
step "installing Debian $suite into it" bootstrap

ssh-keygen -q -t ed25519 -N '' -C guest -f "$staging/out/id"
step "packing it" "${as_root[@]}" "$images/root.sh" --pack "$staging"
publish "$staging/out" "$name" "root-$suite-"
