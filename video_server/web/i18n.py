"""Every string goes through gettext: English in the source, Welsh in `locale/cy`.

`_` translates now, in the language of the request at hand; `N_` (core.errors) marks a string that is translated later.
"""

import gettext as _gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from video_server.core.log import get_logger

log = get_logger(__name__)

LANGUAGES = {"en": "English", "cy": "Cymraeg"}
FOLDER = Path(__file__).parent.parent / "locale"

_language: ContextVar[str] = ContextVar("language", default="en")


def choose(*wishes: str | None) -> str:
    """Return the first wish that names one of our languages; Accept-Language lists are read in their order."""
    for wish in wishes:
        for part in (wish or "").split(",")[:10]:
            code = part.split(";")[0].strip().lower()[:2]
            if code in LANGUAGES:
                return code
    return "en"


@contextmanager
def use(language: str) -> Iterator[None]:
    """Translate into `language` inside the block (this task only)."""
    token = _language.set(language if language in LANGUAGES else "en")
    try:
        yield
    finally:
        _language.reset(token)


def current() -> str:
    """Return the language in use: "en" or "cy"."""
    return _language.get()


@cache
def _translations(language: str) -> _gettext.NullTranslations:
    """Read the .po file itself: a few hundred strings take milliseconds, and no compiled file can be out of date."""
    source = FOLDER / language / "LC_MESSAGES" / "messages.po"
    if language == "en" or not source.exists():
        return _gettext.NullTranslations()
    from io import BytesIO

    buffer = BytesIO()
    with source.open("rb") as file:
        write_mo(buffer, read_po(file, locale=language))
    buffer.seek(0)
    return _gettext.GNUTranslations(buffer)


def gettext(message: str) -> str:
    """Translate a message into the language in use."""
    return _translations(current()).gettext(message) if message else ""


def ngettext(one: str, many: str, count: int) -> str:
    """Translate with the plural form that `count` takes."""
    return _translations(current()).ngettext(one, many, count)
