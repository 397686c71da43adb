"""The audit trail of one object: complete, provable, silent about others, and itself on record."""

import hashlib
import io
import json

import pypdf
import pytest

from evidence_store.court.words import say_action, say_actor
from evidence_store.model import Action
from evidence_store.refusals import NOTED_OF_SEALING
from evidence_store.sealing import signing
from evidence_store.sealing.notes import VerifierKey
from evidence_store.tokens import Scope
from evidence_store.view import words as words_of_pages
from tests.evidence import second_merkle
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256

OTHER = "AP-0000-0001"


def check_proofs(trail: dict) -> None:
    """Lead every line to the root that the ledger's key signed, by the second implementation of the tree."""
    checkpoint = VerifierKey.parse(trail["key"]).open(trail["checkpoint"])
    assert checkpoint.size == trail["size"]
    for line in trail["lines"]:
        path = [bytes.fromhex(step) for step in line["path"]]
        if line["leaf"] is None:
            continue
        leaf = line["leaf"].encode()
        assert hashlib.sha256(b"\x00" + leaf).hexdigest() == line["leaf_hash"]
        assert second_merkle.root_from_path(leaf, line["index"], trail["size"], path) == checkpoint.root
        said = json.loads(leaf)
        assert (said["sequence"], said["actor"], said["action"]) == (line["sequence"], line["actor"], line["action"])


@both_databases
async def test_a_trail_tells_all_that_was_done_with_an_object_and_proves_each_line(wire: Wire):
    await wire.ask("POST", "/holds", {"incident": INCIDENT, "reason": "Trial at Leamington Justice Centre"}, status=201)
    object_id = await wire.upload(jpeg(700))
    await wire.put(signing.new_id(), jpeg(100, 2))
    label = {"mark": "JS/1", "description": "Photo of the broken window", "maker": "Jo Smith"}
    await wire.ask("PUT", f"/objects/{object_id}/label", label)
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
        assert await answer.read() == jpeg(700)
    trail = await wire.ask("GET", f"/objects/{object_id}/trail", **{"Evidence-Purpose": "disclosure"})
    said = [(line["action"], line["purpose"]) for line in trail["lines"]]
    assert said == [
        ("held", "Trial at Leamington Justice Centre"), ("upload opened", ""), ("received", ""), ("annotated", ""),
        ("downloaded", ""), ("viewed", "disclosure"),
    ]  # fmt: skip
    assert (trail["mark"], trail["object"]["sha256"]) == ("JS/1", sha256(jpeg(700)))
    assert {line["digest"] for line in trail["lines"][2:]} == {sha256(jpeg(700))}
    assert trail["lines"][-1]["details"] == {"what": "audit trail"}
    assert trail["key"] == str(wire.store.keys.ledger.public)
    check_proofs(trail)


@both_databases
async def test_a_search_stands_in_the_trail_and_names_no_object_of_another_incident(wire: Wire):
    object_id, other = signing.new_id(), signing.new_id()
    await wire.put(object_id, jpeg(100))
    await wire.put(other, jpeg(100, 2), **{"Evidence-Incident": OTHER})
    await wire.ask("GET", "/objects?officer=", **{"Evidence-Purpose": f"looking into {OTHER}"})
    await wire.ask("GET", f"/objects?incident={INCIDENT}", **{"Evidence-Purpose": "case review"})
    await wire.ask("GET", f"/objects?incident={OTHER}")
    trail = await wire.ask("GET", f"/objects/{object_id}/trail", **wire.token(Scope.TRAIL, incident=INCIDENT))
    wide, narrow = trail["lines"][1:3]
    assert (wide["action"], wide["leaf"], wide["details"], wide["purpose"]) == ("viewed", None, {}, "")
    assert narrow["details"]["objects"] == [object_id]
    assert [line["action"] for line in trail["lines"]] == ["received", "viewed", "viewed", "viewed"]
    assert other not in json.dumps(trail)
    assert OTHER not in json.dumps(trail)
    check_proofs(trail)
    whole = (await wire.lines())[wide["sequence"] - 1]["leaf"]
    assert hashlib.sha256(b"\x00" + whole.encode()).hexdigest() == wide["leaf_hash"]


async def test_a_trail_of_very_many_lines_is_whole(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(100))
    for n in range(250):
        await wire.ask("GET", f"/objects/{object_id}", **{"Evidence-Purpose": f"look {n}"})
    trail = await wire.ask("GET", f"/objects/{object_id}/trail")
    assert [line["purpose"] for line in trail["lines"]] == ["", *(f"look {n}" for n in range(250)), ""]
    check_proofs(trail)


async def test_looking_at_an_object_and_at_its_trail_are_two_lines(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(100))
    one = wire.token()
    for _ in range(2):
        await wire.ask("GET", f"/objects/{object_id}", **one)
        trail = await wire.ask("GET", f"/objects/{object_id}/trail", **one)
    assert [line["details"].get("what") for line in trail["lines"][1:]] == [None, "audit trail"]


async def test_a_trail_of_another_incident_or_of_nothing_is_not_found(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(100))
    await wire.ask("GET", f"/objects/{object_id}/trail", status=404, **wire.token(Scope.TRAIL, incident=OTHER))
    await wire.ask("GET", f"/objects/{signing.new_id()}/trail", status=404)
    await wire.ask("GET", "/objects/nothing/trail", status=400)
    lines = await wire.lines(object_id)
    assert [line["action"] for line in lines] == ["received", "refused"]
    assert lines[1]["details"] == {"why": "not_found", "asked": "objects.trail"}


async def printed(wire: Wire, object_id: str, *, path: str = "trail.pdf", **headers: str) -> pypdf.PdfReader:
    url = f"/evidence/v1/objects/{object_id}/{path}"
    async with wire.http.get(url, headers=wire.token() | headers) as answer:
        assert (answer.status, answer.content_type) == (200, "application/pdf"), await answer.text()
        assert answer.headers["Content-Disposition"].startswith("attachment")
        return pypdf.PdfReader(io.BytesIO(await answer.read()))


def words(pdf: pypdf.PdfReader) -> str:
    """All that the document says, with single spaces."""
    return " ".join(" ".join(page.extract_text() for page in pdf.pages).split())


async def test_a_printed_trail_says_in_plain_words_who_did_what_when_and_why(wire: Wire):
    wire.clock.move(days=120)  # summer: an hour between London and UTC
    object_id = await wire.upload(jpeg(700))
    label = {"mark": "JS/1", "description": "Photo of the broken window", "maker": "Jo Smith"}
    await wire.ask("PUT", f"/objects/{object_id}/label", label)
    pdf = await printed(wire, object_id, **{"Evidence-Purpose": "disclosure to the defence"})
    said = words(pdf)
    for told in (
        "Audit trail of exhibit JS/1", "Photo of the broken window", "Jo Smith", INCIDENT, sha256(jpeg(700)), object_id,
        "30 June 2026, 11:00:00 BST", "2026-06-30 10:00:00.000000 UTC", "Received and sealed",
        "The digest that the sender worked out was the same.", "The audit trail was shown.",
        "Reason given: disclosure to the defence", "How to check this", wire.store.keys.ledger.public.fingerprint,
        "Page 1 of",
    ):  # fmt: skip
        assert told in said, told
    for line in await wire.lines(object_id):
        digest = hashlib.sha256(b"\x00" + line["leaf"].encode()).hexdigest()
        assert f"{digest[:32]} {digest[32:]}" in said
    root = pdf.trailer["/Root"]
    assert (root["/MarkInfo"]["/Marked"], root["/Lang"]) == (True, "en-GB")
    assert pdf.metadata is not None
    assert pdf.metadata.title == "Audit trail of exhibit JS/1"
    assert b"pdfuaid:part" in root["/Metadata"].get_data()


async def test_accept_asks_for_the_printed_trail_too(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(100))
    pdf = await printed(wire, object_id, path="trail", Accept="application/pdf")
    assert f"Audit trail of object {object_id}" in words(pdf)
    trail = await wire.ask("GET", f"/objects/{object_id}/trail", Accept="application/json, application/pdf")
    assert trail["object"]["id"] == object_id


async def test_a_printed_trail_shows_what_people_wrote_and_obeys_none_of_it(wire: Wire):
    name = "#panic() \u6587\u4ef6 \U0001f600 " + "x" * 150 + ".jpg"
    object_id = await wire.upload(jpeg(700), name=name)
    label = {"mark": "JS/1", "description": '*bold* \u202egnp.exe #include "/etc/passwd"\x07', "maker": "Łukasz Ó"}
    await wire.ask("PUT", f"/objects/{object_id}/label", label)
    said = words(await printed(wire, object_id, **{"Evidence-Purpose": "why $ \\ not @ <script>"}))
    for told in ("#panic() [U+6587][U+4EF6] [U+1F600]", "*bold* [U+202E]gnp.exe #include", "[U+0007]", "Łukasz Ó"):
        assert told in said, told
    assert "Reason given: why $ \\ not @ <script>" in said


async def test_a_trail_too_long_to_print_says_what_it_leaves_out(wire: Wire, monkeypatch):
    monkeypatch.setattr("evidence_store.court.printing._MOST_LINES", 3)
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(100))
    for n in range(4):
        await wire.ask("GET", f"/objects/{object_id}", **{"Evidence-Purpose": f"look {n}"})
    said = words(await printed(wire, object_id))
    assert "look 1" in said
    assert "look 2" not in said
    assert "3 more lines are not printed here." in said


async def test_every_refusal_that_the_ledger_holds_is_said_in_plain_words(wire: Wire):
    codes = {kind.code for noted in NOTED_OF_SEALING for kind in (noted, *noted.__subclasses__())}
    routes = {route.name for route in wire.app.router.routes() if "{id}" in route.resource.canonical and route.name}
    decided = ("reviews.a", "reviews.r", "releases.a", "releases.r")
    asked = {name for name in routes if name.startswith(("objects.", "file.", *decided))}
    assert len(codes) > 20
    assert len(asked - {"file.options"}) > 18
    for code in codes:
        for name in asked - {"file.options"}:
            heading, said = say_action("refused", {"why": code, "asked": name})
            assert heading == "Refused"
            assert said.startswith("Somebody asked ")
            assert "why: " not in said, (code, said)
            assert name not in said, said
    _, said = say_action("refused", {"why": "wrong_kind", "incident": "AP-1", "declared": "image/jpeg"})
    assert said == "It was not taken: files of its kind are not accepted."


@pytest.mark.parametrize(
    ("actor", "printed_as", "on_pages"),
    [
        ("staff:ann:0a", ("ann", "on the store's pages, visit 0a"), "ann"),
        ("token:records:0a", ("records", "with token 0a"), "records (system)"),
        ("upload:session-1", ("The sender", "in upload session session-1"), "The sender"),
        ("bearer:0a", ("The sender", "in upload 0a"), "The sender"),
        ("system:scrub", ("The store itself", "task: scrub"), "The evidence store"),
        ("cli:Jo Smith", ("Jo Smith", "at the store's command line"), "Jo Smith (operator)"),
        ("operator", ("An operator", ""), "An operator"),
        ("unknown", ("Somebody who showed no genuine permission", ""), "Somebody unknown"),
        ("someone new", ("someone new", ""), "someone new"),
    ],
)
def test_everybody_whom_the_ledger_names_is_said_in_plain_words(actor, printed_as, on_pages):
    assert say_actor(actor) == printed_as
    assert words_of_pages.say_actor(actor) == on_pages


def test_every_action_of_the_ledger_can_be_said_whatever_its_details_are():
    for action in Action:
        heading, _ = say_action(action, {})
        assert heading
    assert say_action("teleported", {"where_to": "Leeds"}) == ("Teleported", "where to: Leeds")
    assert say_action(Action.RECEIVED, {"size_bytes": "many"}) == ("Received and sealed", "size bytes: many")
