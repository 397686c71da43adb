"""What the fake cameras and microphones of the journeys show and say: files that Chromium plays in a loop.

Each picture is a swaying figure before one colour, so that a test can tell whose it is and that it moves; each sound is
one tone.
"""

import math
import struct
import wave
from pathlib import Path

WIDTH, HEIGHT, FRAMES, RATE = 640, 480, 40, 20
PALE = 225

RED = (200, 30, 30)
BLUE = (30, 30, 200)
GREEN = (30, 160, 30)


def write_picture(path: Path, colour: tuple[int, int, int], *, shrink: int = 1) -> Path:
    """Write a Y4M file (4:2:0): a pale head and shoulders before `colour`, swaying from side to side.

    shrink   how much smaller each side is, for many browsers on one machine
    """
    y, u, v = _to_yuv(colour)
    width, height = WIDTH // shrink, HEIGHT // shrink
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in range(FRAMES):
            sway = round(40 * math.sin(2 * math.pi * frame / FRAMES)) & ~1
            rows = (_figure_at(row, sway) for row in range(0, HEIGHT, shrink))
            spans = [(left // shrink & ~1, right // shrink & ~1) for left, right in rows]
            file.write(b"FRAME\n")
            file.write(b"".join(_row(width, span, y, PALE) for span in spans))
            for value in (u, v):
                halves = [(left // 2, right // 2) for left, right in spans[::2]]
                file.write(b"".join(_row(width // 2, span, value, 128) for span in halves))
    return path


def _figure_at(row: int, sway: int) -> tuple[int, int]:
    """Return from where to where the figure reaches in a row of pixels; nothing in the topmost hundred."""
    half = 0.0
    if 110 <= row < 290:  # the head: an ellipse
        half = 72 * math.sqrt(max(0.0, 1 - ((row - 200) / 90) ** 2))
    if row >= 300:  # the shoulders: a larger one
        half = 190 * math.sqrt(max(0.0, 1 - ((480 - row) / 180) ** 2))
    if 270 <= row < 320:
        half = max(half, 34)  # the neck
    middle = WIDTH // 2 + sway
    return round(middle - half) & ~1, round(middle + half) & ~1


def _row(width: int, span: tuple[int, int], outside: int, inside: int) -> bytes:
    left, right = span
    return bytes([outside]) * left + bytes([inside]) * (right - left) + bytes([outside]) * (width - right)


def write_tone(path: Path, hertz: int) -> Path:
    """Write two seconds of a tone as 16-bit mono WAV."""
    rate = 48_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        samples = (int(12_000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(rate * 2))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return path


def _to_yuv(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Convert RGB to full-range YCbCr (BT.601)."""
    red, green, blue = colour
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    return round(y), round(128 + (blue - y) * 0.564), round(128 + (red - y) * 0.713)
