"""Both ways out keep one contract; what Twilio alone does is proved against an HTTP server that speaks its API."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from tests.twilio_server import ACCOUNT, SENDER, TOKEN, TwilioServer, twilio_server
from video_server.core.clock import utc_now
from video_server.texts.gateway import Gateway, NotTaken, ScreenGateway, TwilioGateway, Unsure
from video_server.texts.model import State

pytestmark = pytest.mark.filterwarnings("ignore:.*auth:DeprecationWarning")  # twilio's client, of aiohttp

ANNA, BEN = "+447700900123", "+447700900456"
LONG_AGO = timedelta(days=1)


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioServer]:
    async with twilio_server() as server:
        yield server


@asynccontextmanager
async def gateway_to(server: TwilioServer, **given) -> AsyncIterator[TwilioGateway]:
    settings = {
        "account": ACCOUNT,
        "token": TOKEN,
        "sender": SENDER,
        "public_url": "https://appointments.example.police.uk",
        "base_url": server.url,
    }
    gateway = TwilioGateway(**settings | given)
    try:
        yield gateway
    finally:
        await gateway.close()


@pytest.fixture(params=["screen", "twilio"])
async def gateway(request, database, twilio) -> AsyncIterator[Gateway]:
    if request.param == "screen":
        yield ScreenGateway(database)
    else:
        async with gateway_to(twilio) as way_out:
            yield way_out


async def test_what_was_sent_is_listed_for_its_number_with_its_body_and_id(gateway):
    taken = await gateway.send(ANNA, "One: é £ https://x.example/j/a", key="1" * 32)
    other = await gateway.send(BEN, "Two", key="2" * 32)
    assert taken.state in {State.SENT, State.DELIVERED}
    assert await gateway.list_taken(ANNA, since=utc_now()) == [taken]
    assert await gateway.list_taken(BEN, since=utc_now()) == [other]
    assert await gateway.list_taken("+447700900789", since=utc_now()) == []


async def test_the_same_body_twice_is_two_messages_with_ids_of_their_own(gateway):
    taken = [await gateway.send(ANNA, "Same", key=key * 32) for key in "12"]
    assert len({message.provider_id for message in taken}) == 2
    assert len(await gateway.list_taken(ANNA, since=utc_now() - LONG_AGO)) == 2


async def test_what_was_taken_long_before_is_not_listed(gateway):
    await gateway.send(ANNA, "Old", key="1" * 32)
    assert await gateway.list_taken(ANNA, since=utc_now() + timedelta(minutes=5)) == []


async def test_each_message_can_be_asked_after(gateway):
    taken = await gateway.send(ANNA, "One", key="1" * 32)
    assert await gateway.get_state(taken.provider_id) == taken.state
    assert gateway.longest_seconds > 0


async def test_twilio_is_given_sender_and_a_callback_that_names_the_text(twilio):
    async with gateway_to(twilio) as gateway:
        await gateway.send(ANNA, "One", key="1" * 32)
    async with gateway_to(twilio, sender="MG" + "1" * 32) as gateway:
        await gateway.send(ANNA, "Two", key="2" * 32)
    first, second = twilio.messages
    assert (first.sender, second.sender) == (SENDER, "MG" + "1" * 32)
    assert first.callback == f"https://appointments.example.police.uk/texts/twilio/status?text={'1' * 32}"


@pytest.mark.parametrize(
    ("fault", "raised", "code"),
    [
        (("status", 400, 21211), NotTaken, "twilio_21211"),
        (("status", 403, 21408), NotTaken, "twilio_21408"),
        (("status", 429, 20429), Unsure, "twilio_20429"),
        (("status", 500, 20500), Unsure, "twilio_20500"),
        (("status", 503, 20503), Unsure, "twilio_20503"),
        (("swallow",), Unsure, "timeout"),
        (("keep_and_hang",), Unsure, "timeout"),
        (("keep_and_drop",), Unsure, "unreachable"),
    ],
)
async def test_a_refusal_is_told_from_not_knowing_and_neither_carries_the_number(twilio, fault, raised, code):
    twilio.faults.append(fault)
    hangs = code == "timeout"  # only then is there an end to wait for
    async with gateway_to(twilio, longest_seconds=0.3 if hangs else 60) as gateway:
        with pytest.raises(raised) as problem:
            await gateway.send(ANNA, "One", key="1" * 32)
    assert problem.value.code == code
    assert problem.value.__cause__ is None
    assert problem.value.__suppress_context__ or problem.value.__context__ is None
    assert "7700" not in repr(problem.value)


async def test_the_account_can_be_tried_without_sending_anything(twilio):
    async with gateway_to(twilio) as gateway:
        await gateway.check()
        assert await gateway.list_taken(ANNA, since=utc_now()) == []
    async with gateway_to(twilio, token="another") as gateway:
        with pytest.raises(Unsure):
            await gateway.check()


async def test_a_wrong_auth_token_is_the_operators_fault_and_fails_no_text(twilio):
    async with gateway_to(twilio, token="another") as gateway:
        with pytest.raises(Unsure, match="20003"):
            await gateway.send(ANNA, "One", key="1" * 32)
        with pytest.raises(Unsure):
            await gateway.list_taken(ANNA, since=utc_now())


async def test_nobody_listening_and_unknown_messages_are_not_knowing(twilio):
    async with gateway_to(twilio, base_url="http://127.0.0.1:9") as gateway:
        with pytest.raises(Unsure):
            await gateway.send(ANNA, "One", key="1" * 32)
    async with gateway_to(twilio) as gateway:
        with pytest.raises(Unsure):
            await gateway.get_state("SM" + "f" * 32)
        twilio.list_faults.append(("status", 500, 20500))
        with pytest.raises(Unsure):
            await gateway.list_taken(ANNA, since=utc_now())


async def test_a_message_still_in_twilios_queue_is_listed_too(twilio):
    async with gateway_to(twilio) as gateway:
        await gateway.send(ANNA, "One", key="1" * 32)
        assert twilio.messages[0].sent_at is None
        assert len(await gateway.list_taken(ANNA, since=utc_now())) == 1


async def test_more_messages_than_a_page_are_all_listed(twilio):
    async with gateway_to(twilio) as gateway:
        await asyncio.gather(*(gateway.send(ANNA, f"Text {n}", key=f"{n:032x}") for n in range(120)))
        listed = await gateway.list_taken(ANNA, since=utc_now())
    assert {message.body for message in listed} == {f"Text {n}" for n in range(120)}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("queued", State.SENT),
        ("sent", State.SENT),
        ("delivered", State.DELIVERED),
        ("undelivered", State.FAILED),
        ("failed", State.FAILED),
        ("something new", State.SENT),
    ],
)
async def test_twilios_statuses_are_read(twilio, status, state):
    async with gateway_to(twilio) as gateway:
        taken = await gateway.send(ANNA, "One", key="1" * 32)
        twilio.messages[0].status = status
        assert await gateway.get_state(taken.provider_id) is state


async def test_the_client_itself_writes_no_number_into_any_log(twilio, caplog):
    caplog.set_level(logging.DEBUG)
    twilio.faults.extend([("status", 400, 21211), ("keep_and_drop",)])
    async with gateway_to(twilio) as gateway:
        for key in "123":
            with suppress(NotTaken, Unsure):
                await gateway.send(ANNA, "https://x.example/j/secret-token", key=key * 32)
        await gateway.list_taken(ANNA, since=datetime.now(UTC))
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp")]
    assert not [line for line in ours if "7700900" in line or "secret-token" in line]
