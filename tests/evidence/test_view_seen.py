"""The picture of an exhibit on its page, what its file says of itself, and the sentence when there is none."""

import io
import re

import pytest
from PIL import Image

from evidence_store import app_keys
from evidence_store.config import Settings
from evidence_store.media.model import Place
from evidence_store.media.schemas import Facts, MediaAnswer, Where
from evidence_store.model import ObjectState
from evidence_store.sealing import signing
from evidence_store.storage import move_object
from evidence_store.view import seen
from tests.evidence import samples
from tests.evidence.conftest import INCIDENT, Wire
from tests.evidence.test_media import become
from tests.evidence.view_support import Person, person, words_of

WAITING = MediaAnswer(state="waiting", picture=False, playable=False, says="", facts=None, place_says="")


@pytest.fixture
def evidence_settings(evidence_settings: Settings) -> Settings:
    return evidence_settings.model_copy(update={"preview_workers": 1})


async def looked_into(wire: Wire, ann: Person, data: bytes, media_type: str = "image/jpeg") -> tuple[str, str]:
    """Put a file and return its page's path, and the page once the file was looked into."""
    here = f"/evidence/view/objects/{signing.new_id()}"
    await wire.put(here.rpartition("/")[2], data, kind=media_type)

    async def shown() -> str:
        page = await ann.get(here)
        return "" if "still to be looked into" in page else page

    return here, await become(shown, "a look")


async def test_the_picture_is_shown_and_when_where_and_with_what_it_was_taken(wire: Wire):
    async with person(wire) as ann:
        here, page = await looked_into(wire, ann, samples.picture(about=samples.exif(place=samples.BIG_BEN)))
        said = words_of(page)
        for told in (
            "When 2 March 2026 at 10:11:12 (UTC+00:00) by the camera's clock", "Taken with Fruit Phone 12",
            "Where 51.50070, -0.12460 (WGS 84)", "The file says where it was taken.", "This proves nothing by itself",
        ):  # fmt: skip
            assert told in said, told
        assert re.search(rf'<img src="{here}/preview" alt="Preview of [^"]+" width="480" height="320">', page)
        async with ann.http.get(f"{here}/preview") as answer:
            with Image.open(io.BytesIO(await answer.read())) as shown:
                assert shown.size == (320, 200)
            assert answer.headers["Content-Security-Policy"].startswith("sandbox")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "private, no-store"
        assert "Preview looked at ann" in words_of(await ann.get(here))
    object_id = here.rpartition("/")[2]
    [line] = [line for line in await wire.lines(object_id) if line["details"] == {"what": "preview"}]
    assert (line["action"], line["actor"][:10]) == ("viewed", "staff:ann:")
    async with person(wire, "bob", role="officer", incident="AP-0000-0001") as bob:
        await bob.get(f"{here}/preview", status=404)


async def test_a_film_is_made_ready_when_it_is_asked_for_and_played_by_ranges_on_the_record(wire: Wire):
    async with person(wire) as ann:
        here, page = await looked_into(wire, ann, samples.film(), "video/mp4")
        assert "Prepare it to be played" in page
        assert "<video" not in page, "nothing is made before it is asked for"

        async def playing() -> str:
            page = await ann.get(f"{here}?play=yes")
            assert "per cent done" in words_of(page) or "<video" in page
            return page if "<video" in page else ""

        page = await become(playing, "the player")
        [tag] = re.findall(r"<video[^>]+>", page)
        assert f'src="{here}/playable"' in tag
        assert f'poster="{here}/preview"' in tag
        assert " controls " in tag
        assert 'preload="none"' in tag
        assert "autoplay" not in page
        assert "without the file's own data (metadata)" in words_of(page)
        assert "<video" in await ann.get(here), "it is there: nobody has to ask again"
        assert "Preview played" not in words_of(await ann.get(here)), "that it could be played is no look"
        async with ann.http.get(f"{here}/playable", headers={"Range": "bytes=0-99"}) as answer:
            assert (answer.status, answer.content_length) == (206, 100)
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["Content-Security-Policy"].startswith("sandbox")
        assert "Preview played ann" in words_of(await ann.get(here))
        alone = await ann.get(f"{here}/player")
        assert 'data-player="ready"' in alone
        assert "<html" not in alone
    async with person(wire, "bob", role="officer", incident="AP-0000-0001") as bob:
        for end in ("playable", "player"):
            await bob.get(f"{here}/{end}", status=404)


async def test_a_sound_is_played_and_no_picture_of_it_is_missed(wire: Wire):
    sound = samples.film(sight=False, fmt="wav", voice="pcm_s16le")
    async with person(wire) as ann:
        here, page = await looked_into(wire, ann, sound, "audio/wav")
        assert "Prepare it to be heard" in page
        assert "No preview is made of this kind" not in page

        async def playing() -> bool:
            return "<audio controls" in await ann.get(f"{here}?play=yes")

        await become(playing, "the player")


async def test_a_film_that_cannot_be_played_says_so_once_and_what_to_do_instead(wire: Wire):
    async with person(wire) as ann:
        here, _ = await looked_into(wire, ann, samples.film()[:400], "video/mp4")

        async def refused() -> str:
            page = words_of(await ann.get(f"{here}?play=yes"))
            return page if "save the original and open it" in page else ""

        page = await become(refused, "an end")
        assert page.count("the file is damaged, cut short") == 1


async def test_what_is_in_quarantine_is_not_prepared_to_be_played(wire: Wire):
    async with person(wire) as ann:
        here, _ = await looked_into(wire, ann, samples.film(sound=False), "video/mp4")
        async with wire.store.database.begin() as db:
            before, after = [ObjectState.RECEIVED], ObjectState.QUARANTINED
            assert await move_object(db, here.rpartition("/")[2], before=before, after=after)
        page = await ann.get(f"{here}?play=yes")
        assert "data-player=" not in page
        assert "what is in quarantine is not opened" in page
        assert wire.app[app_keys.MEDIA].made == {"picture": 1}


async def test_that_the_phone_took_the_place_out_is_told(wire: Wire):
    async with person(wire) as ann:
        _, page = await looked_into(wire, ann, samples.picture(about=samples.exif(gps=True)))
    assert "The place was taken out of this file" in page
    assert "WGS 84" not in page


@pytest.mark.parametrize(
    ("data", "media_type", "sentence"),
    [
        pytest.param(b"only words", "text/plain", "No preview is made of this kind of file.", id="a kind without"),
        pytest.param(samples.picture()[:200], "image/jpeg", "the file is damaged, cut short", id="cut short"),
    ],
)
async def test_where_there_is_no_picture_a_sentence_says_why(wire: Wire, data, media_type, sentence):
    async with person(wire) as ann:
        here, page = await looked_into(wire, ann, data, media_type)
        assert sentence in words_of(page)
        assert "<img" not in page
        refused = await ann.get(f"{here}/preview", status=404)
    assert INCIDENT in page
    assert "<h1" in refused, "a refusal is a page"


@pytest.mark.parametrize(
    ("state", "why_off", "said"),
    [
        pytest.param(ObjectState.RECEIVED, "", "still to be looked into", id="waits"),
        pytest.param(ObjectState.RECEIVED, "EVIDENCE_PREVIEW_WORKERS is 0", "this store makes none", id="never"),
        pytest.param(ObjectState.SCREENING, "", "screened for malware first", id="screening"),
        pytest.param(ObjectState.QUARANTINED, "", "is not opened", id="quarantine"),
    ],
)
def test_why_there_is_no_picture_yet_or_ever(state, why_off, said):
    assert said in seen.why_no_picture(state, WAITING, why_off=why_off)


def test_facts_are_told_as_the_file_has_them_and_nothing_more():
    assert seen.say_facts(None) == []
    assert seen.say_facts(Facts(place=Place.NOTHING)) == []
    facts = Facts(
        taken_at="2026-03-02T10:11:12", where=Where(latitude=-1, longitude=2, within_metres=12.4), width=640,
        height=480, seconds=61.4,
    )  # fmt: skip
    assert seen.say_facts(facts) == [
        ("When", "2 March 2026 at 10:11:12 by the camera's clock; which time zone, it does not say"),
        ("Where", "-1.00000, 2.00000 (WGS 84), within 12.4 metres"),
        ("Width and height", "640 × 480"),
        ("Length", "0:01:01"),
    ]
    assert seen.say_facts(Facts(taken_at="2026-02-31T10:11:12Z")) == [("When", "2026-02-31T10:11:12Z")]
