"""Staff sign in, are locked out, and reach only what their role allows."""

import pytest

from tests.conftest import PASSWORD
from video_server.accounts import passwords
from video_server.accounts.model import Role
from video_server.accounts.views import safe_next


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
