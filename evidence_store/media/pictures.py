"""A picture, opened and made small, in the confined process only."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pillow_heif
from PIL import Image, ImageFile, ImageOps, MpoImagePlugin  # noqa: F401 (JPEG asks for it late)

from evidence_store.media.model import NoPreview, Problem

MOST_PIXELS = 100_000_000
_LONGEST = 1280
_QUALITY = 82
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "HEIF")

pillow_heif.register_heif_opener(thumbnails=False, decode_threads=1)
Image.preinit()
Image.init()  # afterwards no file can be opened any more, modules included
Image.MAX_IMAGE_PIXELS = None  # bounded below, before anything is decoded
ImageFile.LOAD_TRUNCATED_IMAGES = False


@contextmanager
def opened(source: Any) -> Iterator[Image.Image]:
    """Open a picture's header; nothing is decoded. Raises NoPreview when it has too many pixels, or is no picture."""
    with Image.open(source, formats=_FORMATS) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise NoPreview(Problem.PIXELS)
        yield picture


def preview(picture: Image.Image) -> bytes:
    """Return the picture upright, at most 1280 pixels long, as a JPEG that carries no metadata."""
    picture.draft("RGB", (_LONGEST, _LONGEST))  # JPEG decodes at a fraction where that is enough
    picture.load()
    small = picture.convert("RGBA") if "transparency" in picture.info or picture.mode in {"RGBA", "LA", "PA"} else None
    plain = _on_white(small) if small is not None else picture.convert("RGB")
    orientation = picture.getexif().get(0x0112, 1)
    plain.thumbnail((_LONGEST, _LONGEST))
    return jpeg(_turned(plain, orientation))


def jpeg(picture: Image.Image) -> bytes:
    """Return a picture as a JPEG without metadata."""
    clean = Image.new("RGB", picture.size)
    clean.paste(picture)
    out = io.BytesIO()
    clean.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue()


def _on_white(picture: Image.Image) -> Image.Image:
    page = Image.new("RGB", picture.size, "white")
    page.paste(picture, mask=picture.getchannel("A"))
    return page


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.info["exif"] = exif.tobytes()
    return ImageOps.exif_transpose(picture)
