#!/usr/bin/env bash
# The browser that the suite's journeys drive: Debian's chromium, installed here when we are root.
set -euo pipefail

command -v chromium >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The suite drives a real browser and 'chromium' was not found: install it (on Debian: sudo apt-get install chromium) and start again." >&2
    exit 1
fi
echo "Installing Debian's chromium …"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { apt-get install --quiet --yes --no-install-recommends chromium </dev/null >"$log" 2>&1; }
install || { apt-get update --quiet </dev/null >"$log" 2>&1 && install; } || {
    tail -n 5 "$log" >&2
    echo "Debian's chromium could not be installed: the lines above say why." >&2
    exit 1
}
