#!/usr/bin/env bash
# The InfluxDB 1.x server that the tests of influxdb:// start: Debian's package, unpacked under build/ and not installed.
# That needs no root, starts no service and leaves the machine as it is; what is there already is not fetched again.
#
# Prints the folder of the program, or nothing where influxd is on the PATH anyway. Exit status: 0 there is one,
# 3 there is none and it cannot be had here; stderr says why. OFFLINE=1 fetches nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

place=$PWD/build/influxdb
folder=$place/usr/bin

cannot() {
  echo "no influxd for the tests ($1): those that need InfluxDB 1.x are skipped" >&2
  exit 3
}

command -v influxd >/dev/null && exit 0
[ -x "$folder/influxd" ] && { echo "$folder"; exit 0; }
[ -z "${OFFLINE:-}" ] || cannot "OFFLINE is set"
command -v apt-get >/dev/null || cannot "no apt-get; install InfluxDB 1.x and put influxd on the PATH"

root=(sudo -n)
[ "$(id -u)" != 0 ] || root=()
fetch() {
  timeout 120 apt-get download -qq influxdb
}
work=$place.new
rm -rf "$work" && mkdir -p "$work" && cd "$work"
echo "getting influxd (once)" >&2
if ! fetch 2>/dev/null; then
  { timeout 300 "${root[@]}" apt-get update -qq && fetch; } >&2 || cannot "apt-get download influxdb failed"
fi
dpkg -x influxdb_*.deb . && rm -f influxdb_*.deb
rm -rf "$place" && mv "$work" "$place"
echo "$folder"
