#!/usr/bin/env bash
# A host of the lab whose first process is a real systemd.
#
#   systemd.sh   becomes `unshare` with such a host; its standard input is the host's life
# and, sourced by `host.sh` on the host, the functions that build its root and become systemd.
#
# A systemd acts on the files that it finds: it clears /tmp, and sets the kernel up. So it finds none
# of this machine: /usr is read-only, /etc is a copy, and all else is new and empty. If anything of
# this machine can be written all the same, the host does not come up.
#
# With LAB_ROOT the host is that root and not this machine's programs: a bare Debian, whose every file can be
# written, for what is written lies in memory over it.
set -euo pipefail

# What would act on the machine rather than on its files, or wait for what is not there.
masked=(
  systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.service
  systemd-tmpfiles-clean.timer systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service
  systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket systemd-udevd-control.socket
  systemd-random-seed.service systemd-remount-fs.service systemd-journald.service
  systemd-journal-flush.service systemd-journald.socket systemd-journald-dev-log.socket
  systemd-journald-audit.socket dbus.service dbus.socket
)

# What is this machine's, and must not be written.
fixed=(/lab/scripts /lab/guardian /lab/cache/{bin,node,npm})

# A cgroup of its own, which is the root of the host's tree of cgroups: services are told apart by it.
# The machine may have its own tree anywhere, and read-only; so it is mounted once more.
enter() {
  if [ "${1:-}" != apart ]; then exec unshare --mount --propagation private -- bash "$0" apart; fi
  local tree=/sys/fs/cgroup group
  # The kernel refuses the same tree twice in one place, which is how a container has it already.
  mount -t tmpfs -o mode=755 tmpfs "$tree"
  mount -t cgroup2 none "$tree"
  group=$(mktemp -d "$tree/guardian-lab.XXXXXX")
  # Managers of users go through it to their own.
  chmod 755 "$group"
  # When standard input closes the host ends, and its cgroups are taken away.
  {
    set +e
    while read -r _; do :; done
    kill -KILL $$
    for _ in {1..100}; do
      find "$group" -depth -type d -exec rmdir {} +
      [ -e "$group" ] || break
      sleep 0.05
    done
  } <&0 >/dev/null 2>&1 &
  echo $$ >"$group/cgroup.procs"
  export LAB_SYSTEMD=1
  exec unshare --net --pid --mount --uts --ipc --cgroup --fork --kill-child=SIGKILL --mount-proc -- \
    bash "$(dirname "$0")/host.sh" </dev/null
}

# Moves into the new root; LAB_CACHE, LAB_SCRIPTS and LAB_GUARDIAN say where things are in it.
own_root() {
  local root=/mnt name outside=()
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 tmpfs "$root"
  if [ -n "${LAB_ROOT:-}" ]; then
    mkdir "$root"/{written,work,whole}
    mount -t overlay -o "lowerdir=$LAB_ROOT,upperdir=$root/written,workdir=$root/work" overlay "$root/whole"
    root=$root/whole
    # What the clock would have it do has no place between two looks.
    masked+=(timers.target)
  fi
  mkdir -p "$root"/{usr,etc,var,tmp,run,home,root,proc,sys,dev,old,mnt,lab/cache,lab/scripts}
  if [ -z "${LAB_ROOT:-}" ]; then
    for name in bin sbin lib lib32 lib64 libx32; do
      [ ! -L "/$name" ] || cp -a "/$name" "$root/$name"
    done
    mount --bind /usr "$root/usr"
    fixed+=(/usr)
    cp -a /etc/. "$root/etc/"
    rm -rf "$root/etc/systemd/system" "$root/etc/systemd/user" "$root/etc/fstab"
  fi
  mount --bind "$LAB_SCRIPTS" "$root/lab/scripts"
  touch "$root/lab/guardian"
  mount --bind "$LAB_GUARDIAN" "$root/lab/guardian"
  mkdir "$root"/lab/cache/{bin,node,npm}
  for name in bin node npm; do mount --bind "$LAB_CACHE/$name" "$root/lab/cache/$name"; done
  for name in "${fixed[@]}"; do mount -o remount,bind,ro "$root$name"; done
  outside=("$LAB_CACHE" "$LAB_SCRIPTS" "$LAB_GUARDIAN" ${LAB_ROOT:+"$LAB_ROOT"})
  LAB_CACHE=/lab/cache LAB_SCRIPTS=/lab/scripts LAB_GUARDIAN=/lab/guardian

  mkdir -p "$root"/etc/systemd/{system,user} "$root"/var/{log,lib,tmp}
  touch "$root/etc/fstab"
  for name in "${masked[@]}"; do ln -sf /dev/null "$root/etc/systemd/system/$name"; done

  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  mount -t cgroup2 none "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  mkdir "$root/dev/shm"
  ln -s /proc/self/fd "$root/dev/fd"

  cd "$root"
  pivot_root . old
  cd /
  umount -l /old
  for name in "${fixed[@]}"; do
    [ ! -w "$name" ] || { echo "systemd.sh: $name could be written" >&2; exit 1; }
  done
  # Only what lies in the new root by design may be there.
  for name in "${outside[@]}" /old/etc; do
    case $name in /usr/*) continue ;; esac
    [ ! -e "$name" ] || { echo "systemd.sh: $name of this machine can be seen" >&2; exit 1; }
  done
}

# Becomes systemd, which may neither set the kernel up nor reach the machine's devices and clock.
become() {
  mount --bind /proc/sys /proc/sys
  mount -o remount,bind,ro /proc/sys
  [ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
  local name
  for name in "${fixed[@]}" /sys/kernel /proc/sys/kernel/printk; do
    [ ! -w "$name" ] || { echo "systemd.sh: $name could be written" >&2; exit 1; }
  done
  mkdir -p /run/lock
  echo ready
  exec env -i container=lab PATH="$PATH" \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_boot,-sys_rawio,-mknod \
    /lib/systemd/systemd --system --unit=basic.target </dev/null >/dev/null 2>&1
}

[ "${BASH_SOURCE[0]}" != "$0" ] || enter "$@"
