#!/usr/bin/env bash
# What the suite needs of the system: Debian's chromium, gcc, Python's headers, PostgreSQL's server, coturn, nginx, SoftHSM and unzip, installed if we are root.
# As root also Firefox, clamd, what makes a thin link and what cuts a disk's power; without them the tests that use them are skipped, and say so.
set -euo pipefail

missing=()
command -v chromium >/dev/null || missing+=(chromium)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
[ -f "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || missing+=(python3-dev)
command -v turnserver >/dev/null || missing+=(coturn)
PATH=$PATH:/usr/sbin command -v nginx >/dev/null || missing+=(nginx-light)
command -v softhsm2-util >/dev/null || missing+=(softhsm2)
command -v unzip >/dev/null || missing+=(unzip)
if [ "$(id -u)" = 0 ]; then
    command -v firefox-esr >/dev/null || missing+=(firefox-esr)
    command -v tc >/dev/null || missing+=(iproute2)
    PATH=$PATH:/usr/sbin command -v clamd >/dev/null || missing+=(clamav-daemon)  # without signatures: the suite has its own
    PATH=$PATH:/usr/sbin command -v mkfs.xfs >/dev/null || missing+=(xfsprogs)
    command -v iptables >/dev/null || missing+=(iptables)
fi
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The suite drives a real browser, a real database server, a real proxy, a TURN server, a PKCS#11 module and unzip. Install ${missing[*]} (on Debian: sudo apt-get install ${missing[*]}) and start again." >&2
    exit 1
fi
echo "Installing Debian's ${missing[*]} …"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1  # the services are not started: the suite starts its own
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { apt-get install --quiet --yes --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; }
install || { apt-get update --quiet </dev/null >"$log" 2>&1 && install; } || {
    tail -n 5 "$log" >&2
    echo "Debian's ${missing[*]} could not be installed: the lines above say why." >&2
    exit 1
}
