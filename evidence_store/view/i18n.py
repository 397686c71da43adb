"""Every word of the pages goes through gettext; so far they are in English, as staff's pages are."""

import gettext as _gettext

_english = _gettext.NullTranslations()


def N_(message: str) -> str:  # noqa: N802 (the usual name)
    """Mark a message that is translated where it is shown."""
    return message


def gettext(message: str) -> str:
    """Translate a message."""
    return _english.gettext(message) if message else ""


def ngettext(one: str, many: str, count: int) -> str:
    """Translate with the plural form that `count` takes."""
    return _english.ngettext(one, many, count)
