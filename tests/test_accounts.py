"""Staff sign in, are locked out, and reach only what their role allows."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select
from structlog.testing import capture_logs

from tests.conftest import PASSWORD
from video_server.accounts import allowances, passwords, service
from video_server.accounts.model import Role
from video_server.accounts.views import DEVICE_COOKIE, safe_next
from video_server.audit.storage import audit as entries
from video_server.core.keys import KeyRing


async def test_right_password_opens_a_session_that_sign_out_ends(browser, add_staff, sign_in):
    await add_staff("smith", Role.OFFICER)
    client = await sign_in("smith")
    assert "__Host-staff" in {cookie.key for cookie in client.session.cookie_jar}
    answer = await client.post("/sign-out", allow_redirects=False)
    assert answer.status == 303
    again = await client.post("/sign-out", allow_redirects=False)
    assert again.status == 401


async def test_unknown_user_and_wrong_password_are_told_alike(browser, add_staff):
    await add_staff("smith", Role.OFFICER)
    client = await browser()
    pages = []
    for username in ("smith", "nobody"):
        answer = await client.post("/sign-in", data={"username": username, "password": "wrong"})
        assert answer.status == 422
        pages.append((await answer.text()).split("nonce=")[0:1])
    assert pages[0] == pages[1]


async def test_repeated_failure_locks_out_even_the_right_password_until_the_time_is_over(browser, add_staff, clock):
    await add_staff("smith", Role.OFFICER)
    client = await browser()
    for _ in range(5):
        await client.post("/sign-in", data={"username": "smith", "password": "wrong"})
    right = {"username": "smith", "password": PASSWORD}
    assert (await client.post("/sign-in", data=right, allow_redirects=False)).status == 429
    clock.move(minutes=16)
    assert (await client.post("/sign-in", data=right, allow_redirects=False)).status == 303


async def try_in(
    database, clock, username="smith", password="wrong", address="192.0.2.1", **more
) -> type[Exception] | None:
    given = {"username": username, "password": password, "address": address, **more}
    try:
        await service.sign_in(database, **given, now=clock())
    except (service.SignInRefused, service.LockedOut) as refusal:
        return type(refusal)
    return None


async def test_who_fails_at_one_address_shuts_out_nobody_at_another(database, add_staff, clock):
    await add_staff("smith", Role.OFFICER)
    for _ in range(8):
        await try_in(database, clock)
    assert await try_in(database, clock, password=PASSWORD) is service.LockedOut
    assert await try_in(database, clock, password=PASSWORD, address="192.0.2.2") is None


async def test_guessing_at_one_account_from_many_addresses_is_bounded(database, add_staff, clock):
    await add_staff("smith", Role.OFFICER)
    told = [await try_in(database, clock, address=f"192.0.2.{number // 4}") for number in range(51)]
    assert told == [service.SignInRefused] * 50 + [service.LockedOut]
    assert await try_in(database, clock, password=PASSWORD, address="198.51.100.1") is service.LockedOut
    clock.move(minutes=16)
    assert await try_in(database, clock, password=PASSWORD, address="198.51.100.1") is None


async def test_strangers_who_use_up_an_account_keep_no_known_browser_out_and_are_told_of(database, add_staff, clock):
    person = await add_staff("smith", Role.OFFICER)
    known, locks = {"device_id": "d" * 32}, REGISTRY.get_sample_value("sign_in_locks_total", {"of": "account"}) or 0
    with capture_logs() as logged:
        for number in range(60):
            await try_in(database, clock, address=f"192.0.2.{number // 4}")
    assert await try_in(database, clock, password=PASSWORD, address="198.51.100.1") is service.LockedOut
    assert await try_in(database, clock, password=PASSWORD, address="192.0.2.1", **known) is None
    told = [await try_in(database, clock, **known) for _ in range(6)]
    assert told == [service.SignInRefused] * 4 + [service.LockedOut] * 2, "it has no more guesses than an address has"
    assert await try_in(database, clock, password=PASSWORD, device_id="e" * 32) is None, "nor any other known one's"
    own = [line for line in logged if line["event"] != "relay_not_found"]  # a slow start may still tell of that
    alarms = [(line["event"], line["log_level"], line.get("staff")) for line in own]
    assert alarms == [("account_closed_to_strangers", "warning", person.id)], "told once, not at every guess"
    assert REGISTRY.get_sample_value("sign_in_locks_total", {"of": "account"}) == locks + 1
    async with database.read() as db:
        rows = await db.execute(select(entries.c.details).where(entries.c.action == "accounts.sign_in_failed"))
    assert [row.details["locked"] for row in rows if "account" in row.details.get("locked", "")] == ["account"]


async def test_a_browser_is_known_to_those_who_signed_in_in_it_and_to_nobody_else(browser, add_staff, key_ring):
    for name, number in (("smith", "1"), ("jones", "2")):
        await add_staff(name, Role.OFFICER, collar_number=number)
    shared, stranger = await browser(), await browser()
    for name in ("smith", "jones"):
        await shared.post("/sign-in", data={"username": name, "password": PASSWORD}, allow_redirects=False)
    [cookie] = [one for one in shared.session.cookie_jar if one.key == DEVICE_COOKIE]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Strict")
    device = allowances.read_device(cookie.value)
    assert [device.knows(name, key_ring) for name in ("smith", "jones", "brown")] == [True, True, False]
    for _ in range(5):
        await stranger.post("/sign-in", data={"username": "smith", "password": "wrong"})
    right = {"username": "smith", "password": PASSWORD}
    assert (await stranger.post("/sign-in", data=right, allow_redirects=False)).status == 429
    assert (await shared.post("/sign-in", data=right, allow_redirects=False)).status == 303, "behind the same address"


def test_a_browsers_cookie_cannot_be_made_moved_or_grow():
    key_ring = KeyRing(bytes(32))
    device = allowances.read_device("").after("smith", key_ring)
    assert allowances.read_device(device.write()) == device
    other = allowances.Device("0" * 32, device.marks)
    assert not other.knows("smith", key_ring), "marks are of their own browser"
    for forged in ("", "x", f"{device.id}.", f"{device.id}.{'A' * 22}", device.write() + "é", "." * 5000):
        assert not allowances.read_device(forged).knows("smith", key_ring)
    for number in range(30):
        device = device.after(f"officer{number}", key_ring)
    assert len(device.marks) == 12
    assert (device.knows("officer29", key_ring), device.knows("smith", key_ring)) == (True, False)
    assert device.after("officer29", key_ring) == device


async def test_a_username_that_nobody_has_is_told_the_same_at_the_same_counts(database, add_staff, clock):
    await add_staff("smith", Role.OFFICER)
    told = [[await try_in(database, clock, username=username) for _ in range(7)] for username in ("smith", "nobody")]
    assert told[0] == told[1] == [service.SignInRefused] * 4 + [service.LockedOut] * 3


async def test_success_is_not_counted_against_an_address_and_failure_is(database, add_staff, clock, monkeypatch):
    monkeypatch.setattr(allowances, "MOST_FAILURES_OF_ADDRESS", 3)
    await add_staff("smith", Role.OFFICER)
    for _ in range(5):
        assert await try_in(database, clock, password=PASSWORD) is None
    for name in ("a", "b", "c"):
        assert await try_in(database, clock, username=name) is service.SignInRefused
    assert await try_in(database, clock, password=PASSWORD) is service.LockedOut


async def test_guesses_at_the_same_time_get_no_more_answers_than_one_after_the_other(database, add_staff, clock):
    await add_staff("smith", Role.OFFICER)
    told = await asyncio.gather(*(try_in(database, clock) for _ in range(12)))
    assert told.count(service.SignInRefused) == 4


async def test_a_new_password_lifts_the_lock_out(database, add_staff, clock):
    person = await add_staff("smith", Role.OFFICER)
    for _ in range(5):
        await try_in(database, clock)
    password_hash = await passwords.hash_password("another long password")
    async with database.begin() as db:
        await service.set_password(db, person.id, password_hash=password_hash, now=clock())
    assert await try_in(database, clock, password="another long password") is None


async def test_a_disabled_account_is_out_at_once_and_cannot_sign_in(database, add_staff, sign_in, clock):
    person = await add_staff("smith", Role.OFFICER)
    client = await sign_in("smith")
    async with database.begin() as db:
        await service.disable(db, person.id, now=clock())
    assert (await client.post("/sign-out", allow_redirects=False)).status == 401
    assert await try_in(database, clock, password=PASSWORD) is service.SignInRefused


async def test_a_forged_origin_is_refused(browser, add_staff):
    await add_staff("smith", Role.OFFICER)
    client = await browser()
    del client.session.headers["Sec-Fetch-Site"]
    for origin in ("https://evil.example", "null", ""):
        answer = await client.post(
            "/sign-in", data={"username": "smith", "password": PASSWORD}, headers={"Origin": origin}
        )
        assert answer.status == 403


async def test_an_idle_session_dies(add_staff, sign_in, clock):
    await add_staff("smith", Role.OFFICER)
    client = await sign_in("smith")
    clock.move(hours=2, minutes=1)
    assert (await client.post("/sign-out", allow_redirects=False)).status == 401


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil", "", "booth"])
def test_sign_in_never_leads_to_another_host(path):
    assert safe_next(path) is None


async def test_an_unknown_user_costs_the_same_work_and_never_matches():
    assert not await passwords.matches(None, "anything")


async def test_guessing_a_password_that_was_read_costs_what_rfc_9106_recommends():
    password_hash = await passwords.hash_password(PASSWORD)
    assert password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.matches(password_hash, PASSWORD)
    assert not await passwords.matches(password_hash, f"{PASSWORD} ")
