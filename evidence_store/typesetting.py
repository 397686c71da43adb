"""PDF/A-3a and PDF/UA-1 by typst: for keeping, and for whoever reads by ear. Pure computing: call it in a thread.

What people wrote goes in as data and is never read as markup. Only the fonts that come with typst and those that are
named are used, never the machine's own, so that every machine prints alike; a character they lack is refused, never
printed as a box. The web server prints its statements by this too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import typst

_STANDARDS: list[Any] = ["a-3a", "ua-1"]
_NO_GLYPH = re.compile(r'the text `"(.*?)"` could not be displayed', re.DOTALL)


class MissingGlyph(Exception):
    """No font has a character; `characters` says which."""

    def __init__(self, characters: str) -> None:
        super().__init__("a character cannot be printed")
        self.characters = characters


@cache
def _load(folders: tuple[Path, ...]) -> typst.Fonts:
    """Return the fonts that come with typst and those of the folders; a folder that is not there has none."""
    return typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in folders])


def typeset(template: bytes, data: Mapping[str, Any], *, at: datetime, fonts: Sequence[Path] = ()) -> bytes:
    """Return a PDF of a template and its `data` (read there as `sys.inputs.data`, JSON).

    at      the date written into the file, aware
    fonts   folders with fonts beyond those that come with typst
    Raises  MissingGlyph
    """
    try:
        return typst.compile(
            template,
            sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
            pdf_standards=_STANDARDS,
            font_paths=_load(tuple(fonts)),
            ignore_system_fonts=True,
            timestamp=int(at.timestamp()),
        )
    except typst.TypstError as problem:
        missing = _NO_GLYPH.search(problem.message)
        if missing is None:
            raise RuntimeError("the template does not compile") from None  # its message may hold what people wrote
        raise MissingGlyph(missing.group(1)) from None
