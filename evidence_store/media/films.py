"""Films and sounds: facts, a still, and the first seconds made anew, in the confined process only.

The still and the seconds are decoded and encoded again, so nothing of the file's own bytes or tags is in them.
"""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.filter
import av.logging
import av.subtitles.codeccontext
import av.subtitles.stream
import av.subtitles.subtitle
import av.video.reformatter
from av.audio.resampler import AudioResampler

from evidence_store.media import exif
from evidence_store.media.model import NoPreview, Problem
from evidence_store.media.pictures import MOST_PIXELS, jpeg

SECONDS = 30
_LONGEST, _FRAMES_PER_SECOND = 854, 25
_CPU_SECONDS = 40.0
"""After this much work the preview ends where it is, rather than not at all."""
_MOST_BYTES = 12_000_000

av.logging.set_level(av.logging.PANIC)


@dataclass(frozen=True)
class Film:
    """What was found."""

    facts: dict[str, Any]
    picture: bytes | None


def look(source: Any) -> Film:
    """Return facts, and a still from near the beginning where there is a picture. Raises NoPreview."""
    with av.open(source, "r", metadata_errors="ignore") as container:
        facts: dict[str, Any] = {}
        if container.duration is not None and container.duration >= 0:
            facts["seconds"] = round(container.duration / av.time_base, 2)
        stream = next(iter(container.streams.video), None)
        tags = dict(container.metadata)
        picture = None
        if stream is not None:
            tags = dict(stream.metadata) | tags
            facts |= {"width": stream.width, "height": stream.height}
        facts |= exif.facts_of_tags(tags)
        if stream is not None:
            picture = _still(container, stream)
        return Film(facts, picture)


def _still(container: Any, stream: Any) -> bytes:
    _check_size(stream)
    stream.thread_count = 1
    for frame in container.decode(stream):
        return jpeg(_Shrink(frame, fps=None).one(frame).to_image())
    raise NoPreview(Problem.BROKEN)


def _check_size(stream: Any) -> None:
    if stream.width * stream.height > MOST_PIXELS:
        raise NoPreview(Problem.PIXELS)


class _Shrink:
    """Turns frames upright, makes them at most 854 pixels long and, perhaps, 25 in a second."""

    def __init__(self, frame: Any, *, fps: int | None) -> None:
        turn = _turn_of(frame)
        wide, high = (frame.height, frame.width) if turn in {90, -90} else (frame.width, frame.height)
        factor = min(1.0, _LONGEST / max(wide, high))
        self.size = _even(wide * factor), _even(high * factor)
        turns = {90: ["transpose=cclock"], -90: ["transpose=clock"], 180: ["hflip", "vflip"]}
        steps = [*turns.get(turn, []), "scale={}:{}:flags=bilinear".format(*self.size)]
        steps += [f"fps={fps}"] if fps is not None else []
        self._graph = av.filter.Graph()
        last = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name,
            time_base=frame.time_base or Fraction(1, 1000),
        )  # fmt: skip
        for step in [*steps, "format=pix_fmts=yuv420p", "buffersink"]:
            name, _, told = step.partition("=")
            one = self._graph.add(name, told or None)
            last.link_to(one)
            last = one
        self._graph.configure()

    def one(self, frame: Any) -> Any:
        self._graph.push(frame)
        return self._graph.pull()

    def every(self, frame: Any | None) -> Iterator[Any]:
        self._graph.push(frame)
        while True:
            try:
                yield self._graph.pull()
            except (BlockingIOError, EOFError):
                return


def _even(pixels: float) -> int:
    """Return a length that H.264 takes."""
    return max(2, round(pixels / 2) * 2)


def _turn_of(frame: Any) -> int:
    turn = round(getattr(frame, "rotation", 0) / 90) * 90
    return -90 if turn in {-90, 270} else 180 if abs(turn) == 180 else turn


def play(source: Any, *, sound_only: bool, told: Callable[[float], None]) -> bytes:
    """Return the first 30 seconds as H.264 and AAC in MP4. Raises NoPreview.

    told    hears again and again how much of it is done, from 0 to 1
    """
    out = io.BytesIO()
    with av.open(source, "r", metadata_errors="ignore") as given, av.open(out, "w", format="mp4") as made:
        seen = None if sound_only else next(iter(given.streams.video), None)
        heard = next(iter(given.streams.audio), None)
        if seen is None and heard is None:
            raise NoPreview(Problem.BROKEN)
        if seen is not None:
            _check_size(seen)
        works: list[Any] = [_Picture(made, seen)] if seen is not None else []
        works += [_Sound(made, heard)] if heard is not None else []
        whole = min(SECONDS, max(0.1, (given.duration or SECONDS * av.time_base) / av.time_base))
        _convert(given, made, {work.stream.index: work for work in works}, out, lambda seconds: told(seconds / whole))
        if not any(work.count for work in works):
            raise NoPreview(Problem.BROKEN)
    return out.getvalue()


def _convert(given: Any, made: Any, works: dict[int, Any], out: io.BytesIO, told: Callable[[float], None]) -> None:
    open_ones = set(works)
    held: list[Any] = []  # the container's header is written with the first packet, and says how large the picture is
    packets = given.demux([work.stream for work in works.values()])
    while open_ones:
        try:
            packet = next(packets)
            index = packet.stream.index
            if index not in open_ones:
                continue
            for frame in packet.decode():
                if frame.time is not None and frame.time >= SECONDS:
                    open_ones.discard(index)
                    break
                held += works[index].take(frame)
                told(max(frame.time or 0.0, 0.0))
                if all(work.is_ready for work in works.values()):
                    made.mux(held)
                    held = []
        except StopIteration:
            break
        except av.error.FFmpegError:  # the rest is damaged: what came before it is shown
            if not any(work.count for work in works.values()):
                raise
            break
        if time.process_time() > _CPU_SECONDS or out.tell() > _MOST_BYTES:
            break
    if not all(work.is_ready for work in works.values()):
        raise NoPreview(Problem.BROKEN)
    for work in works.values():
        held += work.end()
    made.mux(held)


class _Picture:
    def __init__(self, made: Any, stream: Any) -> None:
        stream.thread_count = 1
        self.stream, self.count = stream, 0
        self._shrink: _Shrink | None = None
        self._encoder: Any = made.add_stream(
            "libx264", rate=_FRAMES_PER_SECOND,
            options={"preset": "veryfast", "crf": "27", "threads": "1", "rc-lookahead": "0", "sync-lookahead": "0"},
        )  # fmt: skip
        self._encoder.pix_fmt = "yuv420p"

    @property
    def is_ready(self) -> bool:
        """Say whether the size of the picture is known."""
        return self._shrink is not None

    def take(self, frame: Any) -> list[Any]:
        """Return the packets that a frame gives."""
        if self._shrink is None:
            self._shrink = _Shrink(frame, fps=_FRAMES_PER_SECOND)
            self._encoder.width, self._encoder.height = self._shrink.size
        return [packet for small in self._shrink.every(frame) for packet in self._encode(small)]

    def _encode(self, frame: Any) -> list[Any]:
        self.count += 1
        frame.pict_type = 0
        return list(self._encoder.encode(frame))

    def end(self) -> list[Any]:
        """Return the last packets."""
        if self._shrink is None:
            return []
        last = [packet for small in self._shrink.every(None) for packet in self._encode(small)]
        return last + (list(self._encoder.encode(None)) if self.count else [])


class _Sound:
    is_ready = True

    def __init__(self, made: Any, stream: Any) -> None:
        stream.thread_count = 1
        self.stream, self.count = stream, 0
        self._encoder: Any = made.add_stream("aac", rate=44_100, options={"b": "96k"})
        self._encoder.layout = "stereo"
        self._resampler = AudioResampler("fltp", "stereo", 44_100)

    def take(self, frame: Any) -> list[Any]:
        """Return the packets that a frame gives."""
        self.count += 1
        return [packet for same in self._resampler.resample(frame) for packet in self._encoder.encode(same)]

    def end(self) -> list[Any]:
        """Return the last packets."""
        if not self.count:
            return []
        last = [packet for same in self._resampler.resample(None) for packet in self._encoder.encode(same)]
        return last + list(self._encoder.encode(None))
