"""Values of media. Imported by the confined process too, so nothing here imports anything that takes long.

What a file says of itself is a claim: clocks are wrong, and everything in it can be edited. What it does not say may
never have been there.
"""

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """What the confined process is asked for."""

    LOOK = "look"
    """Facts and a picture."""
    PLAY = "play"
    """The first seconds, to be played."""


class Place(StrEnum):
    """What a file says of where it was taken."""

    GIVEN = "given"
    REMOVED = "removed"
    """The camera's field for a place is there, and empty."""
    ABSENT = "absent"
    """Camera or time are named, a place is not."""
    NOTHING = "nothing"
    """Neither camera nor time nor place is named."""


PLACE_SAYS = {
    Place.GIVEN: "The file says where it was taken.",
    Place.REMOVED: (
        "The place was taken out of this file: its field is there and empty. Phones often do this when a file is sent "
        "from a browser. The original on the phone may still have it."
    ),
    Place.ABSENT: (
        "The file says how it was taken, and not where. Either no place was recorded, or the phone left it out when "
        "the file was sent: the file alone cannot tell which. The original on the phone may have it."
    ),
    Place.NOTHING: (
        "The file does not say how, when or where it was taken. It may never have said so (a screenshot, a scan), or "
        "an app or the phone removed it before it was sent. Ask for the original on the phone."
    ),
}


class Problem(StrEnum):
    """Why there is no preview."""

    KIND = "kind"
    BROKEN = "broken"
    PIXELS = "pixels"
    SIZE = "size"
    SLOW = "slow"
    CRASHED = "crashed"
    TRIED = "tried"
    MALWARE = "malware"


PROBLEM_SAYS = {
    Problem.KIND: "No preview is made of this kind of file.",
    Problem.BROKEN: "No preview could be made: the file is damaged, cut short, or not what it says it is.",
    Problem.PIXELS: "No preview could be made: the picture has more pixels than are opened here.",
    Problem.SIZE: "No preview could be made: the file is larger than is opened here.",
    Problem.SLOW: "No preview could be made in the time that is allowed for one. Try again when there is less to do.",
    Problem.CRASHED: "No preview could be made: opening the file went beyond the bounds that are set for it.",
    Problem.TRIED: "No preview could be made: it was tried several times and never came to an end.",
    Problem.MALWARE: "No preview is made: malware was found in it when people released it from quarantine.",
}


class NoPreview(Exception):
    """There is none, for a reason that stays the same however often one tries."""

    def __init__(self, problem: Problem) -> None:
        """Keep the reason."""
        super().__init__(problem.value)
        self.problem = problem


@dataclass(frozen=True)
class Preview:
    """A picture, or seconds of film or sound. Not evidence: a derived copy, for looking."""

    media_type: str
    data: bytes


PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/heic", "image/heif"})
FILMS = frozenset({"video/mp4", "video/quicktime", "video/3gpp", "video/webm"})
SOUNDS = frozenset({"audio/mp4", "audio/mpeg", "audio/wav", "audio/ogg", "audio/amr", "audio/webm"})
PAPERS = frozenset({"application/pdf"})
_SAME = {
    "image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "video/x-m4v": "video/mp4", "video/3gpp2": "video/3gpp",
    "audio/x-m4a": "audio/mp4", "audio/m4a": "audio/mp4", "audio/3gpp": "video/3gpp", "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/vnd.wave": "audio/wav", "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
}  # fmt: skip


def plain_type(media_type: str) -> str:
    """Return the usual name of a media type that has several."""
    return _SAME.get(media_type, media_type)


def can_be_looked_at(media_type: str) -> bool:
    """Say whether a picture is made, or facts are read, of this type."""
    return plain_type(media_type) in PICTURES | FILMS | SOUNDS | PAPERS


def can_be_played(media_type: str) -> bool:
    """Say whether something to play is made of this type."""
    return plain_type(media_type) in FILMS | SOUNDS
