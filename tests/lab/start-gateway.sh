#!/usr/bin/env bash
# Runs a gateway in the foreground, in this process: what you signal is the gateway.
#
#   tests/lab/start-gateway.sh VERSION PORT HOME [CONFIG]
#
#   VERSION  clawdbot@2026.1.24-3, openclaw@2026.1.29 or openclaw@2026.9.6
#   PORT     where it listens
#   HOME     an empty folder, or that of an earlier run; the gateway knows no other home
#   CONFIG   JSON laid over {"gateway":{"mode":"local","port":PORT}}
#
# LAB_NODE_OPTIONS becomes the NODE_OPTIONS of the gateway, which then sees LAB_LISTEN too.
set -euo pipefail

spec=${1:?version} port=${2:?port} home=${3:?home} config=${4:-'{}'}
cache=${GUARDIAN_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/guardian-lab}
product=${spec%%@*}
package=$cache/npm/${spec/@/-}/node_modules/$product
[ -e "$package/package.json" ] || { echo "$spec is not installed in $cache: tests/lab/install.sh" >&2; exit 1; }

case $product in
  clawdbot) entry=$package/dist/entry.js prefix=CLAWDBOT ;;
  *) entry=$package/openclaw.mjs prefix=OPENCLAW ;;
esac
state=$home/.$product file=$home/.$product/$product.json
umask 022
mkdir -p "$state"
chmod 700 "$state"
jq -n --argjson port "$port" --argjson config "$config" \
  '{gateway: {mode: "local", port: $port}} * $config' >"$file"
chmod 600 "$file"

# Nothing of the caller's environment decides how the gateway behaves.
environment=(
  HOME="$home" PATH="$cache/bin:/usr/bin:/bin" TERM=dumb LANG=C.UTF-8 NO_COLOR=1
  "${prefix}_STATE_DIR=$state" "${prefix}_CONFIG_PATH=$file"
)
[ -z "${LAB_NODE_OPTIONS:-}" ] || environment+=(NODE_OPTIONS="$LAB_NODE_OPTIONS" LAB_LISTEN="${LAB_LISTEN:-}")
cd "$home"
exec env -i "${environment[@]}" "$cache/bin/node" "$entry" gateway run --port "$port"
