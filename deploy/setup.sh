#!/usr/bin/env bash
# Make the Python environment from a lock file: setup.sh LOCK
# Bytecode is compiled here, ours too, because some machines forbid Python to write it while running.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=$1
python=${PYTHON:-python3.11}
unset PYTHONDONTWRITEBYTECODE PIP_USER PIP_TARGET PIP_PREFIX
noise="is ignored: it is neither a file nor a directory"

command -v "$python" >/dev/null || { echo "Python 3.11 is needed and '$python' was not found: install it, or name another with PYTHON=." >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; '$python' is older." >&2; exit 1; }

if ! .venv/bin/python -c 'import pip' 2>/dev/null; then # none yet, or one that was left half made
    echo "Making the Python environment in .venv …"
    "$python" -m venv --clear .venv >/dev/null || { echo "The environment could not be made: on Debian install python3-venv." >&2; exit 1; }
fi
pip() {
    # pip's own status counts, not grep's, which is 1 when it had nothing to pass on
    .venv/bin/python -m pip "$1" --quiet --disable-pip-version-check "${@:2}" 2>&1 </dev/null | grep -v "$noise" || [ "${PIPESTATUS[0]}" = 0 ]
}
echo "Installing the locked Python libraries …"
pip install --require-hashes --only-binary :all: --requirement "$lock" ||
    { echo "The Python libraries could not be installed: the lines above say why." >&2; exit 1; }
pip install --no-deps --no-build-isolation --editable . ||
    { echo "The command 'video-server' could not be installed: the lines above say why." >&2; exit 1; }
.venv/bin/python -m compileall -q -j 0 -x '/tests?/|lib2to3' video_server evidence_store .venv/lib/python*/site-packages || true
