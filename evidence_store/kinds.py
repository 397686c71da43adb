"""Which kinds of file are taken: by what the sender says, and by what the first bytes are.

Phones mislabel (a PNG named .jpg), so when the bytes are of another kind that the grant also allows, the bytes win and
the object is recorded as what it is. What no row recognises is refused; nothing is ever served inline anyway.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from evidence_store.errors import WrongKind

_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[a-zA-Z!?/]")
_TEXT_CONTROLS = frozenset(b"\t\n\f\r\x1b")


@dataclass(frozen=True)
class Kind:
    """One kind: `code` stands in grants, the first media type is how it is served."""

    code: str
    group: str
    media_types: tuple[str, ...]
    extensions: tuple[str, ...]
    looks_like: Callable[[bytes], bool]


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == form


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[4:8] == b"ftyp" and head[8:12].lower().startswith(brands)


_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_M4A = (b"m4a", b"m4b")


def _is_film(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and not head[8:12].lower().startswith((*_HEIC, *_M4A, b"avif", b"crx"))


def _is_mov(head: bytes) -> bool:
    return _brand(b"qt")(head) or head[4:8] in {b"moov", b"mdat", b"wide", b"free", b"skip"}


def _is_webm(head: bytes) -> bool:
    return head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64]


def _is_mp3(head: bytes) -> bool:
    frame = len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] & 0xF0 != 0xF0
    return head.startswith(b"ID3") or frame


def _is_text(head: bytes) -> bool:
    return bool(head) and not _MARKUP.match(head) and all(b >= 32 or b in _TEXT_CONTROLS for b in head)


KINDS = (
    Kind("jpeg", "photo", ("image/jpeg", "image/jpg", "image/pjpeg"), ("jpg", "jpeg"), _starts(b"\xff\xd8\xff")),
    Kind("png", "photo", ("image/png",), ("png",), _starts(b"\x89PNG\r\n\x1a\n")),
    Kind("gif", "photo", ("image/gif",), ("gif",), _starts(b"GIF87a", b"GIF89a")),
    Kind("webp", "photo", ("image/webp",), ("webp",), _riff(b"WEBP")),
    Kind("heic", "photo", ("image/heic", "image/heif"), ("heic", "heif"), _brand(*_HEIC)),
    Kind("mp4", "video", ("video/mp4", "video/x-m4v"), ("mp4", "m4v"), _is_film),
    Kind("mov", "video", ("video/quicktime",), ("mov", "qt"), _is_mov),
    Kind("3gp", "video", ("video/3gpp", "video/3gpp2", "audio/3gpp"), ("3gp", "3g2"), _brand(b"3g")),
    Kind("webm", "video", ("video/webm", "audio/webm"), ("webm",), _is_webm),
    Kind("m4a", "sound", ("audio/mp4", "audio/x-m4a", "audio/m4a"), ("m4a",), _brand(*_M4A, b"mp4", b"iso", b"3g")),
    Kind("mp3", "sound", ("audio/mpeg", "audio/mp3"), ("mp3",), _is_mp3),
    Kind("wav", "sound", ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), ("wav",), _riff(b"WAVE")),
    Kind("ogg", "sound", ("audio/ogg", "audio/opus", "application/ogg"), ("ogg", "opus", "oga"), _starts(b"OggS")),
    Kind("amr", "sound", ("audio/amr",), ("amr",), _starts(b"#!AMR")),
    Kind("pdf", "document", ("application/pdf",), ("pdf",), _starts(b"%PDF-")),
    Kind("txt", "document", ("text/plain",), ("txt",), _is_text),
)
CODES = tuple(kind.code for kind in KINDS)


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Return the codes that codes, groups (photo, video, sound, document) or media types stand for.

    Raises ValueError for a name that stands for nothing, and when there is none at all.
    """
    wanted: list[str] = []
    for name in names:
        found = [k.code for k in KINDS if name in {k.code, k.group} or name in k.media_types]
        if not found:
            raise ValueError(f"{name!r} is no kind that can be allowed")
        wanted += found
    if not wanted:
        raise ValueError("allow at least one kind")
    return tuple(dict.fromkeys(wanted))


def declared_kind(media_type: str, filename: str, allowed: Collection[str]) -> Kind:
    """Return the kind the sender says it is: by media type, or by the name's ending when the phone gave no type.

    Raises WrongKind.
    """
    given = media_type.partition(";")[0].strip().lower()
    ending = filename.rpartition(".")[2].lower()
    for kind in KINDS:
        says = given in kind.media_types if given not in {"", "application/octet-stream"} else ending in kind.extensions
        if says and kind.code in allowed:
            return kind
    raise WrongKind(f"Accepted here: {', '.join(sorted(allowed))}.")


def recognise(head: bytes, media_type: str, allowed: Collection[str]) -> str:
    """Return the media type to record, after looking at the first bytes. Raises WrongKind."""
    fitting = [kind for kind in KINDS if kind.code in allowed and kind.looks_like(head)]
    for kind in fitting:
        if media_type in kind.media_types:
            return media_type
    definite = [kind for kind in fitting if kind.code != "txt"]  # text is what remains, not what is recognised
    if not definite:
        raise WrongKind(f"The file's content is not of an accepted kind ({', '.join(sorted(allowed))}).")
    return definite[0].media_types[0]
