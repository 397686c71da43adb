"""A signature as it came from the glass: points with their times and pressure, kept whole and bounded; or a typed name.

A point is (x, y, t_ms, pressure): pixels of the pad, milliseconds since the first point, 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from video_server.core.errors import N_, Refusal
from video_server.statements.typed import NAME_CHARACTERS, clean

MOST_STROKES = 200
MOST_POINTS = 5_000
FEWEST_POINTS = 3
_LARGEST_PAD = 4_000
_LONGEST_MS = 3_600_000

Point = tuple[float, float, int, float]


class NoSignature(Refusal):
    code = "signature_missing"
    status = 422
    public = N_("Sign with your finger in the box, or type your name.")


class BadSignature(Refusal):
    code = "signature_bad"
    status = 422
    public = N_("The signature could not be read. Clear it and sign again.")


@dataclass(frozen=True)
class Signature:
    """What the witness drew on a pad of `width` × `height`, or typed."""

    width: float = 0
    height: float = 0
    strokes: tuple[tuple[Point, ...], ...] = ()
    typed: str = ""


def read_signature(value: object) -> Signature:
    """Read what a page posted: {"typed": name} or {"width", "height", "strokes": [[[x, y, t_ms, pressure], …], …]}.

    Raises   NoSignature, BadSignature
    """
    if not isinstance(value, dict):
        raise BadSignature
    if "typed" in value:
        return _read_typed(value["typed"])
    width, height = _number(value.get("width"), _LARGEST_PAD), _number(value.get("height"), _LARGEST_PAD)
    strokes = value.get("strokes")
    if not isinstance(strokes, list) or len(strokes) > MOST_STROKES or width < 1 or height < 1:
        raise BadSignature
    if any(not isinstance(stroke, list) for stroke in strokes) or sum(map(len, strokes)) > MOST_POINTS:
        raise BadSignature
    read = tuple(tuple(_point(point, width, height) for point in stroke) for stroke in strokes if stroke)
    if sum(map(len, read)) < FEWEST_POINTS:
        raise NoSignature
    return Signature(width, height, read)


def _read_typed(typed: object) -> Signature:
    if not isinstance(typed, str):
        raise BadSignature
    name = " ".join(clean(typed).split())
    if not name:
        raise NoSignature
    if len(name) > NAME_CHARACTERS:
        raise BadSignature
    return Signature(typed=name)


def _point(value: object, width: float, height: float) -> Point:
    if not isinstance(value, list) or len(value) != 4:
        raise BadSignature
    x, y, t_ms, pressure = value
    # a finger may slide off the pad's edge: kept on it
    return (
        min(_number(x, _LARGEST_PAD), width),
        min(_number(y, _LARGEST_PAD), height),
        int(_number(t_ms, _LONGEST_MS)),
        _number(pressure, 1),
    )


def _number(value: object, most: float) -> float:
    """Return a finite number from 0 to `most`; a little below 0 is 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadSignature
    if not -_LARGEST_PAD <= value <= most:
        raise BadSignature
    return max(0.0, round(float(value), 2))


def draw_svg(signature: Signature) -> str:
    """Draw the strokes as an SVG; a stroke of one point is a dot. Only our numbers go into it."""
    paths = "".join(f'<path d="{_path(stroke)}"/>' for stroke in signature.strokes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {signature.width:g} {signature.height:g}">'
        f'<g fill="none" stroke="#0b0c0c" stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round">{paths}</g>'
        "</svg>"
    )


def _path(stroke: Sequence[Point]) -> str:
    points = [f"{x:g} {y:g}" for x, y, _, _ in stroke]
    return f"M{points[0]}L{' '.join(points[1:] or points)}"
