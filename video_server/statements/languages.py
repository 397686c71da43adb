"""Languages that a statement can be taken in through an interpreter: those that can be printed, and how.

Data: a tag (BCP 47) and the font that holds its script. Names and the direction of writing come from the Unicode
Consortium's data (CLDR). A language of another script is added by a line here and its font among the libraries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from babel import Locale, UnknownLocaleError

_BUNDLED = "Libertinus Serif"  # comes with typst: Latin, Greek, Cyrillic
_ROOT = Path(__file__).parent.parent.parent
_PACKAGES = _ROOT / "node_modules/@expo-google-fonts"

FONTS: Mapping[str, str] = {
    "Noto Naskh Arabic": "noto-naskh-arabic",
    "Noto Sans Bengali": "noto-sans-bengali",
    "Noto Sans Devanagari": "noto-sans-devanagari",
    "Noto Sans Ethiopic": "noto-sans-ethiopic",
    "Noto Sans Gujarati": "noto-sans-gujarati",
    "Noto Sans Gurmukhi": "noto-sans-gurmukhi",
    "Noto Sans Tamil": "noto-sans-tamil",
    "Noto Sans Thai": "noto-sans-thai",
}
"""Family and package of the fonts beyond those that come with typst."""

FONT_FOLDERS: Sequence[Path] = tuple(_PACKAGES / package / "400Regular" for package in FONTS.values())

_SCRIPTS: Mapping[str, str] = {
    _BUNDLED: (
        "af az bg bs cs de el es et fil fr ha hr hu hy id ig it ka ku lt lv mk ms nl om pl pt rn ro ru sk sl sn so sq "
        "sr sw tr uk uz vi yo"
    ),
    "Noto Naskh Arabic": "ar ckb fa fa-AF ps sd ur",
    "DejaVu Sans Mono": "he",  # comes with typst
    "Noto Sans Bengali": "bn",
    "Noto Sans Devanagari": "hi mr ne",
    "Noto Sans Ethiopic": "am ti",
    "Noto Sans Gujarati": "gu",
    "Noto Sans Gurmukhi": "pa",
    "Noto Sans Tamil": "ta",
    "Noto Sans Thai": "th",
}

LANGUAGES: Mapping[str, str] = MappingProxyType({tag: font for font, tags in _SCRIPTS.items() for tag in tags.split()})
"""Tag to the font its script is printed in."""

_KNOWN_AS: Mapping[str, str] = {
    "bn": "Bengali",
    "ckb": "Kurdish (Sorani)",
    "fa": "Farsi (Persian)",
    "ku": "Kurdish (Kurmanji)",
    "rn": "Kirundi",
}
"""What English police officers and interpreters call a language that CLDR lists under another name."""


@dataclass(frozen=True)
class Language:
    """One language as it is shown and printed. `direction` is "ltr" or "rtl"; `own_name` what its speakers call it."""

    tag: str
    name: str
    own_name: str
    direction: str
    font: str


@cache
def find_language(tag: str, *, named_in: str = "en") -> Language | None:
    """Return a language that is offered, named in "en" or "cy"; None when it is not."""
    if tag not in LANGUAGES:
        return None
    known_as = _KNOWN_AS.get(tag) if named_in == "en" else None
    name = known_as or Locale(named_in).languages.get(tag.replace("-", "_"), tag)
    try:
        own = Locale.parse(tag, sep="-")
    except UnknownLocaleError:
        return Language(tag, name, "", "ltr", LANGUAGES[tag])
    return Language(tag, name, own.languages.get(tag.replace("-", "_"), ""), own.text_direction, LANGUAGES[tag])


@cache
def list_languages(named_in: str) -> tuple[Language, ...]:
    """Return all that are offered, by their names in "en" or "cy"."""
    found = (find_language(tag, named_in=named_in) for tag in LANGUAGES)
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.name.casefold()))
