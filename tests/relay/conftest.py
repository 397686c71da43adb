"""The two forwarders: the one in Python, and the same with plain media in C, compiled here from its source."""

import subprocess
import sys
from pathlib import Path

import pytest

from video_server.relay.compiled import FORWARDERS

BUILD = Path(__file__).parents[2] / "deploy" / "relay-fast.sh"


@pytest.fixture(scope="session")
def built() -> None:
    """Compile it, if what is there was not built from the present source; processes of the suite may do so at once."""
    # Another process looks: one that has loaded what an older source gave keeps that until it ends.
    look = [sys.executable, "-c", "from video_server.relay.built import load_compiled; load_compiled()"]
    if subprocess.run(look, cwd=BUILD.parents[1], capture_output=True, check=False).returncode:
        subprocess.run([BUILD], check=True)


@pytest.fixture(scope="module", params=FORWARDERS)
def forwarder(request: pytest.FixtureRequest, built: None) -> str:
    """The name of each forwarder in turn: what asks for it is run with both."""
    return request.param
