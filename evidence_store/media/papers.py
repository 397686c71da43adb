"""The first page of a PDF as a picture, drawn by typst's own renderer (Rust), in the confined process only."""

import io
import json
from typing import Any

import typst
from PIL import Image

from evidence_store.media.model import NoPreview, Problem
from evidence_store.media.pictures import jpeg

MOST_BYTES = 8_000_000
_PAGE = b"""#set page(width: auto, height: auto, margin: 0pt)
#image(bytes(json(bytes(sys.inputs.file))), format: "pdf", page: 1, height: 842pt)
"""
_COMPILER = typst.Compiler(_PAGE, ignore_system_fonts=True)  # made while folders can be looked at


def first_page(source: Any) -> bytes:
    """Return the first page as a JPEG. Raises NoPreview.

    The document reaches the renderer as numbers in JSON: files cannot be opened here, and words cannot hold any byte.
    """
    if source.size_bytes > MOST_BYTES:
        raise NoPreview(Problem.SIZE)
    numbers = json.dumps(list(source.read()), separators=(",", ":"))
    drawn = _COMPILER.compile(format="png", ppi=96, sys_inputs={"file": numbers})
    first = drawn[0] if isinstance(drawn, list) else drawn
    assert first is not None, "asked for bytes"
    with Image.open(io.BytesIO(first), formats=("PNG",)) as page:
        page.thumbnail((1280, 1280))
        return jpeg(page.convert("RGB"))
