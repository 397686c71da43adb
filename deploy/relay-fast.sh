#!/usr/bin/env bash
# Compile the relay's hot path for this machine's Python: relay-fast.sh [FLAGS of gcc]
# The result stands beside its source and knows from which source it is; put in place whole, so that two at once do no harm.
set -euo pipefail
cd "$(dirname "$0")/.."
source=video_server/relay/compiled.c
python=.venv/bin/python

command -v gcc >/dev/null || { echo "A compiler is needed and 'gcc' was not found: on Debian, apt-get install gcc libc6-dev." >&2; exit 1; }
read -r include suffix crc < <("$python" - "$source" <<'END'
import sys, sysconfig, zlib
crc = zlib.crc32(open(sys.argv[1], "rb").read())
print(sysconfig.get_path("include"), sysconfig.get_config_var("EXT_SUFFIX"), f"{crc:08x}")
END
)
[ -f "$include/Python.h" ] || { echo "Python's headers are needed and $include/Python.h was not found: on Debian, apt-get install python3-dev." >&2; exit 1; }
target=video_server/relay/_compiled$suffix
trap 'rm -f "$target.$$"' EXIT
# -ffp-contract=off: the figures are to be the very ones that Python reckons
gcc -O2 -fPIC -shared -std=c11 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers -Wno-cast-function-type \
    -ffp-contract=off -DBUILT_FROM="\"$crc\"" -isystem "$include" "$@" -o "$target.$$" "$source"
mv -f "$target.$$" "$target"
