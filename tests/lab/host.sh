#!/usr/bin/env bash
# The first process of a host of the lab: it runs as process 1 of namespaces of its own (network,
# processes, mounts, names), furnishes them, says "ready", and waits.
#
# When its standard input closes it ends, and the kernel ends everything on the host with it. So
# nothing outlives the test that made the host, however that test ends.
#
# LAB_CACHE, LAB_SCRIPTS and LAB_GUARDIAN say where the gateways, this folder and the program are;
# they appear as /mnt/cache, /mnt/scripts and /mnt/bin/guardian, readable for every user of the host.
# With LAB_SYSTEMD (and LAB_ROOT) it becomes a systemd instead of waiting; see `systemd.sh`, which starts it then.
set -euo pipefail

if [ -n "${LAB_SYSTEMD:-}" ]; then
  source "$LAB_SCRIPTS/systemd.sh"
  own_root
fi

mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir -p /mnt/{cache,scripts,bin,etc,lab}
chmod 1777 /mnt/lab
mkdir -p "$LAB_CACHE/warm"
chmod 1777 "$LAB_CACHE/warm"
mount --rbind "$LAB_CACHE" /mnt/cache
mount --bind "$LAB_SCRIPTS" /mnt/scripts
touch /mnt/bin/guardian
mount --bind "$LAB_GUARDIAN" /mnt/bin/guardian

# Folders in which programs leave what another host of the lab must not find.
for folder in /tmp /run /root /home; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
chmod 1777 /tmp
chmod 700 /root
mkdir -p /run/sshd
[ ! -d /etc/guardian ] || mount -t tmpfs tmpfs /etc/guardian
# Gateways of early 2026 compile their plugins at the first start, which takes a minute.
mkdir -m 1777 -p /mnt/cache/warm/{jiti,node-compile-cache} /tmp/{jiti,node-compile-cache}
for folder in jiti node-compile-cache; do mount --bind "/mnt/cache/warm/$folder" "/tmp/$folder"; done

# Users of this host alone.
cp /etc/passwd /etc/group /mnt/etc/
id=4000
for user in ana bob data web _guardian-gate; do
  id=$((id + 1))
  echo "$user:x:$id:$id::/home/$user:/bin/sh" >>/mnt/etc/passwd
  echo "$user:x:$id:" >>/mnt/etc/group
  install -d -m 700 -o "$id" -g "$id" "/home/$user"
done
mount --bind /mnt/etc/passwd /etc/passwd
mount --bind /mnt/etc/group /etc/group

# Addresses are usable at once, without asking the wire whether somebody else has them.
echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up

[ -z "${LAB_SYSTEMD:-}" ] || become
echo ready
while read -r _; do :; done
