"""The outbox: what is queued leaves once, at the right time, or not at all, and somebody is told when it fails."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

import pytest

from tests.twilio_server import ACCOUNT, SENDER, TOKEN, TwilioServer, twilio_server
from video_server.accounts.model import Role
from video_server.appointments import service as appointments
from video_server.audit import service as audit
from video_server.config import load
from video_server.core.database import Database
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import SafeContact, Wording
from video_server.tasks import service as tasks
from video_server.texts import service
from video_server.texts.gateway import ScreenGateway, TwilioGateway
from video_server.texts.model import MOST_TRIES, UNCONFIRMED_AFTER, Text, wait_before_try
from video_server.texts.worker import LANES, chase_unconfirmed, send_due

pytestmark = pytest.mark.filterwarnings("ignore:.*auth:DeprecationWarning")  # twilio's client, of aiohttp

FORCE = Force()
ANNA = "+447700900123"
LINK = "https://appointments.example.police.uk/j/token-of-"
SUBJECT = "appointment:1"
ANY_HOUR = SafeContact(may_text=True, wording=Wording.PLAIN)


async def link_url(_db: object, link_id: str) -> str | None:
    return None if link_id == "dead" else LINK + link_id


@pytest.fixture
async def twilio(clock) -> AsyncIterator[TwilioServer]:
    async with twilio_server() as server:
        server.clock = clock
        yield server


@pytest.fixture
async def gateway(twilio: TwilioServer, settings) -> AsyncIterator[TwilioGateway]:
    gateway = TwilioGateway(
        account=ACCOUNT,
        token=TOKEN,
        sender=SENDER,
        public_url=settings.origin,
        base_url=twilio.url,
        longest_seconds=60,
    )
    yield gateway
    await gateway.close()


@pytest.fixture
def record_person(database, clock):
    async def record(safe_contact: SafeContact = ANY_HOUR, language: str = "en") -> incidents.Incident:
        async with database.begin() as db:
            return await incidents.record_incident(
                db,
                offence_type="theft",
                victim_name="Alex Example",
                victim_mobile=ANNA,
                language=language,
                safe_contact=safe_contact,
                eligibility=Eligibility(True, True, True, True),
                by="system:test",
                now=clock(),
            )

    return record


@pytest.fixture
def queue(database, clock, record_person):
    """Queue a text about an appointment in six hours: await queue(kind="reminder", due_in=60)."""
    people: dict[SafeContact, Any] = {}

    async def queue(
        kind: str = "booked",
        *,
        safe_contact: SafeContact = ANY_HOUR,
        due_in: float = 0,
        link_id: str | None = "1",
        subject: str = SUBJECT,
        expires_in: float = 360,
    ) -> None:
        if safe_contact not in people:
            people[safe_contact] = await record_person(safe_contact)
        incident, now = people[safe_contact], clock()
        async with database.begin() as db:
            await service.queue(
                db,
                kind=kind,
                person_id=incident.victim_id,
                subject=subject,
                link_id=link_id,
                values={"reference": incident.reference, "starts_at": (now + timedelta(hours=6)).isoformat()},
                due_at=now + timedelta(minutes=due_in),
                expires_at=now + timedelta(minutes=expires_in),
                now=now,
            )

    return queue


@pytest.fixture
def send(database, gateway, clock):
    return partial(send_due, database, gateway, link_url=link_url, force=FORCE, clock=clock)


@pytest.fixture
def look(database):
    """Return the texts of a subject, and the kinds of tasks that are open."""

    async def look(subject: str = SUBJECT) -> tuple[list[Text], list[str]]:
        async with database.read() as db:
            texts = await service.list_for(db, subject)
            return list(texts), [task.kind for task in await tasks.list_open(db)]

    return look


async def states(look, subject: str = SUBJECT) -> list[str]:
    return [text.state.value for text in (await look(subject))[0]]


async def withdraw(database, clock, **given) -> int:
    async with database.begin() as db:
        return await service.void(db, subject=SUBJECT, now=clock(), **given)


async def test_a_text_leaves_when_it_is_due_with_its_link_and_reference(queue, send, look, twilio, clock):
    await queue(due_in=5)
    assert await send() == 0
    clock.move(minutes=5)
    assert await send() == 1
    assert await send() == 0
    (message,) = twilio.messages
    assert message.to == ANNA
    assert LINK + "1" in message.body
    (text,), open_tasks = await look()
    assert text.values["reference"] in message.body
    assert (text.state, text.sent_at, open_tasks) == ("sent", clock(), [])


async def test_the_outbox_holds_no_number_no_name_and_no_token(queue, send, database):
    await queue()
    await send()
    async with database.read() as db:
        rows = (await db.exec_driver_sql("SELECT * FROM texts")).all()
    assert len(rows) == 1
    assert not [value for value in rows[0] if any(secret in str(value) for secret in ("7700900", "token-of", "Alex"))]


async def test_queueing_the_same_text_again_changes_nothing_but_a_withdrawn_one_may_come_again(
    queue, send, look, database, clock, twilio
):
    await queue()
    await queue()
    assert await states(look) == ["due"]
    assert await withdraw(database, clock) == 1
    await queue()
    assert sorted(await states(look)) == ["due", "void"]
    await send()
    await queue()
    assert len(twilio.messages) == 1


@pytest.mark.parametrize(
    ("kind", "link_id", "values"),
    [
        ("booked", None, {"reference": "AP-1", "starts_at": "2026-03-02T14:00+00:00"}),
        ("booked", "1", {"reference": "AP-1"}),
        ("booked", "1", {"reference": "AP-1", "starts_at": "2026-03-02T14:00+00:00", "name": "Alex"}),
        ("booked", "1", {"reference": "AP-1", "starts_at": "2026-03-02T14:00"}),
    ],
)
async def test_values_that_do_not_fit_the_kind_are_a_fault_of_the_caller(
    database, clock, record_person, kind, link_id, values
):
    incident = await record_person()
    with pytest.raises(ValueError, match=r"."):
        async with database.begin() as db:
            await service.queue(
                db,
                kind=kind,
                person_id=incident.victim_id,
                subject=SUBJECT,
                link_id=link_id,
                values=values,
                due_at=clock(),
                expires_at=clock() + timedelta(hours=1),
                now=clock(),
            )


async def test_who_may_not_be_texted_gets_no_text_but_a_task_for_a_person(queue, send, look, twilio):
    await queue(safe_contact=SafeContact(may_text=False, wording=Wording.NEUTRAL))
    assert await look() == ([], ["text_refused"])
    await send()
    assert twilio.messages == []


async def test_a_wish_never_to_be_texted_counts_even_when_it_comes_after_queueing(queue, send, look, twilio, database):
    await queue(due_in=5)
    async with database.begin() as db:
        await db.exec_driver_sql("UPDATE people SET may_text = FALSE")
    send.keywords["clock"].move(minutes=5)
    assert await send() == 0
    (text,), open_tasks = await look()
    assert (text.state, text.fault, open_tasks, twilio.messages) == ("void", "never", ["text_refused"], [])


async def test_while_contact_is_held_nothing_is_queued_and_a_person_is_asked(
    record_person, look, send, twilio, database, clock
):
    incident = await record_person()
    async with database.begin() as db:
        await incidents.hold_contact(db, incident.victim_id, why="unsafe_answer", by="system:phone", now=clock())
        for kind in ("booked", "moved", "cancelled", "reminder"):
            await service.queue(
                db,
                kind=kind,
                person_id=incident.victim_id,
                subject=SUBJECT,
                link_id="1",
                values={"reference": incident.reference, "starts_at": clock().isoformat()},
                due_at=clock(),
                expires_at=clock() + timedelta(hours=1),
                now=clock(),
            )
    assert await look() == ([], ["text_refused"])
    assert await send() == 0
    assert twilio.messages == []


async def test_what_was_queued_before_a_hold_stays_here_and_texts_go_again_after_it(
    queue, record_person, send, look, twilio, database, clock
):
    await queue("reminder", due_in=5)
    await queue("reminder", due_in=10)
    (first, _), _ = await look()
    async with database.begin() as db:
        await incidents.hold_contact(db, first.person_id, why="unsafe_answer", by="system:phone", now=clock())
    clock.move(minutes=5)
    assert await send() == 0
    (held, waiting), open_tasks = await look()
    assert (held.state, held.fault, waiting.state, open_tasks) == ("void", "held", "due", ["text_refused"])
    async with database.begin() as db:
        await incidents.release_contact(db, first.person_id, by="system:test", reason="person_said", now=clock())
    clock.move(minutes=5)
    assert await send() == 1
    assert len(twilio.messages) == 1


async def test_outside_the_persons_hours_it_waits_for_them(queue, send, look, twilio, clock):
    hours = SafeContact(may_text=True, wording=Wording.NEUTRAL, not_before=time(12), not_after=time(13))
    await queue(safe_contact=hours)  # it is 10:00
    assert await send() == 0
    assert await states(look) == ["due"]
    clock.move(hours=1, minutes=59)
    assert await send() == 0
    clock.move(minutes=1)
    assert await send() == 1
    assert "police" not in twilio.messages[0].body.replace(LINK, "").lower()


@pytest.mark.parametrize(("kind", "told"), [("booked", ["text_expired"]), ("reminder", [])])
async def test_hours_that_leave_no_time_make_a_task_but_a_reminder_is_left_out_quietly(queue, send, look, kind, told):
    hours = SafeContact(may_text=True, wording=Wording.NEUTRAL, not_before=time(9), not_after=time(9, 30))
    await queue(kind, safe_contact=hours)
    assert await send() == 0
    (text,), open_tasks = await look()
    assert (text.state, text.fault, open_tasks) == ("void", "no_hour_left", told)


async def test_an_expired_text_is_not_sent_and_a_person_is_told(queue, send, look, clock, twilio):
    await queue(expires_in=30)
    clock.move(minutes=30)
    assert await send() == 0
    (text,), open_tasks = await look()
    assert (text.state, open_tasks, twilio.messages) == ("void", ["text_expired"], [])


async def test_a_link_that_no_longer_works_is_not_sent(queue, send, look, twilio):
    await queue(link_id="dead")
    assert await send() == 0
    (text,), open_tasks = await look()
    assert (text.state, open_tasks, twilio.messages) == ("void", ["text_failed"], [])


async def test_one_broken_text_does_not_hold_up_those_behind_it(queue, send, look, database, clock, twilio):
    await queue(subject="appointment:broken")
    async with database.begin() as db:
        await db.exec_driver_sql("UPDATE texts SET person_id = 'nobody'")
    await queue()
    assert await send() == 1
    assert await states(look) == ["sent"]
    assert await states(look, "appointment:broken") == ["due"]
    clock.move(hours=6)
    await send()
    assert (await look("appointment:broken"))[1] == ["text_expired"]


async def test_a_refused_number_fails_at_once_and_a_person_is_told(queue, send, look, twilio):
    twilio.faults.append(("status", 400, 21211))
    await queue()
    assert await send() == 0
    (text,), open_tasks = await look()
    assert (text.state, text.fault, open_tasks, twilio.creates) == ("failed", "twilio_21211", ["text_failed"], 1)


@pytest.mark.parametrize("fault", [("status", 500, 20500), ("status", 429, 20429), ("keep_and_drop",)])
async def test_a_passing_fault_is_tried_again_later_and_the_text_arrives_once(queue, send, look, twilio, clock, fault):
    twilio.faults.append(fault)
    await queue()
    assert await send() == 0
    assert await send() == 0  # not at once
    clock.move(minutes=1)
    assert await send() == 1
    assert len(twilio.messages) == 1
    assert await states(look) == ["sent"]


async def test_a_lasting_fault_is_given_up_and_a_person_is_told(queue, send, look, twilio, clock):
    twilio.faults.extend([("status", 503, 20503)] * 50)
    await queue()
    for _ in range(MOST_TRIES * 2):
        await send()
        clock.move(minutes=16)
    (text,), open_tasks = await look()
    assert (text.state, open_tasks, twilio.creates) == ("failed", ["text_failed"], MOST_TRIES)


async def test_a_provider_that_cannot_be_asked_is_not_sent_to_again_and_given_up_on(queue, send, look, twilio, clock):
    twilio.faults.append(("keep_and_drop",))
    twilio.list_faults.extend([("status", 500, 20500)] * 50)
    await queue()
    for _ in range(MOST_TRIES * 2):
        await send()
        clock.move(minutes=16)
    (text,), open_tasks = await look()
    assert (text.state, open_tasks, twilio.creates) == ("failed", ["text_failed"], 1)


def test_waits_grow_and_end():
    waits = [wait_before_try(attempts) for attempts in range(1, MOST_TRIES + 1)]
    assert waits[-1] is None
    assert waits[:-1] == sorted(waits[:-1])


async def test_two_alike_texts_are_two_messages_even_when_both_tries_broke(queue, send, look, twilio, clock):
    twilio.faults.extend([("keep_and_drop",), ("keep_and_drop",)])
    await queue(subject="appointment:1")
    await queue(subject="appointment:2")
    await send()
    clock.move(minutes=1)
    await send()
    clock.move(minutes=5)
    await send()
    assert await states(look) == await states(look, "appointment:2") == ["sent"]
    assert len(twilio.messages) == 2


async def test_two_schedulers_at_once_send_each_text_once(queue, gateway, settings, database, clock, twilio, look):
    for n in range(40):
        await queue(link_id=f"{n}", subject=f"appointment:{n}")
    twilio.slow_s = 0.02
    twilio.awaited = 2 * LANES  # neither can have them all before the other has taken some: all of its lanes wait
    other = Database(settings.database_url)
    try:
        counts = await asyncio.gather(
            *(send_due(on, gateway, link_url=link_url, force=FORCE, clock=clock) for on in (database, other))
        )
    finally:
        await other.dispose()
    assert sum(counts) == 40
    assert min(counts) >= LANES
    assert sorted(message.body for message in twilio.messages) == sorted({m.body for m in twilio.messages})
    assert len(twilio.messages) == 40


async def test_a_withdrawn_text_never_leaves(queue, send, look, twilio, database, clock):
    await queue("booked")
    await queue("reminder", due_in=30)
    assert await withdraw(database, clock, kinds={"reminder"}) == 1
    await send()
    assert await withdraw(database, clock) == 0
    clock.move(hours=1)
    await send()
    assert await states(look) == ["sent", "void"]
    assert len(twilio.messages) == 1


async def test_withdrawing_races_with_sending_and_every_text_is_either_sent_or_void(
    queue, send, look, twilio, database, clock
):
    twilio.slow_s = 0.01
    for n in range(30):
        await queue(link_id=f"{n}", subject=f"appointment:{n}")

    async def withdraw_all() -> int:
        count = 0
        for n in reversed(range(30)):
            async with database.begin() as db:
                count += await service.void(db, subject=f"appointment:{n}", now=clock())
            await asyncio.sleep(0)
        return count

    sent, withdrawn = await asyncio.gather(send(), withdraw_all())
    assert sent + withdrawn == 30
    assert len(twilio.messages) == sent
    for n in range(30):
        (state,) = await states(look, f"appointment:{n}")
        assert (state == "sent") == any(m.body.endswith(f"of-{n} To change it ring 101.") for m in twilio.messages)


async def test_a_text_withdrawn_while_its_first_try_broke_is_not_tried_again(
    queue, send, look, twilio, database, clock
):
    twilio.faults.append(("status", 500, 20500))
    await queue()
    await send()
    await withdraw(database, clock)
    await send()
    (text,), _ = await look()
    assert (text.state, twilio.creates, twilio.lists) == ("void", 1, 1)


async def test_a_text_withdrawn_after_it_had_reached_twilio_is_known_as_sent(
    queue, send, look, twilio, database, clock
):
    twilio.faults.append(("keep_and_drop",))
    await queue()
    await send()
    await withdraw(database, clock)
    await send()
    assert (await states(look), twilio.creates) == (["sent"], 1)


async def test_a_text_without_news_becomes_a_task_once(queue, send, look, twilio, database, gateway, clock):
    await queue()
    await send()
    chase = partial(chase_unconfirmed, database, gateway, clock=clock)
    assert await chase() == 0
    clock.move(minutes=UNCONFIRMED_AFTER.total_seconds() / 60)
    assert await chase() == 1
    assert await chase() == 0
    assert await look() == ((await look())[0], ["text_unconfirmed"])
    assert await states(look) == ["sent"]


@pytest.mark.parametrize(
    ("status", "state", "told"), [("delivered", "delivered", []), ("undelivered", "failed", ["text_failed"])]
)
async def test_news_that_was_lost_is_fetched_before_anybody_is_troubled(
    queue, send, look, twilio, database, gateway, clock, status, state, told
):
    await queue()
    await send()
    twilio.move_on(twilio.messages[0], status)
    clock.move(minutes=20)
    await chase_unconfirmed(database, gateway, clock=clock)
    assert await states(look) == [state]
    assert (await look())[1] == told


async def test_each_step_is_audited_without_number_or_name(queue, send, database, clock, twilio):
    twilio.faults.append(("status", 400, 21211))
    await queue("booked")
    await queue("reminder", due_in=1)
    await queue("reminder", due_in=2)
    await send()
    clock.move(minutes=1)
    await send()
    await withdraw(database, clock)
    async with database.read() as db:
        entries = await audit.list_for(db, SUBJECT)
    assert [entry.action for entry in entries] == ["texts.failed", "texts.sent", "texts.withdrawn"]
    assert "7700900" not in str(entries)


async def test_cancelling_an_appointment_withdraws_its_texts_and_says_so(
    add_staff, record_person, database, clock, gateway, settings, key_ring, twilio
):
    officer = await add_staff("smith", Role.OFFICER)
    incident = await record_person()
    real_links = partial(appointments.link_url, key_ring=key_ring, public_url=settings.origin)
    real_send = partial(send_due, database, gateway, link_url=real_links, force=FORCE, clock=clock)
    async with database.begin() as db:
        booked = await appointments.book(
            db,
            incident=incident,
            person_id=incident.victim_id,
            starts_at=datetime(2026, 3, 5, 14, tzinfo=UTC),
            officer_id=officer.id,
            by="system:test",
            now=clock(),
            force=FORCE,
            key_ring=key_ring,
        )
    assert await real_send() == 1
    assert f"{settings.origin}/j/{key_ring.link_token(booked.id, booked.generation)}" in twilio.messages[0].body
    async with database.begin() as db:
        await appointments.cancel(db, booked.id, by="system:test", reason="person_asked", now=clock())
    assert await real_send() == 1
    clock.move(hours=96)
    assert await real_send() == 0
    assert len(twilio.messages) == 2
    assert "cancelled" in twilio.messages[1].body
    assert "/j/" not in twilio.messages[1].body


async def callback(browser, message, status, *, twilio, settings, extra=None, forged=False):
    client = await browser()
    here = str(client.make_url(message.callback.removeprefix(settings.origin)))
    if forged:
        message.callback = message.callback.replace("status?", "status?x=1&")
    return await twilio.report(message, status, to=here, extra=extra)


@pytest.fixture
def settings(tmp_path, database_url):
    return load(
        demo=True,
        data=tmp_path,
        database=database_url,
        texts="twilio",
        twilio_token=TOKEN,
        public_url="https://texts.example",
    )


async def test_twilios_callbacks_take_a_text_on_in_whatever_order_they_come(
    queue, send, look, twilio, browser, settings
):
    hear = partial(callback, twilio=twilio, settings=settings)
    await queue()
    await send()
    (message,) = twilio.messages
    assert await hear(browser, message, "sent") == 204
    assert await states(look) == ["sent"]
    assert await hear(browser, message, "delivered") == 204
    assert await hear(browser, message, "sent") == 204
    assert await hear(browser, message, "undelivered") == 204
    assert await states(look) == ["delivered"]
    assert (await look())[1] == []


async def test_a_text_that_twilio_cannot_deliver_becomes_a_task(queue, send, look, twilio, browser, settings):
    await queue()
    await send()
    answer = await callback(
        browser, twilio.messages[0], "undelivered", twilio=twilio, settings=settings, extra={"ErrorCode": "30003"}
    )
    (text,), open_tasks = await look()
    assert (answer, text.state, text.fault, open_tasks) == (204, "failed", "twilio_30003", ["text_failed"])


async def test_a_callback_tells_what_a_broken_try_could_not_and_nothing_is_sent_again(
    queue, send, look, twilio, browser, settings, clock
):
    twilio.faults.append(("keep_and_drop",))
    await queue()
    await send()
    assert await states(look) == ["due"]
    await callback(browser, twilio.messages[0], "delivered", twilio=twilio, settings=settings)
    clock.move(minutes=5)
    assert await send() == 0
    assert (await states(look), twilio.creates) == (["delivered"], 1)


async def test_a_callback_that_twilio_did_not_sign_is_refused(queue, send, look, twilio, browser, settings):
    await queue()
    await send()
    (message,) = twilio.messages
    assert await callback(browser, message, "delivered", twilio=twilio, settings=settings, forged=True) == 403
    client = await browser()
    for headers in ({}, {"X-Twilio-Signature": "é" * 28}, {"X-Twilio-Signature": "A" * 28}):
        answer = await client.post(
            "/texts/twilio/status", data={"MessageSid": message.sid, "MessageStatus": "delivered"}, headers=headers
        )
        assert answer.status == 403
    assert await states(look) == ["sent"]


async def test_repeated_fields_are_part_of_the_signature_and_odd_ids_change_nothing(browser, settings, look):
    from twilio.request_validator import RequestValidator

    client = await browser()
    fields = [("MessageSid", "' OR 1"), ("MessageStatus", "delivered"), ("MessageStatus", "sent"), ("A", "b")]
    url = f"{settings.origin}/texts/twilio/status"
    from multidict import MultiDict

    signature = RequestValidator(TOKEN).compute_signature(url, MultiDict(fields))
    headers = {"X-Twilio-Signature": signature}
    assert (await client.post("/texts/twilio/status", data=fields, headers=headers)).status == 204
    assert (await client.post("/texts/twilio/status", data=fields[:-2], headers=headers)).status == 403


async def test_the_demo_page_shows_texts_as_phones_would_with_links_that_lead_somewhere(
    queue, database, clock, browser, settings
):
    gateway = ScreenGateway(database, clock=clock)

    async def own_link(_db: object, link_id: str) -> str:
        return f"{settings.origin}/j/token-of-{link_id}"

    client = await browser()
    assert "No text has been sent yet" in await (await client.get("/demo/texts")).text()
    await queue("booked")
    await send_due(database, gateway, link_url=own_link, force=FORCE, clock=clock)
    clock.move(minutes=5)
    await queue("cancelled", link_id=None)
    await send_due(database, gateway, link_url=own_link, force=FORCE, clock=clock)
    page = await (await client.get("/demo/texts")).text()
    assert "07700 900123" in page
    assert 'href="/j/token-of-1"' in page
    assert page.index("Open this link") < page.index("has been cancelled")


async def test_only_the_demo_has_the_page_of_texts(database, database_url, clock, key_ring, tmp_path):
    from aiohttp.test_utils import TestClient, TestServer

    from video_server.app import make_app

    real = load(demo=False, data=tmp_path, public_url="https://texts.example", database=database_url)
    async with TestClient(TestServer(make_app(real, key_ring, clock=clock))) as client:
        assert (await client.get("/demo/texts")).status == 404
