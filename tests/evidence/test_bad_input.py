"""Files that are two things at once, or a trap: refused with a word that helps, or kept and given out harmless."""

import gzip
import io
import zipfile
from functools import cache

import pytest
from PIL import Image

from evidence_store.config import Settings
from evidence_store.screening.clamd import Verdict
from evidence_store.sealing import signing
from tests.evidence import samples
from tests.evidence.conftest import INCIDENT, Wire
from tests.evidence.test_media import preview, put, seen
from tests.evidence.test_quarantine import WHY, find, release

_SCRIPT = b"<script>fetch('/evidence/v1/objects')</script>"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def evidence_settings(evidence_settings: Settings) -> Settings:
    return evidence_settings.model_copy(update={"preview_workers": 1})


@cache
def packed(layers: int = 1) -> bytes:
    """A document as offices write them, with megabytes of nothing in it; perhaps in further layers."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(20_000_000))
    data = out.getvalue()
    for _ in range(layers - 1):
        data = gzip.compress(data, mtime=0)
    return data


@pytest.mark.parametrize(
    ("name", "media_type", "data"),
    [
        ("plan.svg", "image/svg+xml", _SVG),
        ("letter.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", packed()),
        ("page.html", "text/html", _SCRIPT),
        ("run.exe", "application/x-msdownload", b"MZ" + bytes(2000)),
        ("archive.zip", "application/zip", packed()),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[:12] else "",
)
async def test_a_kind_that_is_not_on_the_list_is_refused_before_a_byte(wire: Wire, name, media_type, data):
    await wire.create(data, name=name, kind=media_type, status=415)
    object_id = signing.new_id()
    refusal = await wire.put(object_id, data, kind=media_type, status=415)
    assert refusal["code"] == "wrong_kind"
    assert "jpeg" in refusal["detail"], "it says what is accepted"
    assert [line["action"] for line in await wire.lines(object_id)] == ["refused"]
    assert (await wire.ask("GET", f"/objects?incident={INCIDENT}"))["objects"] == []
    assert list(wire.store.settings.data.rglob("data.floe")) == []


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("image/jpeg", _SVG * 20),
        ("image/png", packed()),
        ("text/plain", packed()),
        ("text/plain", b"\xef\xbb\xbf <!DOCTYPE html>" + _SCRIPT),
        ("application/pdf", packed(9)),
        ("video/mp4", b"MZ" + bytes(2000)),
        ("image/jpeg", b"#!/bin/sh\nrm -rf /\n" * 40),
    ],
    ids=[
        "svg as jpeg",
        "office as png",
        "office as text",
        "html as text",
        "nested as pdf",
        "exe as film",
        "sh as jpeg",
    ],
)
async def test_another_content_than_was_said_is_refused_and_nothing_stays(wire: Wire, media_type, data):
    path, auth = await wire.create(
        data, name="photo", kind=media_type, grant=wire.grant(kinds=["photo", "video", "txt", "pdf"])
    )
    await wire.patch(path, auth, 0, data, status=415)
    object_id = path.rsplit("/", 1)[1]
    assert [line["action"] for line in await wire.lines(object_id)] == ["upload opened", "refused"]
    assert list(wire.store.settings.data.rglob("data.floe")) == []
    await wire.put(signing.new_id(), data, kind=media_type, status=415)


async def test_a_picture_that_is_also_a_script_is_given_out_as_a_picture_and_nothing_else(wire: Wire):
    both = b"GIF89a/*" + samples.picture("GIF")[8:] + b"*/=1;" + _SCRIPT
    object_id = await put(wire, both, "image/gif")
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
        assert await answer.read() == both, "the original is never changed"
        assert answer.headers["Content-Type"] == "image/gif"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    media = await seen(wire, object_id)
    if media["picture"]:
        assert b"script" not in (await preview(wire, object_id))[0]


async def test_what_hides_in_a_picture_is_not_in_its_preview(wire: Wire):
    plain = samples.picture("JPEG", (300, 300), samples.exif(place=samples.BIG_BEN), quality=90)
    comment = b"\xff\xfe" + (len(_SCRIPT) + 2).to_bytes(2, "big") + _SCRIPT
    hiding = plain[:2] + comment + plain[2:] + packed()
    object_id = await put(wire, hiding, "image/jpeg")
    body, headers = await preview(wire, object_id)
    assert headers["Content-Type"] == "image/jpeg"
    assert b"script" not in body
    assert b"PK\x03\x04" not in body
    assert b"Fruit" not in body
    with Image.open(io.BytesIO(body)) as shown:
        assert shown.size == (300, 300)


async def test_what_people_released_as_malware_has_a_preview_once_it_is_found_clean(wire: Wire):
    object_id = await put(wire, samples.picture("JPEG"), "image/jpeg")
    assert (await seen(wire, object_id))["picture"]
    assert await find(wire.store, object_id, Verdict.INFECTED, "Own.Test") == "quarantined"
    proposed = await release(wire, object_id)
    await wire.ask("POST", f"/releases/{proposed['id']}/approve", WHY, **wire.token(name="bob"))
    assert "malware was found" in (await seen(wire, object_id))["says"]
    assert await find(wire.store, object_id, Verdict.CLEAN) == "unchanged", "it is out already"
    assert (await seen(wire, object_id))["picture"]
    assert (await preview(wire, object_id))[1]["Content-Type"] == "image/jpeg"
    assert await find(wire.store, object_id, Verdict.INFECTED, "Own.Test") == "unchanged", "as two people decided"
    assert not (await wire.ask("GET", f"/objects/{object_id}"))["media"]["picture"]
