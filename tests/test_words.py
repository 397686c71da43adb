"""Welsh: every sentence that a victim can meet is translated, nothing is lost in it, and the pages show it."""

import re
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from tests import cases
from tests.conftest import AddStaff, HeldClock, MakeBrowser
from video_server.accounts.model import Role
from video_server.core.database import Database
from video_server.core.force import Force
from video_server.core.keys import KeyRing
from video_server.web import i18n, pages

ROOT = Path(__file__).parent.parent
STAFF = {
    "accounts",
    "audit",
    "booth",
    "desk",
    "incidents",
    "relay",
    "tasks",
    "texts",
    "staff.html",
    "_officer.html",
    "_alarms.html",
    "_all.html",
}
"""Folders and files that only staff read. Whatever is not named here must be in Welsh."""
HOLES = re.compile(r"%\(\w+\)[a-z]|\{\w*\}|%%")

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def welsh() -> Catalog:
    with (i18n.FOLDER / "cy/LC_MESSAGES/messages.po").open("rb") as file:
        return read_po(file, locale="cy")


@pytest.fixture(scope="module")
def sentences() -> set[str]:
    """All that is marked in the files a victim meets, read as `make words` reads them."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    return {
        sentence
        for folder, options in zip(("video_server", "templates"), mappings, strict=True)
        for file in (ROOT / folder).rglob(options["pattern"].replace("**", "*"))
        if not STAFF.intersection(file.relative_to(ROOT / folder).parts)
        for sentence in marked(file, options)
    }


def marked(file: Path, options: dict[str, Any]) -> Iterable[str]:
    for _, words, _, _ in extract_from_file(options["method"], file, options=options):
        yield words if isinstance(words, str) else words[0]


def test_every_sentence_a_victim_can_meet_is_in_welsh(welsh, sentences):
    assert {"Exit this page", "This is cancelled.", "Check this answer."} <= sentences
    missing = [one for one in sorted(sentences) if one not in welsh or not welsh[one].string]
    assert not missing, "run `make words` and translate: " + "\n".join(missing)


def test_a_translation_has_exactly_the_placeholders_of_its_original(welsh):
    wrong = []
    for message in welsh:
        originals = [message.id] if isinstance(message.id, str) else message.id
        translations = [message.string] if isinstance(message.string, str) else message.string
        wanted = [sorted(HOLES.findall(one)) for one in originals]
        wrong += [one for one in translations if message.id and one and sorted(HOLES.findall(one)) not in wanted]
    assert not wrong


def test_the_catalogue_holds_no_doubtful_and_no_dead_entries(welsh):
    assert [message.id for message in welsh if message.id and message.fuzzy] == []
    assert list(welsh.obsolete) == []


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 3, 2, 10, 0, tzinfo=UTC), "Dydd Llun 2 Mawrth 2026 am 10yb"),
        (datetime(2026, 6, 10, 13, 15, tzinfo=UTC), "Dydd Mercher 10 Mehefin 2026 am 2:15yp"),
        (datetime(2026, 12, 24, 12, 0, tzinfo=UTC), "Dydd Iau 24 Rhagfyr 2026 am 12yp"),
    ],
)
def test_days_and_times_are_said_in_welsh(at, said):
    with i18n.use("cy"):
        assert pages.say_day_and_clock(at, Force()) == said


@on_one_database
async def test_who_chose_welsh_on_the_phone_goes_through_welsh_pages(
    browser: MakeBrowser,
    database: Database,
    key_ring: KeyRing,
    clock: HeldClock,
    add_staff: AddStaff,
    sentences: set[str],
):
    officer = await add_staff("smith", Role.OFFICER, name="PC Smith")
    incident = await cases.record(database, clock, language="cy")
    appointment = await cases.book(
        database, clock, key_ring, incident, clock(), officer_id=officer.id, allow_any_time=True
    )
    client = await browser()
    link = f"/j/{key_ring.link_token(appointment.id, appointment.generation)}"
    seen = {"link": await (await client.get(link, headers={"Accept-Language": "cy-GB,en;q=0.5"})).text()}
    await client.post(link)
    seen["appointment"] = await (await client.get("/phone")).text()
    seen["wrong answer"] = await (await client.post("/phone/safe", data={})).text()
    await client.post("/phone/safe", data={"answer": "yes"})
    seen["second question"] = await (await client.get("/phone/watched")).text()
    await client.post("/phone/watched", data={"answer": "no"})
    seen["words"] = await (await client.get("/phone/word")).text()
    seen["call"] = await (await client.get("/phone/call")).text()
    seen["problem"] = await (await client.get("/phone/nowhere")).text()

    expected = {
        "link": "Parhau i’ch tudalen",
        "appointment": "Dydd Llun 2 Mawrth 2026 am 10yb",
        "wrong answer": "Dewiswch “Ie” os ydych yn rhywle diogel a phreifat",
        "second question": "A allai’r person sy’n gyfrifol eich gweld neu eich clywed?",
        "words": "Beth yw’r geiriau y cytunwyd arnynt dros y ffôn?",
        "call": "PC Smith, rhif coler 1234",
        "problem": "Ni chafwyd hyd i’r dudalen honno.",
    }
    english = {one for one in sentences if len(one) > 5 and not HOLES.search(one)}
    for name, welsh in expected.items():
        page = unescape(seen[name])
        assert '<html lang="cy"' in page, name
        assert welsh in page, name
        assert "Gadael y dudalen hon" in page, name
        assert [one for one in english if re.search(rf"\b{re.escape(one)}", page)] == [], name
