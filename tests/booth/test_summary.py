"""The summary of a call: every deed in words, and how the connection was."""

import re
from pathlib import Path

import pytest

from tests.booth.conftest import path_of
from video_server.accounts.model import Role
from video_server.booth import deeds
from video_server.calls import page_news, presence
from video_server.calls import service as calls
from video_server.calls.quality import LinkFigures, Meter, PageFigures, Way


async def test_the_summary_holds_times_outcome_notes_and_every_deed_in_words(
    add_staff, sign_in, book, guest, clock, database
):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    client = await sign_in("smith")
    clock.move(minutes=1)
    await guest(appointment, "unsafe")
    clock.move(minutes=1)
    await guest(appointment, "exited")
    clock.move(minutes=1)
    person = await guest(appointment, word="wrong word")
    clock.move(minutes=1)
    async with database.begin() as db:
        await presence.renew_presence(db, [person.socket], now=clock())  # the page is still open
    await client.post(path_of(appointment, "admit"), json={"participant": person.id})
    for version, text in enumerate(("Blue", "Blue van", "Blue van <b>")):
        clock.move(minutes=version)  # saved as typed, recorded once a minute
        await client.post(path_of(appointment, "note"), json={"text": text, "version": version})
    clock.move(minutes=27)
    async with database.begin() as db:
        await calls.leave(db, person.id, now=clock())
    await client.post(path_of(appointment, "end"), json={"outcome": "rebook"})
    moved = await client.get(path_of(appointment), allow_redirects=False)
    assert (moved.status, moved.headers["Location"]) == (303, path_of(appointment, "summary"))
    page = await (await client.get(path_of(appointment, "summary"))).text()
    for words in (
        "Started, another appointment is needed",
        "at 10:04am",  # seen
        "at 10:34am",  # ended
        "Blue van &lt;b&gt;",
        "PC Smith, 1234",
        "let the person in",
        "gave a wrong agreed word",
        "3 times",
    ):
        assert words in page
    assert "saved the notes" in page
    codes = [
        cell for cell in page.split('<td class="govuk-table__cell">') if cell.split("<")[0].strip().count(".") == 1
    ]
    assert codes == []  # an action that has no words would stand there as its code


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("of", ["evidence", "statements"])
def test_every_deed_on_evidence_and_statements_has_words(of, database_url):
    source = "\n".join(file.read_text() for file in sorted((Path(deeds.__file__).parent.parent / of).glob("*.py")))
    told = set(re.findall(r'tell\([^")]*?"(\w+)"', source)) | set(re.findall(r'action = "(\w+)"', source))
    assert len(told) > 5
    assert {f"{of}.{deed}" for deed in told} <= set(deeds.WORDS)


async def test_the_summary_tells_how_the_connection_was_and_why_each_gap_came(
    add_staff, sign_in, book, guest, clock, database
):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    client = await sign_in("smith")
    person = await guest(appointment)
    await client.post(path_of(appointment, "admit"), json={"participant": person.id})
    meter = Meter(person.id)
    meter.add_page(PageFigures(2, 0.01, 1280, 720, 80.0))
    link = LinkFigures(Way(900_000, 0.04, 5), Way(800_000, 0.01, 5), 100.0, "no_picture")
    stretches = [meter.add_link(link, clock.move(seconds=5)) for _ in range(6)]
    async with database.begin() as db:
        await page_news.keep_stretch(db, appointment.id, stretches[-1])
        await presence.note_silence(db, person.id, why="silent", now=clock())
        await presence.note_sound(db, person.id, now=clock.move(seconds=12))
        told = {"type": "broke", "why": "network_changed", "ago_ms": 12_000, "lasted_ms": 12_000}
        await page_news.hear(db, await calls.get_participant(db, person.id), told, now=clock())
    await client.post(path_of(appointment, "end"), json={"outcome": "seen"})
    page = " ".join((await (await client.get(path_of(appointment, "summary"))).text()).split())
    for words in (
        "Fair",
        "was sent no picture for 30 s",
        "Over 30 s: lost 4.0 % of what was sent, 4.0 % at the worst.",
        "Sent 0.90 Mbit/s, was sent 0.80; jitter 5 ms.",
        "There and back 97 ms.",
        "The picture stood still 2 times.",
        "1.0 % of the sound was made up.",
        "Picture 1280 × 720.",
        "Their device changed networks",
        ", 12 s</td>",
    ):
        assert words in page, words
