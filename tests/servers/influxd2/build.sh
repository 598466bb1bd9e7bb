#!/usr/bin/env bash
# The InfluxDB 2.x server that the tests of influxdb2:// start: built once, from its Go module, into a cache outside the
# checkout, and found there again. Takes some five minutes, 2 GB while it builds and 1.5 GB in Go's cache of modules.
#
#   build.sh          print the path of the binary, building it first where there is none
#   build.sh --find   print the path of the binary and build nothing
#
# Only the path goes to stdout. Exit status: 0 there it is, 1 the build failed, 2 wrong usage, 3 it is not there and what
# is needed to build it is missing, 4 it is not there and could be built, 5 its sources cannot be downloaded.
set -euo pipefail

case "$*" in
  "" | --find) ;;
  *) echo "usage: $0 [--find]" >&2; exit 2 ;;
esac

# What go.mod and flux's Cargo.toml ask for; Debian 12 has older ones. InfluxDB 2.10.0, the newest in November 2026, wants
# Go 1.26.9 and flux 0.201.0, which the module proxy did not give out; hence 2.7.12.
go_needed=1.23
cargo_needed=1.72

cache=${XDG_CACHE_HOME:-$HOME/.cache}/laklak
export PATH="$PATH:/usr/local/go/bin:$HOME/.cargo/bin"
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")"
version=$(sed -n 's|.*github.com/influxdata/influxdb/v2 v||p' go.mod)
hash=$(cat go.mod go.sum main.go | sha256sum | cut -c1-12)
binary=$cache/influxd2-$version+$hash/influxd2

found() {
  [ -x "$binary" ] && echo "$binary"
}

at_least() {  # at_least WANTED THIS
  [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# From a folder without go.mod or rust-toolchain.toml, so that nothing is fetched by asking for a version.
go_version() { (cd / && go env GOVERSION | sed -n 's/^go\([0-9.]*\).*/\1/p'); }
cargo_version() { (cd / && cargo --version | sed -n 's/^cargo \([0-9.]*\).*/\1/p'); }

missing() {  # one line for each thing that a build needs and that is not here
  local tool this
  for tool in cc gcc flock; do
    command -v "$tool" >/dev/null || echo "no $tool"
  done
  for tool in go cargo; do
    local needed=${tool}_needed
    if ! command -v "$tool" >/dev/null; then
      echo "no $tool (it needs ${!needed} or newer)"
    elif ! this=$("${tool}_version" 2>/dev/null) || ! at_least "${!needed}" "${this:-0}"; then
      echo "$tool ${this:-of unknown version} is too old (it needs ${!needed} or newer)"
    fi
  done
}

found && exit
lacks=$(missing)
if [ -n "$lacks" ]; then
  echo "InfluxDB $version for the tests is not built and cannot be built here: ${lacks//$'\n'/, }" >&2
  exit 3
elif [ "${1:-}" = --find ]; then
  echo "InfluxDB $version for the tests is not built yet: make influxd2 (minutes, once)" >&2
  exit 4
fi

mkdir -p "$cache"
exec 9>"$cache/influxd2.lock"
flock --nonblock 9 || { echo "waiting for another build of InfluxDB" >&2; flock 9; }
found && exit

work=$cache/influxd2-build  # whoever has the lock owns it; what a killed build left goes
clean() {
  [ ! -e "$work" ] || { chmod -R u+w "$work" && rm -rf "$work"; }
}
clean
trap clean EXIT
mkdir "$work"

echo "building InfluxDB $version for the tests (minutes, once)" >&2
# Go's cache of compiled packages keeps what pkg-config said and never asks again, though the path in it is only ours and
# only for now; hence a cache for this one build.
export GOCACHE=$work/go-build
export GOFLAGS="-trimpath -mod=readonly" GOWORK=off CGO_ENABLED=1
unset GOOS GOARCH CARGO_BUILD_TARGET CARGO_ENCODED_RUSTFLAGS

# 1. libflux, the part in Rust. Upstream's way, github.com/influxdata/pkg-config, wants the real pkg-config as well,
# obeys flux's rust-toolchain.toml (1.72) and stops at the warnings of newer compilers, which flux turns into errors.
# So: its sources without that file, lints off, and its two answers given by a pkg-config of our own.
no_download() {
  echo "the sources of InfluxDB $version cannot be downloaded here" >&2
  exit 5
}
echo "libflux ..." >&2
go list -deps . >/dev/null || no_download
flux=$(go list -m -f '{{.Dir}}' github.com/influxdata/flux)
cp -R "$flux/libflux" "$flux/stdlib" "$work"
chmod -R u+w "$work"
(
  cd "$work/libflux"
  cargo fetch --quiet --locked >&2 || no_download
  CARGO_TARGET_DIR=$work/target CARGO_PROFILE_RELEASE_LTO=off RUSTFLAGS=--cap-lints=allow \
    cargo rustc --quiet --release --locked --package flux --lib --crate-type staticlib >&2
)
mkdir "$work/bin"
cat >"$work/bin/pkg-config" <<'SCRIPT'
#!/bin/sh
work=$(dirname "$(dirname "$0")")
case "$*" in
  "--cflags -- flux") echo "-I$work/libflux/include" ;;
  "--libs -- flux") echo "-L$work/target/release -lflux -ldl -lm" ;;
  *) echo "pkg-config $*: only flux is known here" >&2; exit 1 ;;
esac
SCRIPT
chmod +x "$work/bin/pkg-config"

# 2. The server. Without upstream's tag `assets` it has no web pages, which the tests do not look at.
echo "influxd ..." >&2
PKG_CONFIG=$work/bin/pkg-config go build -tags sqlite_foreign_keys,sqlite_json -ldflags "-s -w" -o "$work/influxd2" . >&2

"$work/influxd2" version >&2
mkdir -p "$(dirname "$binary")"
mv "$work/influxd2" "$binary"
found
