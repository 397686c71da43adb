"""Files as phones send them, and as nobody should: made here, by the libraries that others use too."""

import io
import struct
import zlib
from fractions import Fraction

import av
import pillow_heif
from PIL import Image, ImageDraw

pillow_heif.register_heif_opener()
BIG_BEN = (51.5007, -0.1246)


def exif(*, place: tuple[float, float] | None = None, gps: bool = False, camera: bool = True) -> Image.Exif:
    """EXIF of a phone; `gps` makes the place's directory, which stays empty without a `place`."""
    found = Image.Exif()
    if camera:
        found[0x010F], found[0x0110] = "Fruit", "Fruit Phone 12"
        taken = found.get_ifd(0x8769)
        taken[0x9003], taken[0x9011] = "2026:03:02 10:11:12", "+00:00"
    if place or gps:
        where = found.get_ifd(0x8825)
        where[0] = b"\x02\x03\x00\x00"
        if place:
            where[1], where[2] = "N" if place[0] >= 0 else "S", _degrees(place[0])
            where[3], where[4] = "E" if place[1] >= 0 else "W", _degrees(place[1])
            where[31] = 4.5
    return found


def _degrees(value: float) -> tuple[float, float, float]:
    minutes, degrees = abs(value) % 1 * 60, int(abs(value))
    return (float(degrees), float(int(minutes)), round(minutes % 1 * 60, 3))


def picture(kind: str = "JPEG", size: tuple[int, int] = (320, 200), about: Image.Exif | None = None,
            **more: object) -> bytes:  # fmt: skip
    """A picture whose left half is red and whose right half is blue."""
    made = Image.new("RGB", size, "blue")
    ImageDraw.Draw(made).rectangle((0, 0, size[0] // 2 - 1, size[1]), fill="red")
    out = io.BytesIO()
    given = {"exif": about.tobytes()} if about is not None else {}
    made.save(out, kind, **given, **more)
    return out.getvalue()


def film(*, seconds: int = 2, sound: bool = True, sight: bool = True, fmt: str = "mp4", codec: str = "libx264",
         voice: str = "aac", tags: dict[str, str] | None = None) -> bytes:  # fmt: skip
    """A short film of a colour that changes, or a sound alone."""
    out = io.BytesIO()
    with av.open(out, "w", format=fmt) as made:
        made.metadata.update(tags or {})
        seen = made.add_stream(codec, rate=10) if sight else None
        heard = made.add_stream(voice, rate=48_000) if sound else None
        if seen is not None:
            seen.width, seen.height, seen.pix_fmt = 320, 240, "yuv420p"
        if heard is not None:
            heard.layout = "mono"
        if seen is not None:
            for number in range(seconds * 10):
                frame = av.VideoFrame.from_image(Image.new("RGB", (320, 240), (number * 10 % 256, 80, 80)))
                frame.pts, frame.time_base = number, Fraction(1, 10)
                made.mux(seen.encode(frame))
            made.mux(seen.encode(None))
        if heard is not None:
            _hum(made, heard, seconds)
    return out.getvalue()


def _hum(made: object, heard: object, seconds: int) -> None:
    step = heard.codec_context.frame_size or 1024
    for start in range(0, seconds * 48_000, step):
        frame = av.AudioFrame(format=heard.codec_context.format.name, layout="mono", samples=step)
        frame.rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        made.mux(heard.encode(frame))
    made.mux(heard.encode(None))


def flood(side: int = 50_000) -> bytes:
    """A whole, valid PNG of `side` by `side` pixels, all of one colour: a few hundred kilobytes."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row * 1000) for _ in range(side // 1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
