#!/usr/bin/env bash
# Make the Python environment from a lock file: setup.sh LOCK
# Bytecode is compiled here, ours too, because some machines forbid Python to write it while running.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=$1
python=${PYTHON:-python3.11}
unset PYTHONDONTWRITEBYTECODE

command -v "$python" >/dev/null || { echo "Python 3.11 is needed and '$python' was not found: install it, or name another with PYTHON=." >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; '$python' is older." >&2; exit 1; }

if [ ! -x .venv/bin/python ]; then
    echo "Making the Python environment in .venv …"
    "$python" -m venv .venv || { echo "The environment could not be made: on Debian install python3-venv." >&2; exit 1; }
fi
echo "Installing the locked Python libraries …"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement "$lock" 2>&1 |
    grep -v "is ignored: it is neither a file nor a directory" || [ "${PIPESTATUS[0]}" = 0 ]
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . 2>&1 |
    grep -v "is ignored: it is neither a file nor a directory" || [ "${PIPESTATUS[0]}" = 0 ]
.venv/bin/python -m compileall -q -j 0 video_server .venv/lib/python*/site-packages -x '/tests?/|lib2to3' || true
