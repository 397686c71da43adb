"""Is the compiled part of the hot path there, and built from the source that stands beside it?"""

import importlib
import zlib
from pathlib import Path
from typing import Any

from video_server.core.errors import CannotStart

SOURCE = Path(__file__).with_name("compiled.c")


def load_compiled() -> Any:
    """Return the module that `make relay-fast` builds. Raises CannotStart, saying what to do."""
    try:
        module = importlib.import_module("video_server.relay._compiled")
    except ImportError as problem:
        raise CannotStart(
            "VIDEO_RELAY_FORWARDER is compiled, and the compiled forwarder cannot be loaded here "
            f"({problem}): run 'make relay-fast', or set it to python."
        ) from None
    if f"{zlib.crc32(SOURCE.read_bytes()):08x}" != module.BUILT_FROM:
        raise CannotStart(
            "VIDEO_RELAY_FORWARDER is compiled, and the compiled forwarder was built from another version: "
            "run 'make relay-fast' again, or set it to python."
        )
    return module
