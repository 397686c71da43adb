"""How often one token, upload or incident may ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.admission.limits import Limits
from evidence_store.app_keys import LIMITS
from evidence_store.errors import TooFast, TooMany
from tests.evidence.conftest import Wire, jpeg


class Seconds:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def test_a_minutes_worth_may_come_at_once_and_then_it_is_spread(seconds):
    limits = Limits(now=seconds)
    assert [limits.take("token", "a", 6) for _ in range(6)] == [0.0] * 6
    assert limits.take("token", "a", 6) == pytest.approx(10)
    assert limits.take("token", "a", 6) == pytest.approx(10)  # what was refused is not counted
    assert limits.take("token", "b", 6) == 0.0
    seconds.now += 9.9
    assert limits.take("token", "a", 6) == pytest.approx(0.1)
    seconds.now += 0.1
    assert limits.take("token", "a", 6) == 0.0
    assert limits.take("token", "a", 6) == pytest.approx(10)
    seconds.now += 3600
    assert [limits.take("token", "a", 6) for _ in range(6)] == [0.0] * 6
    assert limits.take("token", "a", 6) > 0
    assert [limits.take("token", "a", 0) for _ in range(100)] == [0.0] * 100


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200), st.integers(1, 20))
def test_no_two_minutes_ever_let_through_more_than_three_times_the_limit(pauses, per_minute):
    seconds = Seconds()
    limits, passed = Limits(now=seconds), []
    for pause in pauses:
        seconds.now += pause
        if not limits.take("token", "a", per_minute):
            passed.append(seconds.now)
    for start in passed:
        assert sum(start <= one <= start + 120 for one in passed) <= 3 * per_minute + 1


def test_memory_is_bounded_and_those_longest_silent_are_forgotten(seconds):
    limits = Limits(now=seconds, most_keys=100)
    limits.take("token", "first", 1)
    for n in range(1000):
        limits.take("token", f"t{n}", 1)
        assert limits.take("token", "busy", 10_000) == 0.0
    assert len(limits) == 100
    assert limits.take("token", "first", 1) == 0.0


def limit(wire: Wire, seconds: Seconds, **settings: int) -> None:
    wire.app[LIMITS]._now = seconds
    wire.store.settings = wire.store.settings.model_copy(update=settings)


async def test_a_token_that_asks_too_often_is_told_when_to_come_back(wire: Wire, seconds):
    limit(wire, seconds, token_per_minute=3)
    token, other = wire.token(), wire.token()
    for _ in range(3):
        await wire.ask("GET", "/objects", **token)
    url = "/evidence/v1/objects"
    async with wire.http.get(url, headers=token) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "20")
        assert answer.content_type == "application/problem+json"
        said = await answer.json()
        assert (said["code"], said["detail"]) == (TooFast.code, "At most 3 requests a minute for one token.")
    await wire.ask("GET", "/objects", **other)
    seconds.now += 20
    await wire.ask("GET", "/objects", **token)
    async with wire.http.get("/metrics") as answer:
        assert 'evidence_too_fast_total{of="token"}' in await answer.text()


async def test_a_page_cannot_hammer_its_upload_nor_open_uploads_without_end(wire: Wire, seconds):
    limit(wire, seconds, upload_per_minute=4, incident_uploads_per_minute=3)
    data = jpeg(900)
    path, auth = await wire.create(data)  # one of the upload's four
    for _ in range(3):
        assert await wire.stand(path, auth) == 0
    await wire.patch(path, auth, 0, data, status=429)
    seconds.now += 15
    await wire.patch(path, auth, 0, data)
    await wire.create(data)
    seconds.now += 0.1
    await wire.create(data)
    await wire.create(data, status=429)
    await wire.create(data, grant=wire.grant(incident="AP-0000-0000"))
    async with wire.http.post(f"{path}/bearer", headers={"Authorization": f"Grant {wire.grant()}"}) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) <= 20


async def test_a_store_full_of_open_uploads_says_when_to_try_again(wire: Wire):
    wire.store.settings = wire.store.settings.model_copy(update={"max_open_uploads": 1})
    await wire.create(jpeg(900))
    headers = {"Authorization": f"Grant {wire.grant()}", "Tus-Resumable": "1.0.0", "Upload-Length": "900"}
    async with wire.http.post(
        "/evidence/files/", headers=headers | {"Upload-Metadata": "filetype aW1hZ2UvanBlZw=="}
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (429, TooMany.code)
        assert answer.headers["Retry-After"] == "60"
