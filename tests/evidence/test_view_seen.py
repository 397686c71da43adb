"""The picture of an exhibit on its page, what its file says of itself, and the sentence when there is none."""

import io
import re

import pytest
from PIL import Image

from evidence_store.config import Settings
from evidence_store.media.model import Place
from evidence_store.media.schemas import Facts, MediaAnswer, Where
from evidence_store.model import ObjectState
from evidence_store.sealing import signing
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
