"""Lists of holds, of reviews, and of what is due for review: complete, in order, page by page."""

from typing import Any

from evidence_store.keeping.storage import prepare
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, with_another_mac

REASON = {"reason": "Trial in May"}
OTHER = "AP-0000-0000"


async def pages(wire: Wire, path: str, name: str, *, limit: int, **who: str) -> list[dict[str, Any]]:
    """Read a list to its end."""
    found, after = [], ""
    while after is not None:
        joint = "&" if "?" in path else "?"
        said = await wire.ask("GET", f"{path}{joint}limit={limit}&after={after}", **who)
        assert len(said[name]) <= limit
        found += said[name]
        after = said["next"]
    return found


async def kept(wire: Wire, start: str, seed: int, incident: str = INCIDENT, code: str = "other") -> str:
    """Put an object that is kept from a day."""
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(600, seed), **{"Evidence-Incident": incident})
    classes = [{"code": code, "starts_at": f"{start}T00:00:00Z"}]
    await wire.ask("PUT", f"/objects/{object_id}/retention", {"classes": classes, **REASON})
    return object_id


@both_databases
async def test_holds_and_reviews_are_listed_to_the_end_page_by_page(wire: Wire, clock):
    holds, reviews = [], []
    for n in range(5):
        made = await wire.ask("POST", "/holds", {"incident": OTHER, **REASON}, status=201)
        holds.append(made["id"])
        object_id = await kept(wire, "2010-01-01", n)
        asked = {"outcome": "dispose", **REASON}
        reviews.append((await wire.ask("POST", f"/objects/{object_id}/reviews", asked, status=201))["id"])
        clock.move(seconds=n % 2)  # some at the same instant
    listed = await pages(wire, f"/holds?incident={OTHER}", "holds", limit=2)
    assert sorted(one["id"] for one in listed) == sorted(holds)
    assert [one["placed_at"] for one in listed] == sorted(one["placed_at"] for one in listed)
    listed = await pages(wire, "/reviews", "reviews", limit=2)
    assert sorted(one["id"] for one in listed) == sorted(reviews)
    assert await pages(wire, f"/reviews?incident={OTHER}", "reviews", limit=2) == []
    assert len(await pages(wire, f"/reviews?incident={INCIDENT}", "reviews", limit=100)) == 5
    await wire.ask("GET", f"/reviews?incident={INCIDENT}", status=403, **wire.token(Scope.DISPOSE, incident=OTHER))


@both_databases
async def test_what_is_due_for_review_is_found_soonest_first(wire: Wire, clock):
    """`other` keeps for six years; the clock stands at 2 March 2026."""
    soon, ended = await kept(wire, "2020-03-20", 1), await kept(wire, "2015-01-01", 2)
    await kept(wire, "2025-01-01", 3)
    elsewhere = await kept(wire, "2016-01-01", 4, OTHER)
    reviewed = await kept(wire, "2014-01-01", 5)
    await wire.put(signing.new_id(), jpeg(600, 6))  # without a class no end is known
    hold = await wire.ask("POST", "/holds", {"incident": INCIDENT, "object": soon, **REASON}, status=201)
    assert (await wire.ask("GET", "/due-for-review"))["objects"][0]["object"] == reviewed
    asked = {"outcome": "dispose", **REASON}
    review = await wire.ask("POST", f"/objects/{reviewed}/reviews", asked, status=201, **wire.token(name="ann"))
    due = await pages(wire, "/due-for-review", "objects", limit=1)
    assert [(one["object"], one["held"]) for one in due] == [(ended, False), (elsewhere, False), (soon, True)]
    assert due[0]["keep_until"] == "2021-01-01T00:00:00Z"
    assert [line["details"]["objects"] for line in await wire.lines() if line["action"] == "viewed"][-1] == [soon]
    assert [one["object"] for one in await pages(wire, f"/due-for-review?incident={OTHER}", "objects", limit=9)] == [
        elsewhere
    ]
    own = await pages(wire, "/due-for-review", "objects", limit=9, **wire.token(Scope.REVIEW, incident=OTHER))
    assert [one["object"] for one in own] == [elsewhere]
    before = await pages(wire, "/due-for-review?before=2026-03-02T00:00:00Z", "objects", limit=9)
    assert [one["object"] for one in before] == [ended, elsewhere]
    await wire.ask("POST", f"/reviews/{review['id']}/approve", REASON, **wire.token(name="bob"))
    await wire.ask("POST", f"/holds/{hold['id']}/release", REASON)
    assert [one["held"] for one in await pages(wire, "/due-for-review", "objects", limit=9)] == [False] * 3


@both_databases
async def test_a_change_of_the_retention_table_changes_what_is_due(wire: Wire):
    row = {"title": "Short", "years": 1, "source": "Force policy"}
    await wire.ask("PUT", "/retention-classes/short", row)
    object_id = await kept(wire, "2024-06-01", 1, code="short")

    async def due() -> list[str]:
        return [one["object"] for one in await pages(wire, "/due-for-review", "objects", limit=9)]

    assert await due() == [object_id]
    await wire.ask("PUT", "/retention-classes/short", row | {"years": 3})
    assert await due() == []
    await wire.ask("PUT", "/retention-classes/short", row | {"years": None})
    assert await due() == []
    await wire.ask("PUT", "/retention-classes/short", row)
    async with wire.store.database.begin() as db:  # a store of before has classes and no ends
        await db.exec_driver_sql("DELETE FROM retention_ends")
        await prepare(db)
    assert await due() == [object_id]
    await wire.ask("PUT", f"/objects/{object_id}/retention", {"classes": [], **REASON})
    assert await due() == []


async def test_a_cursor_is_good_for_its_own_question_only(wire: Wire):
    for n in range(2):
        await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=201)
        await kept(wire, "2010-01-01", n)
    holds = (await wire.ask("GET", f"/holds?incident={INCIDENT}&limit=1"))["next"]
    due = (await wire.ask("GET", "/due-for-review?limit=1"))["next"]
    for path in (
        f"/holds?incident={OTHER}&after={holds}",
        f"/due-for-review?after={holds}",
        f"/holds?incident={INCIDENT}&after={due}",
        f"/due-for-review?incident={INCIDENT}&after={due}",
        f"/holds?incident={INCIDENT}&after={with_another_mac(holds)}",
        "/holds",
        "/due-for-review?before=soon",
        "/due-for-review?before=2026-03-02T00:00:00",
        "/reviews?limit=101",
        "/reviews?more=1",
        f"/holds?incident={INCIDENT}&incident={OTHER}",
    ):
        await wire.ask("GET", path, status=400)
