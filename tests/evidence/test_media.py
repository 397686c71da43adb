"""Previews and what files say of themselves; opened only where nothing can be reached."""

import asyncio
import io
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import av
import pytest
import typst
from PIL import Image

from evidence_store import app_keys
from evidence_store.config import Settings
from evidence_store.media import exif, process, storage
from evidence_store.media.model import Place, Problem, Task
from evidence_store.media.process import Outcome
from evidence_store.sealing import signing
from evidence_store.sealing.wrapping import PrivateKey
from evidence_store.tokens import Scope
from tests.evidence import samples
from tests.evidence.conftest import Wire, both_databases
from tests.product import until

_PATIENCE_SECONDS = 300


@pytest.fixture
def evidence_settings(evidence_settings: Settings) -> Settings:
    return evidence_settings.model_copy(update={"preview_workers": 1})


@pytest.fixture
def looking(wire: Wire) -> Wire:
    """A store that looks into what it receives."""
    return wire


async def become(ask: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Ask until the answer is true; generous, because machines are slow."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := await ask():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


async def seen(wire: Wire, object_id: str) -> dict[str, Any]:
    """Return what is known of an object once it was looked into."""

    async def done() -> Any:
        media = (await wire.ask("GET", f"/objects/{object_id}"))["media"]
        return media if media["state"] == "done" else None

    return await become(done, "a look")


async def put(wire: Wire, data: bytes, media_type: str) -> str:
    object_id = signing.new_id()
    await wire.put(object_id, data, kind=media_type)
    return object_id


async def preview(
    wire: Wire, object_id: str, *, part: str = "", status: int = 200, **headers: str
) -> tuple[bytes, Any]:
    url = f"/evidence/v1/objects/{object_id}/preview{part}"
    async with wire.http.get(url, headers=wire.token(Scope.READ) | headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.read(), answer.headers


# --- pictures


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("HEIF", "image/heic"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
    ],
)
async def test_a_picture_is_shown_small_and_without_what_it_says_of_itself(looking: Wire, kind, media_type):
    about = samples.exif(place=samples.BIG_BEN) if kind != "GIF" else None
    data = samples.picture(kind, (2600, 1300), about)
    object_id = await put(looking, data, media_type)
    media = await seen(looking, object_id)
    assert media["picture"], media
    body, headers = await preview(looking, object_id)
    assert headers["Content-Type"] == "image/jpeg"
    with Image.open(io.BytesIO(body)) as shown:
        assert shown.size == (1280, 640)
        assert shown.getpixel((10, 10))[0] > 200
        assert shown.getpixel((1270, 10))[2] > 200
        assert not shown.getexif()
        assert set(shown.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    if about is not None:
        facts = media["facts"]
        assert (facts["taken_at"], facts["camera"]) == ("2026-03-02T10:11:12+00:00", "Fruit Phone 12")
        assert (facts["where"]["latitude"], facts["where"]["longitude"]) == pytest.approx(samples.BIG_BEN, abs=1e-5)
        assert facts["place"] == "given"
    async with looking.http.get(f"/evidence/v1/objects/{object_id}/content", headers=looking.token()) as answer:
        assert await answer.read() == data


async def test_a_picture_held_sideways_is_shown_upright(looking: Wire):
    about = samples.exif()
    about[0x0112] = 6  # turned a quarter
    object_id = await put(looking, samples.picture("JPEG", (400, 200), about), "image/jpeg")
    body, _ = await preview(looking, object_id)
    with Image.open(io.BytesIO(body)) as shown:
        assert shown.size == (200, 400)
        assert shown.getpixel((100, 20))[0] > 200, "red was left and is now above"


async def test_the_first_page_of_a_document_is_shown(looking: Wire):
    document = typst.compile(b"#set page(width: 210mm, height: 297mm)\n= Letter\n#lorem(200)\n#pagebreak()\nsecond")
    object_id = await put(looking, document, "application/pdf")
    body, _ = await preview(looking, object_id)
    with Image.open(io.BytesIO(body)) as shown:
        assert shown.height > shown.width > 500
        assert len(shown.convert("L").getcolors()) > 50, "there are letters on it"


# --- films and sounds


async def test_a_film_is_shown_by_a_still_and_its_first_seconds(looking: Wire):
    tags = {"creation_time": "2026-03-02T10:00:00Z", "location": "+51.5007-000.1246/", "title": "Anna's kitchen"}
    object_id = await put(looking, samples.film(tags=tags), "video/mp4")
    media = await seen(looking, object_id)
    assert media["picture"]
    assert media["playable"]
    assert media["facts"]["taken_at"] == "2026-03-02T10:00:00Z"
    assert media["facts"]["where"]["latitude"] == pytest.approx(51.5007)
    assert media["facts"]["seconds"] == pytest.approx(2, abs=0.2)
    still, _ = await preview(looking, object_id)
    assert still.startswith(b"\xff\xd8\xff")
    body, headers = await preview(looking, object_id, part="/playable")
    assert headers["Content-Type"] == "video/mp4"
    with av.open(io.BytesIO(body)) as shown:
        assert [stream.codec_context.name for stream in shown.streams] == ["h264", "aac"]
        assert sum(1 for _ in shown.decode(video=0)) == pytest.approx(50, abs=3)
        assert b"kitchen" not in body
        assert "location" not in shown.metadata
    part, headers = await preview(looking, object_id, part="/playable", status=206, Range="bytes=100-199")
    assert part == body[100:200]
    assert headers["Content-Range"] == f"bytes 100-199/{len(body)}"


async def test_a_film_longer_than_the_preview_is_cut(looking: Wire):
    object_id = await put(looking, samples.film(seconds=33, sound=False), "video/mp4")
    body, _ = await preview(looking, object_id, part="/playable")
    with av.open(io.BytesIO(body)) as shown:
        assert shown.duration / av.time_base == pytest.approx(30, abs=1)


async def test_how_much_of_it_is_made_is_told_on_the_way():
    film, outcome, told = samples.film(seconds=6), Outcome(), []

    async def read(start: int, stop: int) -> bytes:
        told.append(outcome.percent)
        return film[start:stop]

    await process.examine(Task.PLAY, "video/mp4", len(film), read, outcome)
    assert outcome.preview
    assert told[0] == 0
    assert 90 <= outcome.percent <= 99


@pytest.mark.parametrize(
    ("fmt", "voice", "media_type"),
    [("ogg", "libopus", "audio/ogg"), ("mp3", "mp3", "audio/mpeg"), ("wav", "pcm_s16le", "audio/wav")],
)
async def test_a_sound_can_be_played_and_has_no_picture(looking: Wire, fmt, voice, media_type):
    object_id = await put(looking, samples.film(sight=False, fmt=fmt, voice=voice), media_type)
    media = await seen(looking, object_id)
    assert (media["picture"], media["playable"]) == (False, True)
    body, _ = await preview(looking, object_id, part="/playable")
    with av.open(io.BytesIO(body)) as shown:
        assert [stream.codec_context.name for stream in shown.streams] == ["aac"]


# --- how they are given out


async def test_a_look_at_a_preview_is_a_line_in_the_ledger_and_the_answer_can_do_no_harm(looking: Wire):
    object_id = await put(looking, samples.picture(), "image/jpeg")
    _, headers = await preview(looking, object_id, **{"Evidence-Purpose": "charging decision"})
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["Evidence-Derived-From"] == (await looking.metadata(object_id))["sha256"]
    lines = await looking.lines(object_id)
    assert [(line["action"], line["details"]["what"]) for line in lines if line["purpose"] == "charging decision"] == [
        ("viewed", "preview")
    ]
    body, _ = await preview(looking, object_id, status=304, **{"If-None-Match": headers["ETag"]})
    assert body == b""


async def test_what_is_in_quarantine_is_never_opened_and_what_is_gone_says_so(looking: Wire):
    data = samples.picture()
    path, auth = await looking.create(data)
    await looking.patch(path, auth, 0, data)
    await looking.digest(path, auth, "0" * 64)
    object_id = path.rsplit("/", 1)[1]
    body, _ = await preview(looking, object_id, status=409)
    assert json.loads(body)["code"] == "quarantined"
    assert (await looking.ask("GET", f"/objects/{object_id}"))["media"]["state"] == "none"
    text = await put(looking, b"just words", "text/plain")
    body, _ = await preview(looking, text, status=404)
    assert json.loads(body)["code"] == "no_preview"


@both_databases
async def test_what_a_file_says_is_sealed_and_read_anew_when_its_key_is_gone(looking: Wire):
    object_id = await put(looking, samples.picture(about=samples.exif(place=samples.BIG_BEN)), "image/jpeg")
    assert (await seen(looking, object_id))["facts"]["place"] == "given"
    if looking.store.database.is_sqlite:
        for file in looking.store.settings.data.glob("evidence.sqlite*"):
            assert b"Fruit Phone" not in file.read_bytes()
            assert b"51.50" not in file.read_bytes()
    other = PrivateKey.generate().public.wrap(object_id, "facts", b"{}").decode()
    async with looking.store.database.begin() as db:
        await storage.finish(db, object_id, facts=other, problem="")
    assert (await seen(looking, object_id))["facts"]["place"] == "given"


# --- what breaks


async def broken(wire: Wire, data: bytes, media_type: str) -> dict[str, Any]:
    """Put a file that cannot be shown; return what is said of it, after a second look was refused without trying."""
    object_id = await put(wire, data, media_type)
    media = await seen(wire, object_id)
    assert not media["picture"]
    media_work = wire.app[app_keys.MEDIA]
    tried = dict(media_work.made)
    body, _ = await preview(wire, object_id, status=404)
    assert json.loads(body)["detail"] == media["says"]
    assert media_work.made == tried, "it was not tried again"
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
        assert await answer.read() == data, "the original is whole"
    return media


async def test_a_flood_of_pixels_is_refused_before_it_is_opened(looking: Wire):
    flood = samples.flood()
    assert len(flood) < 1_000_000
    assert "pixels" in (await broken(looking, flood, "image/png"))["says"]


async def test_a_picture_cut_short_keeps_its_facts_and_has_no_preview(looking: Wire):
    data = samples.picture("JPEG", (900, 900), samples.exif(), quality=95)
    media = await broken(looking, data[: len(data) * 2 // 3], "image/jpeg")
    assert "damaged" in media["says"]
    assert media["facts"]["camera"] == "Fruit Phone 12"


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("video/mp4", b"\0\0\0\x18ftypisom" + b"\xff" * 5000),
        ("application/pdf", b"%PDF-1.7\n" + b"1 0 obj <<" * 300),
        ("image/heic", b"\0\0\0\x18ftypheic" + b"\0" * 3000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_file_that_only_begins_like_one_has_no_preview(looking: Wire, media_type, data):
    assert (await broken(looking, data, media_type))["says"]


async def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.5)

    async def never(_start: int, _stop: int) -> bytes:
        return await asyncio.Event().wait() or b""

    outcome = await process.examine(Task.LOOK, "image/jpeg", 1000, never)
    assert outcome.problem is Problem.SLOW


async def test_a_file_for_which_the_machine_had_no_time_is_tried_again_and_not_for_ever(looking: Wire, monkeypatch):
    film, made = await put(looking, samples.film(), "video/mp4"), looking.app[app_keys.MEDIA].made
    assert (await seen(looking, film))["playable"]
    with monkeypatch.context() as patch:
        patch.setattr(process, "PLAY_SECONDS", 0)
        body, _ = await preview(looking, film, part="/playable", status=404)
    assert "Try again" in json.loads(body)["detail"]
    await preview(looking, film, part="/playable")

    async def tried_so_often(times: int) -> None:
        async def tried() -> bool:
            return made["slow"] == times

        await become(tried, "another try")

    with monkeypatch.context() as patch:
        patch.setattr(process, "LOOK_SECONDS", 0)
        late = await put(looking, samples.picture(), "image/jpeg")
        await tried_so_often(2)
    assert (await looking.ask("GET", f"/objects/{late}"))["media"]["state"] == "waiting"
    looking.clock.move(minutes=10)
    assert (await seen(looking, late))["picture"]
    with monkeypatch.context() as patch:
        patch.setattr(process, "LOOK_SECONDS", 0)
        never = await put(looking, samples.picture(), "image/jpeg")
        for times in (3, 4, 5):
            await tried_so_often(times)
            looking.clock.move(minutes=10)
        assert "tried several times" in (await seen(looking, never))["says"]


@pytest.mark.parametrize(
    "says",
    [
        b"P\xff\xff\xff\xff",
        b"F\x00\x00\x00\x0c" + b'{"evil": 12}',
        b"R" + (5000).to_bytes(8, "big") + (10).to_bytes(4, "big"),
        b"R" + (0).to_bytes(8, "big") + (1 << 30).to_bytes(4, "big"),
        b"?\x00\x00\x00\x01x",
        b"E\x00\x00\x00\x05maybe",
        b"P\x00\x00\x10\x00cut",
        b"D\x00\x00\x00\x0250D\x00\x00\x00\x0250",
        b"D\x00\x00\x00\x03100",
        b"E\x00\x00\x00\x04kind" * 2,
    ],
    ids=[
        "a huge picture",
        "other facts",
        "beyond the end",
        "too much at once",
        "no word",
        "no problem",
        "cut short",
        "no progress",
        "more than all",
        "the same again",
    ],
)
async def test_a_process_taken_over_is_not_believed(monkeypatch: pytest.MonkeyPatch, says: bytes):
    code = f"import sys; sys.stdin.buffer.readline(); sys.stdout.buffer.write({says!r})"
    monkeypatch.setattr(process, "_COMMAND", ("-I", "-c", code))

    async def read(start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= 1000
        return bytes(stop - start)

    outcome = await process.examine(Task.LOOK, "image/jpeg", 1000, read)
    assert (outcome.preview, outcome.facts, outcome.problem) == (None, None, Problem.CRASHED)


async def test_a_process_that_asks_for_ever_however_little_is_ended(monkeypatch: pytest.MonkeyPatch):
    code = (
        "import sys; told, says = sys.stdin.buffer, sys.stdout.buffer; told.readline()\n"
        "for _ in range(2100): says.write(b'R' + bytes(11) + bytes([1])); says.flush(); told.read(1)\n"
        "says.write(bytes([69, 0, 0, 0, 4]) + b'kind')"
    )
    monkeypatch.setattr(process, "_COMMAND", ("-I", "-c", code))

    async def read(start: int, stop: int) -> bytes:
        return bytes(stop - start)

    assert (await process.examine(Task.LOOK, "image/jpeg", 1000, read)).problem is Problem.CRASHED


# --- the confinement

_TRIES = """
import ctypes, json, os, resource, signal, socket, subprocess, sys
from evidence_store.media import worker
worker.shut_in()
def outcome(act):
    try:
        act()
    except BaseException as problem:
        return type(problem).__name__
    return "done"
libc = ctypes.CDLL(None, use_errno=True)
print(json.dumps({
    "socket": outcome(lambda: socket.socket()),
    "pair": outcome(lambda: socket.socketpair()),
    "read": outcome(lambda: open("/etc/hostname")),
    "write": outcome(lambda: open("/tmp/evidence-probe", "w")),
    "list": outcome(lambda: os.listdir("/")),
    "run": outcome(lambda: os.execv("/bin/true", ["true"])),
    "fork": outcome(os.fork),
    "spawn": outcome(lambda: subprocess.run(["/bin/true"])),
    "signal": outcome(lambda: os.kill(os.getppid(), 0)),
    "look around": outcome(lambda: os.readlink("/proc/self/exe")),
    "more memory": outcome(lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))),
    "memory": outcome(lambda: bytearray(2 << 30)),
    "ring": "done" if libc.syscall(425, 8, 0) >= 0 else "refused",
    "environment": sorted(os.environ),
}))
"""


def test_the_process_that_opens_files_can_reach_nothing():
    done = subprocess.run([sys.executable, "-I", "-c", _TRIES], env={}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found.pop("memory") == "MemoryError"
    assert found.pop("ring") == "refused"
    assert found.pop("more memory") == "ValueError"  # how Python words the kernel's refusal
    assert set(found.pop("environment")) <= {"LC_CTYPE"}
    assert set(found.values()) == {"PermissionError"}, found
    assert len(found) == 10


async def test_it_is_confined_here():
    assert await process.is_confined() is None


def test_it_ends_with_the_process_that_started_it():
    code = (
        "import subprocess, sys, time\n"
        "one = subprocess.Popen([sys.executable, '-I', '-m', 'evidence_store.media.worker'], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE, env={})\n"
        'one.stdin.write(b\'{"task": "look", "media_type": "image/jpeg", "size_bytes": 5}\\n\')\n'
        "one.stdin.flush(); one.stdout.read(13)\n"  # it asks for bytes: it is at work
        "print(one.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until(lambda: has_ended(child), "its end")


def has_ended(pid: int) -> bool:
    """Say whether a process is gone, or waits for whoever takes note of its end."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


# --- what a file says


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (samples.exif(place=samples.BIG_BEN), Place.GIVEN),
        (samples.exif(gps=True), Place.REMOVED),
        (samples.exif(place=(0.0, 0.0)), Place.REMOVED),
        (samples.exif(), Place.ABSENT),
        (samples.exif(camera=False), Place.NOTHING),
    ],
    ids=["given", "emptied", "zeroed", "no field", "nothing"],
)
def test_what_is_known_of_the_place_is_told_apart(about: Image.Exif, expected: Place):
    with Image.open(io.BytesIO(samples.picture(about=about))) as opened:
        assert exif.facts_of_picture(opened)["place"] == expected


@pytest.mark.parametrize(
    ("tags", "place", "taken"),
    [
        ({"com.apple.quicktime.location.ISO6709": "+51.5007-000.1246+018.2/"}, Place.GIVEN, None),
        ({"location": "+00.0000+000.0000/", "creation_time": "2026-01-01T00:00:00Z"}, Place.REMOVED,
         "2026-01-01T00:00:00Z"),
        ({"com.apple.quicktime.creationdate": "2026-03-02T10:00:00+0100"}, Place.ABSENT, "2026-03-02T10:00:00+01:00"),
        ({"creation_time": "1904-01-01T00:00:00Z"}, Place.NOTHING, None),
        ({"location": "somewhere"}, Place.REMOVED, None),
    ],
)  # fmt: skip
def test_a_film_says_it_in_its_own_words(tags, place, taken):
    found = exif.facts_of_tags(tags)
    assert (found["place"], found["taken_at"]) == (place, taken)


def test_senseless_places_and_times_are_no_facts():
    nothing = exif.facts_of_exif(
        {0x010F: 7, 0x0110: "\0\n"},
        {0x9003: "0000:00:00 00:00:00"},
        {1: "N", 2: (float("nan"), 0.0, 0.0), 3: "E", 4: (999.0, 0.0, 0.0)},
        has_gps=True,
    )
    assert nothing == {"taken_at": None, "camera": None, "where": None, "place": "removed"}
