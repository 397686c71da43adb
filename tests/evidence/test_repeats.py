"""Requests sent again with an Idempotency-Key: carried out once, answered alike, also late; for every write."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from evidence_store import access, repeats
from evidence_store.admission.storage import forget_repeats
from evidence_store.openapi import document
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256

LABEL = {"mark": "JS/1", "description": "Photo of the window", "maker": "Jo Smith"}
REASON = {"reason": "Trial in May"}
KEY = {"Idempotency-Key": "7f3c-1"}


async def put(wire: Wire, seed: int = 1) -> str:
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(700, seed))
    return object_id


_BY_THEMSELVES = {"objects.put", "objects.post", "packages.make"}
"""An object's id is its key, or follows from it; a package is given out anew each time, with lines of its own."""


async def test_every_write_of_the_storage_api_heeds_the_key_and_the_description_says_so(wire: Wire):
    paths = document()["paths"]
    writes = 0
    for route in wire.app.router.routes():
        if route.resource.canonical == "/evidence/" or route.resource.canonical.startswith("/evidence/view/"):
            continue  # staff's pages are not the API
        is_write = route.method in {"POST", "PUT", "PATCH", "DELETE"} and route.name not in _BY_THEMSELVES
        guard = access.guard_of(route.handler) or ""
        said = paths[route.resource.canonical].get(route.method.lower(), {}).get("parameters", [])
        is_said = any(one["name"] == repeats.HEADER for one in said) and route.name != "objects.post"
        heeds = is_write and guard.startswith("token:")
        assert (repeats.is_once(route.handler), is_said) == (heeds, heeds), (route.method, route.resource.canonical)
        writes += heeds
    assert writes > 10


Asked = tuple[str, str, Any, int]


async def label(wire: Wire) -> Asked:
    return "PUT", f"/objects/{await put(wire)}/label", LABEL, 200


async def link(wire: Wire) -> Asked:
    await put(wire)
    return "PUT", f"/objects/{await put(wire, 2)}/original", {"sha256": sha256(jpeg(700)), "relation": "preview"}, 200


async def hold(wire: Wire) -> Asked:
    return "POST", "/holds", {"incident": INCIDENT, **REASON}, 201


async def release(wire: Wire) -> Asked:
    made = await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=201)
    return "POST", f"/holds/{made['id']}/release", REASON, 200


async def table(wire: Wire) -> Asked:
    return "PUT", "/retention-classes/arson", {"title": "Arson", "years": 30, "source": "Force policy"}, 200


async def retention(wire: Wire) -> Asked:
    return "PUT", f"/objects/{await put(wire)}/retention", {"classes": [{"code": "other"}], **REASON}, 200


async def review(wire: Wire) -> Asked:
    return "POST", f"/objects/{await put(wire)}/reviews", {"outcome": "keep", **REASON}, 201


async def glass(wire: Wire) -> Asked:
    return "POST", f"/objects/{await put(wire)}/break-glass", {"reason": "A child may be in danger"}, 201


@both_databases
@pytest.mark.parametrize("write", [label, link, hold, release, table, retention, review, glass])
async def test_a_write_that_is_sent_again_is_done_once_and_answered_alike(
    wire: Wire, write: Callable[[Wire], Awaitable[Asked]]
):
    method, path, body, status = await write(wire)
    token = wire.token(name="ann")
    first = await wire.ask(method, path, body, status=status, **token, **KEY)
    size = len(await wire.lines())
    assert await wire.ask(method, path, body, status=status, **token, **KEY) == first
    refused = await wire.ask(method, path, body | {"reason": "Another one"}, status=422, **token, **KEY)
    assert refused["code"] == "key_reused"
    assert len(await wire.lines()) == size


@both_databases
async def test_a_late_repetition_does_not_undo_what_came_after(wire: Wire, clock):
    object_id, token = await put(wire), wire.token()
    here = f"/objects/{object_id}/label"
    first = await wire.ask("PUT", here, LABEL, **token, **KEY)
    await wire.ask("PUT", here, LABEL | {"mark": "JS/2"}, **token)
    assert await wire.ask("PUT", here, LABEL, **token, **KEY) == first
    assert (await wire.ask("GET", f"/objects/{object_id}"))["label"]["mark"] == "JS/2"
    other = await wire.ask("PUT", here, LABEL | {"mark": "JS/3"}, **wire.token(), **KEY)  # another token's key
    assert other["mark"] == "JS/3"
    async with wire.store.database.begin() as db:
        await forget_repeats(db, before=clock())
        await forget_repeats(db, before=clock.move(days=1, seconds=1) - repeats.KEPT)


async def test_what_was_refused_can_be_sent_again_under_its_key(wire: Wire):
    token, asked = wire.token(), {"incident": INCIDENT, "object": signing.new_id(), **REASON}
    await wire.ask("POST", "/holds", asked, status=404, **token, **KEY)
    await wire.put(asked["object"], jpeg(700))
    await wire.ask("POST", "/holds", asked, status=201, **token, **KEY)


async def test_a_grant_asked_for_again_is_for_the_same_upload_and_is_kept_nowhere(wire: Wire, clock):
    token, asked = wire.token(Scope.UPLOAD_GRANT), {"incident": INCIDENT, "max_bytes": 1000, "kinds": ["photo"]}
    first = await wire.ask("POST", "/grants", asked, status=201, **token, **KEY)
    clock.move(minutes=1)
    again = await wire.ask("POST", "/grants", asked, status=201, **token, **KEY)
    assert again["expires_at"] > first["expires_at"]
    await wire.ask("POST", "/grants", asked | {"max_bytes": 2000}, status=422, **token, **KEY)
    other = await wire.ask("POST", "/grants", asked, status=201, **token)
    places = [(await wire.create(jpeg(700), grant=made["grant"]))[0] for made in (first, again, other)]
    assert places[0] == places[1] != places[2]
    async with wire.store.database.read() as db:
        rows = (await db.exec_driver_sql("SELECT answer FROM repeats")).all()
    assert not any(first["grant"] in row[0] for row in rows)
