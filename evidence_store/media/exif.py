"""What a picture or a film says of when, where and with what it was taken. Pure, but for what is handed in.

EXIF 3.0 (CIPA DC-008): tags by number. Films: QuickTime's and 3GPP's keys as FFmpeg names them.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from evidence_store.media.model import Place

_MAKE, _MODEL, _TAKEN, _DIGITISED, _OFFSET = 0x010F, 0x0110, 0x9003, 0x9004, 0x9011
_EXIF_PART, _GPS_PART = 0x8769, 0x8825
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ERROR_METRES = 1, 2, 3, 4, 31
_EXIF_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)")
_ISO_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_ZONE = re.compile(r"[+-]\d\d:\d\d")
_ISO_6709 = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")
_MOST_CHARACTERS = 100
Facts = dict[str, Any]


def facts_of_picture(picture: Any) -> Facts:
    """Return the facts of an opened picture (a PIL image, of which only the header was read)."""
    exif = picture.getexif()
    return {"width": picture.width, "height": picture.height} | facts_of_exif(
        dict(exif), dict(exif.get_ifd(_EXIF_PART)), dict(exif.get_ifd(_GPS_PART)), has_gps=_GPS_PART in exif
    )


def facts_of_exif(top: Mapping[int, Any], more: Mapping[int, Any], gps: Mapping[int, Any], *, has_gps: bool) -> Facts:
    """Return time, camera, place and what is known of the place.

    top, more, gps   the directories of EXIF, by tag
    has_gps          whether there is a directory for the place, though it may be empty
    """
    taken = _exif_time(more.get(_TAKEN) or more.get(_DIGITISED), more.get(_OFFSET))
    camera = _camera(top.get(_MAKE), top.get(_MODEL))
    where = _place(gps)
    if where is not None:
        status = Place.GIVEN
    elif has_gps:
        status = Place.REMOVED
    else:
        status = Place.ABSENT if taken or camera else Place.NOTHING
    return {"taken_at": taken, "camera": camera, "where": where, "place": status.value}


def facts_of_tags(tags: Mapping[str, str]) -> Facts:
    """Return the same from the tags of a film's container."""
    low = {name.lower(): value for name, value in tags.items()}
    apple = "com.apple.quicktime."
    taken = _iso_time(low.get(f"{apple}creationdate") or low.get("creation_time"))
    camera = _camera(low.get(f"{apple}make") or low.get("make"), low.get(f"{apple}model") or low.get("model"))
    names = [f"{apple}location.iso6709", "location", "location-eng"]
    written = [low[name] for name in names if name in low]
    where = next(filter(None, map(_iso_6709, written)), None)
    if where is not None:
        status = Place.GIVEN
    elif written:
        status = Place.REMOVED
    else:
        status = Place.ABSENT if taken or camera else Place.NOTHING
    return {"taken_at": taken, "camera": camera, "where": where, "place": status.value}


def _exif_time(value: Any, offset: Any) -> str | None:
    found = _EXIF_TIME.match(value) if isinstance(value, str) else None
    if found is None or found[1] == "0000":
        return None
    zone = offset.strip("\0 ") if isinstance(offset, str) else ""
    return f"{found[1]}-{found[2]}-{found[3]}T{found[4]}{zone if _ZONE.fullmatch(zone) else ''}"


def _iso_time(value: str | None) -> str | None:
    found = _ISO_TIME.match(value or "")
    if found is None or found[1] < "1971":  # containers count from 1904 or 1970 where nobody set a clock
        return None
    zone = found[5] or ""
    zone = f"{zone[:3]}:{zone[3:]}" if len(zone) == 5 else zone
    return f"{found[1]}-{found[2]}-{found[3]}T{found[4]}{zone}"


def _camera(make: Any, model: Any) -> str | None:
    maker, name = (_words(part) for part in (make, model))
    both = name if maker and name.lower().startswith(maker.lower()) else f"{maker} {name}".strip()
    return both[:_MOST_CHARACTERS] or None


def _words(value: Any) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in value).split()) if isinstance(value, str) else ""


def _place(gps: Mapping[int, Any]) -> Facts | None:
    latitude = _degrees(gps.get(_LATITUDE), gps.get(_LATITUDE_REF), "S")
    longitude = _degrees(gps.get(_LONGITUDE), gps.get(_LONGITUDE_REF), "W")
    if latitude is None or longitude is None:
        return None
    return _sound(latitude, longitude, _number(gps.get(_ERROR_METRES)))


def _iso_6709(value: str) -> Facts | None:
    found = _ISO_6709.match(value)
    return _sound(float(found[1]), float(found[2]), None) if found else None


def _sound(latitude: float, longitude: float, error_metres: float | None) -> Facts | None:
    """Return a place on Earth; 0, 0 is how an empty field reads, and lies in the sea."""
    if abs(latitude) > 90 or abs(longitude) > 180 or (latitude == 0 and longitude == 0):
        return None
    found: Facts = {"latitude": round(latitude, 6), "longitude": round(longitude, 6)}
    if error_metres is not None and error_metres >= 0:
        found["within_metres"] = round(error_metres, 1)
    return found


def _degrees(value: Any, reference: Any, negative: str) -> float | None:
    if not isinstance(value, tuple) or len(value) != 3:
        return None
    parts = [_number(part) for part in value]
    if None in parts:
        return None
    degrees: float = sum(part / 60**order for order, part in enumerate(parts) if part is not None)
    return -degrees if isinstance(reference, str) and reference.upper().startswith(negative) else degrees


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None
