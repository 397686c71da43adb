"""UK mobile numbers as people say and type them, to E.164."""

import re

import phonenumbers

from video_server.core.errors import N_, Refusal

_ALLOWED = re.compile(r"\(?\+?[0-9() .\-]{1,30}")
_DRAMA = re.compile(r"\+447700900[0-9]{3}")  # Ofcom keeps these for film and television; nobody has one
_E164 = re.compile(r"\+44[0-9]{10}")


class MobileNotUsable(Refusal):
    """Base of what is wrong with a number."""

    code = "mobile_not_usable"
    status = 422
    public = N_("Enter a UK mobile number: 11 digits, starting with 07")


class MobileHasLetters(MobileNotUsable):
    """A letter O for a zero would be lost in silence and the text would go to nobody."""

    code = "mobile_has_letters"
    public = N_("Enter the mobile number with digits only; check for a letter O in place of a zero")


class MobileNotReal(MobileNotUsable):
    code = "mobile_not_real"
    public = N_("Numbers from 07700 900000 to 07700 900999 belong to nobody; ask for the real number")


def parse_mobile(typed: str, *, allow_drama: bool) -> str:
    """Return a UK mobile number as E.164.

    allow_drama  accept Ofcom's numbers for drama: True only when the server runs with demo data
    Raises       MobileHasLetters, MobileNotReal, MobileNotUsable
    """
    typed = typed.strip()
    if any(character.isalpha() for character in typed):
        raise MobileHasLetters
    if not _ALLOWED.fullmatch(typed):
        raise MobileNotUsable
    try:
        number = phonenumbers.parse(typed, "GB")
    except phonenumbers.NumberParseException:
        raise MobileNotUsable from None
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if _DRAMA.fullmatch(written):
        if allow_drama:
            return written
        raise MobileNotReal
    usable = (
        number.country_code == 44
        and phonenumbers.is_valid_number(number)
        and phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE
    )
    if not usable:
        raise MobileNotUsable
    return written


def is_e164(number: str) -> bool:
    """Say whether a string is a UK number as `parse_mobile` writes it."""
    return _E164.fullmatch(number) is not None


def say_mobile(number: str) -> str:
    """Write a stored number as people read it out: 07911 123456."""
    return f"0{number[3:7]} {number[7:]}" if is_e164(number) else number
