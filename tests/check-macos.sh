#!/usr/bin/env bash
# Type-checks, lints and links this workspace for macOS on a Debian machine.
#
#   tests/check-macos.sh              lint and link, all targets in one build
#   tests/check-macos.sh STAGE...     some of: lint-and-link check clippy link self-test
#
# The toolchain comes from package registries alone and lies in a cache folder: rustc with the source
# of its standard library from Debian (through an apt of its own: nothing of it is installed on the
# machine), zig and libclang from PyPI. What is linked here has never run on a Mac.
#
#   MACOS_CHECK_CACHE    where the toolchain lies (${XDG_CACHE_HOME:-~/.cache}/guardian-macos)
#   MACOS_CHECK_SUITES   Debian suites to take rustc from, tried in turn (trixie sid)
set -euo pipefail

# Raise it to make every cache build itself anew.
revision=1
target=aarch64-apple-darwin
version=13.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MACOS_CHECK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/guardian-macos}
# Debian's own Python: another one on the path may lack pip.
python=/usr/bin/python3

say() { echo "check-macos: $*" >&2; }
die() { say "$*"; exit 1; }

# --- The toolchain ------------------------------------------------------------------------------

need_tools() {
  local missing=()
  command -v cargo >/dev/null || die "cargo is not on the path"
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || die "needs root on a Debian machine"
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  [ -x "$python" ] || missing+=(python3)
  "$python" -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
  [ ${#missing[@]} -gt 0 ] || return 0
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The mirror that this machine's own apt uses.
mirror() {
  # shellcheck disable=SC2016  # apt expands them
  apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
    awk '$2 == "main" && $3 !~ /-/ {print $1; exit}'
}

# Fetches packages of a suite with all they depend on into $cache/apt/cache/archives. The first one is
# fetched alone: rustc depends on a gcc, and the machine's own is used.
fetch() {
  local suite=$1 alone=$2 apt=$cache/apt
  shift 2
  rm -rf "$apt"
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d}
  : >"$apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $suite main" \
    >"$apt/etc/sources.list"
  cat >"$apt/apt.conf" <<CONF
Dir "$apt";
Dir::Etc "etc";
Dir::State "state";
Dir::State::status "$apt/status";
Dir::Cache "cache";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
CONF
  export APT_CONFIG=$apt/apt.conf
  apt-get update -qq >&2 &&
    apt-get install -y -qq --download-only "$@" >/dev/null &&
    (cd "$apt/cache/archives" && apt-get download -qq "$alone" >/dev/null)
}

unpack_rust() {
  local suite found='' package
  for suite in ${MACOS_CHECK_SUITES:-trixie sid}; do
    # Debian's stable release has an old rustc, and beside it a new one that its browsers need.
    if [ "$suite" = trixie ]; then
      (fetch "$suite" rustc-web libstd-rust-web-dev rust-web-clippy rust-web-src) && found=1
    else
      (fetch "$suite" rustc libstd-rust-dev rust-clippy rust-src) && found=1
    fi
    [ -z "$found" ] || break
  done
  [ -n "$found" ] || die "no Debian suite has a rustc with its source"
  rm -rf "$cache/root"
  mkdir -p "$cache/root"
  for package in "$cache"/apt/cache/archives/*.deb; do
    case ${package##*/} in
      rust-src_* | rust-web-src_*)
        dpkg-deb --fsys-tarfile "$package" |
          tar -x -C "$cache/root" --wildcards './usr/src/*/library' './usr/lib/rustlib/src' ;;
      *) dpkg-deb --fsys-tarfile "$package" | tar -x -C "$cache/root" --exclude=./usr/share ;;
    esac
  done
  rm -rf "$cache/apt"
}

unpack_zig() {
  local libc=$cache/python/ziglang/lib/libc
  rm -rf "$cache/python"
  "$python" -m pip install -q --no-warn-script-location --root-user-action=ignore \
    --target "$cache/python" 'ziglang>=0.15,<0.18' 'libclang>=16' >&2
  # Three quarters of it are for other systems.
  find "$libc/include" -mindepth 1 -maxdepth 1 ! -name '*darwin*' ! -name '*macos*' -exec rm -rf {} +
  rm -rf "$libc"/{mingw,musl,wasi,glibc,freebsd,netbsd,openbsd} "$cache/python/ziglang/doc"
}

write_wrappers() {
  local usr=$cache/root/usr libraries=$cache/root/usr/lib/x86_64-linux-gnu tool
  mkdir -p "$cache/bin" "$cache"/sdk/{usr/include,usr/lib,System/Library/Frameworks}
  # rustc is of a later Debian: it runs with the C library it came with.
  for tool in rustc clippy-driver rustdoc; do
    printf '#!/bin/sh\nexec %s/ld-linux-x86-64.so.2 --library-path %s --argv0 %s/bin/%s %s/bin/%s "$@"\n' \
      "$libraries" "$libraries" "$usr" "$tool" "$usr" "$tool" >"$cache/bin/$tool"
  done
  for tool in ar ranlib; do
    printf '#!/bin/sh\nexec "$MACOS_ZIG" %s "$@"\n' "$tool" >"$cache/bin/macos-$tool"
  done
  # Build scripts that ask Xcode for its SDK get an empty one.
  printf '#!/bin/sh\ncase "$*" in\n*--show-sdk-version*) echo 15.0 ;;\n*--show-sdk-path*) echo %s/sdk ;;\n*) exit 1 ;;\nesac\n' \
    "$cache" >"$cache/bin/xcrun"
  chmod +x "$cache"/bin/*
}

# Builds the standard library for macOS once and puts it where rustc looks for it: from then on the
# target is like any installed one.
build_std() {
  local installed=$cache/root/usr/lib/rustlib/$target/lib build=$cache/std
  rm -rf "$build" "$installed"
  mkdir -p "$build/src" "$installed"
  : >"$build/src/lib.rs"
  cat >"$build/Cargo.toml" <<'TOML'
[package]
name = "sysroot"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.dev]
debug = false
incremental = false
TOML
  (cd "$build" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET -u RUSTC_WRAPPER \
    -u RUSTC_WORKSPACE_WRAPPER RUSTC="$cache/bin/rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$build/target" \
    cargo build -q -Zbuild-std=std,proc_macro,test,panic_abort,panic_unwind --target "$target") ||
    die "the standard library does not build"
  find "$build/target/$target/debug/deps" -name '*.rlib' ! -name 'libsysroot-*' -exec cp {} "$installed/" \;
  rm -rf "$build"
}

set_up() {
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
  if [ "$(cat "$cache/stamp" 2>/dev/null)" != "$revision" ]; then
    say "installing the toolchain into $cache"
    rm -f "$cache/stamp"
    need_tools
    unpack_rust
    unpack_zig
    write_wrappers
    build_std
    "$cache/bin/rustc" --version >&2
    echo "$revision" >"$cache/stamp"
  fi
  cp "$here/macos-cc.py" "$cache/bin/macos-cc"
  cp "$here/macos-cc.py" "$cache/bin/macos-c++"
  chmod +x "$cache"/bin/macos-c*
  flock -u 9
}

# --- The check ----------------------------------------------------------------------------------

use() {
  local darwin=$cache/python/ziglang/lib
  export PATH="$cache/bin:$PATH" RUSTC="$cache/bin/rustc" RUSTDOC="$cache/bin/rustdoc"
  export SDKROOT="$cache/sdk" MACOSX_DEPLOYMENT_TARGET="$version"
  export MACOS_ZIG="$cache/python/ziglang/zig" MACOS_ZIG_TARGET="aarch64-macos.$version"
  export ZIG_GLOBAL_CACHE_DIR="$cache/zig" ZIG_LOCAL_CACHE_DIR="$cache/zig"
  export CC_aarch64_apple_darwin="$cache/bin/macos-cc" CXX_aarch64_apple_darwin="$cache/bin/macos-c++"
  export AR_aarch64_apple_darwin="$cache/bin/macos-ar" RANLIB_aarch64_apple_darwin="$cache/bin/macos-ranlib"
  export CARGO_TARGET_AARCH64_APPLE_DARWIN_LINKER="$cache/bin/macos-cc"
  # For build scripts that translate C headers.
  export LIBCLANG_PATH="$cache/python/clang/native"
  export BINDGEN_EXTRA_CLANG_ARGS_aarch64_apple_darwin="--target=arm64-apple-macosx$version -nostdinc \
-isystem $darwin/include -isystem $darwin/libc/include/any-darwin-any"
  unset RUSTC_BOOTSTRAP RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_TARGET
  # Beside the ordinary target folder, not in it: another compiler made what lies here.
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$here/../target}/macos-check"
}

# One stage in the project of the current folder.
stage() {
  case $1 in
    check) cargo check --target "$target" --workspace --all-targets ;;
    # What `cargo clippy -- -D warnings` does, with a clippy-driver that is no part of this cargo's.
    clippy) CLIPPY_ARGS='-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__' \
      RUSTC_WORKSPACE_WRAPPER="$cache/bin/clippy-driver" cargo check --target "$target" --workspace --all-targets ;;
    link) cargo build --target "$target" --workspace ;;
    # Both in one: clippy's driver is a compiler, and what is not ours is compiled once and not twice.
    lint-and-link) CLIPPY_ARGS='-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__' CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=none \
      RUSTC_WORKSPACE_WRAPPER="$cache/bin/clippy-driver" cargo build --target "$target" --workspace --all-targets ;;
    *) die "no stage is called $1" ;;
  esac
}

# The check must pass good code and fail bad code, in parts that only macOS compiles.
self_test() {
  local project good
  project=$(mktemp -d)
  mkdir "$project/src"
  cd "$project"
  export CARGO_TARGET_DIR=$project/target
  printf '[package]\nname = "t"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\nlibc = "0.2"\n' \
    >Cargo.toml
  good='fn main() { #[cfg(target_os = "macos")] { let mut info: libc::proc_bsdinfo = unsafe { std::mem::zeroed() }; info.pbi_uid = 1; println!("{}", info.pbi_uid); } }'
  must() { # CODE STAGE WORD: fails, and says WORD
    echo "$1" >src/main.rs
    if stage "$2" >log 2>&1; then die "self-test: $2 passed what it should refuse"; fi
    grep -q "$3" log || { cat log >&2; die "self-test: $2 failed for another reason"; }
  }
  echo "$good" >src/main.rs
  { stage check && stage link; } >log 2>&1 || { cat log >&2; die "self-test: good code was refused"; }
  head -c4 "target/$target/debug/t" | od -An -tx1 | grep -q 'cf fa ed fe' || die "self-test: no Mach-O file"
  must "${good/= 1/= \"one\"}" check E0308
  must 'extern "C" { fn no_such_function(); } fn main() { unsafe { no_such_function() } }' link no_such_function
  must 'fn main() { #[cfg(target_os = "macos")] { let v = vec![1, 2]; for i in 0..v.len() { println!("{}", v[i]); } } }' \
    clippy needless_range_loop
  rm -rf "$project"
  say "self-test passed: a type error, an unknown symbol and a lint are each found"
}

case ${1:-} in -h | --help) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
set_up
use
cd "$here/.."
for stage in "${@:-lint-and-link}"; do
  say "$stage"
  if [ "$stage" = self-test ]; then (self_test); else stage "$stage"; fi
done
say "nothing was found"
