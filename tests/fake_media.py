"""What the fake cameras and microphones of the journeys show and say: files that Chromium plays in a loop.

Each picture is one colour with a white square that walks, so that a test can tell whose it is and that it moves;
each sound is one tone.
"""

import math
import struct
import wave
from pathlib import Path

WIDTH, HEIGHT, FRAMES, RATE = 640, 480, 40, 20

RED = (200, 30, 30)
BLUE = (30, 30, 200)


def write_picture(path: Path, colour: tuple[int, int, int]) -> Path:
    """Write a Y4M file (4:2:0): `colour` with a white square that moves from left to right."""
    y, u, v = _to_yuv(colour)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in range(FRAMES):
            left = frame * (WIDTH - 120) // FRAMES & ~1
            plain = bytes([y]) * WIDTH
            marked = bytes([y]) * left + b"\xff" * 120 + bytes([y]) * (WIDTH - left - 120)
            chroma = {
                value: (
                    bytes([value]) * (WIDTH // 2),
                    bytes([value]) * (left // 2) + b"\x80" * 60 + bytes([value]) * ((WIDTH - left - 120) // 2),
                )
                for value in (u, v)
            }
            rows = [range(180, 300), range(90, 150)]
            file.write(b"FRAME\n")
            file.write(b"".join(marked if row in rows[0] else plain for row in range(HEIGHT)))
            for value in (u, v):
                file.write(b"".join(chroma[value][row in rows[1]] for row in range(HEIGHT // 2)))
    return path


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
