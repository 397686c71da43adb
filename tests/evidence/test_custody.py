"""Search, labels, notes and links: what evidence staff find and say, and what the ledger keeps of it."""

import asyncio
import hashlib
import json

import pytest

from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from evidence_store.verify import verify
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256, with_another_mac

LABEL = {"mark": "JS/1", "description": "Photo of the broken window", "maker": "Jo Smith"}
SIGNED = LABEL | {"signed": {"at": "2026-03-02T10:00:00Z", "how": "In the call, with the agreed word"}}


async def test_objects_are_found_by_each_condition_and_by_all_together(wire: Wire):
    first, second, third = signing.new_id(), signing.new_id(), signing.new_id()
    begun = wire.clock()
    await wire.put(first, jpeg(100, 1), **{"Evidence-Officer": "CN%204021", "Evidence-Kind": "photo"})
    wire.clock.move(hours=1)
    await wire.put(second, jpeg(100, 2), **{"Evidence-Officer": "CN%205000", "Evidence-Kind": "statement"})
    await wire.put(
        third, b"%PDF-1.7\n", kind="application/pdf", **{"Evidence-Incident": "AP-0000-0001", "Evidence-Kind": "photo"}
    )
    grant = wire.grant(officer="CN 4021")
    uploaded = await wire.upload(jpeg(700, 4), grant=grant)
    path, auth = await wire.create(jpeg(800, 5))
    await wire.patch(path, auth, 0, jpeg(800, 5))
    await wire.digest(path, auth, sha256(b"else"))
    suspicious = path.rsplit("/", 1)[1]
    await wire.ask("PUT", f"/objects/{second}/label", LABEL)

    async def find(**asked: str) -> list[str]:
        async with wire.http.get("/evidence/v1/objects", headers=wire.token(), params=asked) as answer:
            assert answer.status == 200, await answer.text()
            return [one["id"] for one in (await answer.json())["objects"]]

    later = begun.replace(microsecond=0, second=begun.second).isoformat()
    assert await find() == [first, second, third, uploaded, suspicious]
    assert await find(officer="CN 4021") == [first, uploaded]
    assert await find(kind="photo") == [first, third]
    assert await find(incident="AP-0000-0001") == [third]
    assert await find(mark="JS/1") == [second]
    assert await find(state="quarantined") == [suspicious]
    assert await find(sha256=sha256(jpeg(100, 2))) == [second]
    assert await find(received_before=wire.clock().isoformat(), kind="photo") == [first]
    assert await find(received_from=wire.clock().isoformat(), kind="photo") == [third]
    assert await find(received_from=later, officer="CN 4021", kind="upload", incident=INCIDENT) == [uploaded]
    assert await find(mark="JS/2") == []
    assert await find(media="document") == [third]
    assert await find(media="picture", incident=INCIDENT) == [first, second, uploaded, suspicious]
    assert await find(media="film") == await find(media="sound") == []


@both_databases
async def test_cursors_are_opaque_and_good_for_their_own_search_only(wire: Wire):
    ids = [signing.new_id() for _ in range(5)]
    for n, object_id in enumerate(ids):
        await wire.put(object_id, jpeg(100, n))
    found, after = [], ""
    while after is not None:
        page = await wire.ask("GET", f"/objects?incident={INCIDENT}&limit=2&after={after}")
        assert len(page["objects"]) <= 2
        found, kept, after = found + [one["id"] for one in page["objects"]], after, page["next"]
    assert found == ids
    assert (await wire.ask("GET", f"/objects?kind=photo&after={kept}", status=400))["code"] == "bad_request"
    for wrong in ["after=4", f"after={with_another_mac(kept)}", "limit=0", "limit=101", "kind=A", "mark=js", "offset=1",
                  "received_from=2026-01-01T00:00:00", "kind=a&kind=b", "state=sealing", "media=photo"]:  # fmt: skip
        await wire.ask("GET", f"/objects?{wrong}", status=400)


@both_databases
async def test_a_character_that_no_database_keeps_is_refused_in_words(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(100))
    for method, path, body in (
        ("POST", f"/objects/{object_id}/notes", {"text": "a\0b"}),
        ("PUT", f"/objects/{object_id}/label", LABEL | {"maker": "a\0b"}),
        ("POST", "/holds", {"incident": INCIDENT, "reason": "a\0bcdefghijkl"}),
        ("GET", "/objects?officer=%00", None),
    ):
        assert "U+0000" in (await wire.ask(method, path, body, status=400))["detail"]


@both_databases
async def test_looking_stands_in_the_ledger_before_it_is_answered(wire: Wire):
    object_id = await wire.upload(jpeg(700))
    for _ in range(3):
        await wire.ask("GET", f"/objects/{object_id}", **{"Evidence-Purpose": "disclosure"} | wire.token(Scope.READ))
    token = wire.token(Scope.READ)
    for _ in range(2):
        await wire.ask("GET", f"/objects?incident={INCIDENT}", **token)
    viewed = [line for line in await wire.lines() if line["action"] == "viewed"]
    assert [line["object"] for line in viewed] == [object_id] * 3 + [""]  # each token is a reader of its own
    assert {line["purpose"] for line in viewed[:3]} == {"disclosure"}
    assert viewed[3]["details"] == {"search": {"incident": INCIDENT}, "objects": [object_id]}
    assert (await verify(wire.store)).faults == []


@both_databases
async def test_a_label_changes_until_it_is_signed_and_its_words_are_committed_to(wire: Wire):
    object_id = await wire.upload(jpeg(700))
    first = await wire.ask("PUT", f"/objects/{object_id}/label", LABEL)
    again = await wire.ask("PUT", f"/objects/{object_id}/label", LABEL)
    assert again == first
    signed = await wire.ask("PUT", f"/objects/{object_id}/label", SIGNED)
    assert signed["signed_at"] == "2026-03-02T10:00:00Z"
    assert await wire.ask("PUT", f"/objects/{object_id}/label", SIGNED) == signed
    refused = await wire.ask("PUT", f"/objects/{object_id}/label", SIGNED | {"maker": "Jo Smyth"}, status=409)
    assert refused["code"] == "label_signed"
    assert (await wire.ask("GET", f"/objects/{object_id}"))["label"] == signed
    lines = [line for line in await wire.lines(object_id) if line["action"] == "annotated"]
    assert [line["details"]["commitment"] for line in lines] == [first["commitment"], signed["commitment"]]
    assert "Smith" not in json.dumps(lines)
    words = {name: signed[name] for name in ("nonce", "mark", "description", "maker", "signed_how")}
    words["signed_at"] = "2026-03-02T10:00:00.000000Z"
    said = json.dumps(words, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(said.encode()).hexdigest() == signed["commitment"]


@both_databases
async def test_a_mark_stands_once_in_an_incident_also_when_two_want_it_at_once(wire: Wire):
    ids = [await wire.upload(jpeg(700, n)) for n in range(4)]

    async def label(object_id: str) -> int:
        url = f"/evidence/v1/objects/{object_id}/label"
        async with wire.http.put(url, headers=wire.token(), json=LABEL) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*map(label, ids))) == [200, 409, 409, 409]
    other = signing.new_id()
    await wire.put(other, jpeg(100), **{"Evidence-Incident": "AP-0000-0001"})
    await wire.ask("PUT", f"/objects/{other}/label", LABEL)


@pytest.mark.parametrize(
    "changed",
    [{"mark": "js/1"}, {"mark": "JS"}, {"maker": " "}, {"description": "x" * 2001}, {"more": 1},
     {"signed": {"at": "2026-03-02T10:00:00", "how": "x"}}, {"signed": {"at": "2026-03-02T10:00:00Z"}}],
)  # fmt: skip
async def test_a_label_of_another_form_is_refused(wire: Wire, changed):
    object_id = await wire.upload(jpeg(700))
    await wire.ask("PUT", f"/objects/{object_id}/label", LABEL | changed, status=400)


@both_databases
async def test_a_note_that_is_sent_again_with_its_key_is_made_once(wire: Wire):
    object_id, token = await wire.upload(jpeg(700)), wire.token(Scope.ANNOTATE)
    sent = token | {"Idempotency-Key": "7f3c"}

    async def note() -> dict:
        return await wire.ask("POST", f"/objects/{object_id}/notes", {"text": "Blurred"}, status=201, **sent)

    made = await asyncio.gather(*(note() for _ in range(4)))
    assert all(one == made[0] for one in made)
    reused = await wire.ask("POST", f"/objects/{object_id}/notes", {"text": "Sharp"}, status=422, **sent)
    assert reused["code"] == "key_reused"
    for key in ("", "x" * 121, "é"):
        await wire.ask(
            "POST", f"/objects/{object_id}/notes", {"text": "Sharp"}, status=400, **token | {"Idempotency-Key": key}
        )
    await wire.ask("POST", f"/objects/{object_id}/notes", {"text": "Blurred"}, status=201)
    assert [one["text"] for one in (await wire.ask("GET", f"/objects/{object_id}"))["notes"]] == ["Blurred"] * 2
    assert [line["action"] for line in await wire.lines(object_id)].count("annotated") == 2


@both_databases
async def test_a_copy_is_linked_to_its_original_by_digest(wire: Wire):
    original, copy = await wire.upload(jpeg(700, 1)), await wire.upload(jpeg(600, 2))
    foreign = signing.new_id()
    await wire.put(foreign, jpeg(500, 3), **{"Evidence-Incident": "AP-0000-0001"})
    asked = {"sha256": sha256(jpeg(700, 1)), "relation": "redacted"}
    made = await wire.ask("PUT", f"/objects/{copy}/original", asked)
    assert (made["object"], made["original"], made["sha256"]) == (copy, original, asked["sha256"])
    assert await wire.ask("PUT", f"/objects/{copy}/original", asked) == made
    assert (await wire.ask("GET", f"/objects/{copy}"))["original"] == made
    assert (await wire.ask("GET", f"/objects/{original}"))["copies"] == [made]
    await wire.ask("PUT", f"/objects/{copy}/original", asked | {"relation": "preview"}, status=409)
    backwards = {"sha256": sha256(jpeg(600, 2)), "relation": "other"}
    await wire.ask("PUT", f"/objects/{original}/original", backwards, status=409)
    await wire.ask("PUT", f"/objects/{foreign}/original", asked, status=404)
    await wire.ask("PUT", f"/objects/{original}/original", asked, status=404)
    linked = [line for line in await wire.lines(copy) if line["action"] == "linked"]
    assert [line["details"]["original"] for line in linked] == [original]


async def test_a_token_for_another_incident_cannot_label_or_find(wire: Wire):
    object_id = await wire.upload(jpeg(700))
    foreign = wire.token(Scope.READ, Scope.ANNOTATE, incident="AP-0000-0000")
    await wire.ask("PUT", f"/objects/{object_id}/label", LABEL, status=404, **foreign)
    await wire.ask("POST", f"/objects/{object_id}/notes", {"text": "x"}, status=404, **foreign)
    await wire.ask("GET", f"/objects/{object_id}", status=404, **foreign)
    assert (await wire.ask("GET", "/objects?mark=JS/1", **foreign))["objects"] == []
