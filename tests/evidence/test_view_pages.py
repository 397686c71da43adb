"""What evidence staff do on the store's pages, asked by plain HTTP, as a browser without scripts would."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pypdf
import pytest
from aiohttp import ClientPayloadError
from sqlalchemy import update

from evidence_store.model import ObjectState, Run, RunKind
from evidence_store.sealing import signing
from evidence_store.storage import OBJECTS, insert_run, move_object
from evidence_store.tokens import Scope
from evidence_store.view import look, timeline
from evidence_store.view.session import COOKIE
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256
from tests.evidence.court_support import Bare
from tests.evidence.test_ledger import change
from tests.evidence.test_media import become
from tests.evidence.view_support import Person, person, sealed, words_of

HOSTILE = '<img src=x onerror=alert(1)>"><script>alert(2)</script>{{ 7*7 }}'
RULE = {"class-other": "yes", "from-other": "2010-01-01", "reason": "Case closed"}


def form_of(page: str) -> dict[str, str]:
    """Return the hidden fields of a page's last form."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.rpartition("<form")[2]))


async def expire(ann: Person, object_id: str) -> None:
    await ann.post(f"/evidence/view/objects/{object_id}/retention", **RULE)


async def propose(ann: Person, object_id: str) -> str:
    """Propose disposal; return the review's path."""
    here = f"/evidence/view/objects/{object_id}"
    await ann.post(f"{here}/review", outcome="dispose", reason="Time has ended", confirm="yes")
    return re.search(r"/evidence/view/reviews/[0-9a-f]{32}", await ann.get(here))[0]


@both_databases
async def test_evidence_is_found_by_each_condition_page_by_page_and_the_search_is_recorded(wire: Wire, clock):
    first = await sealed(wire, 1, name="oldest.jpg")
    clock.move(days=2)
    for n in range(2, 29):
        await sealed(wire, n, name=f"photo-{n}.jpg")
    await sealed(wire, 40, incident="AP-0000-0000", name="elsewhere.jpg")
    async with person(wire) as ann:
        assert "photo-" not in await ann.get("/evidence/"), "nothing is shown before something is asked for"
        page = await ann.get(f"/evidence/?search=yes&incident={INCIDENT}")
        assert [f"photo-{n}.jpg" in page for n in (28, 4, 3)] == [True, True, False]
        assert "28 exhibits, newest first: 1 to 25" in page
        following = re.search(r'rel="next" href="([^"]+)"', page)[1].replace("&amp;", "&")
        page = await ann.get(following)
        assert "28 exhibits, newest first: 26 to 28" in page
        assert f'href="/evidence/?search=yes&amp;incident={INCIDENT}">First page' in page
        assert ["photo-4.jpg" in page, "photo-3.jpg" in page, "oldest.jpg" in page] == [False, True, True]
        assert 'rel="next"' not in page
        await ann.post(f"/evidence/view/objects/{first}/label", mark="js / 1", description="A window", maker="Jo")
        for query, found in [
            ("mark=js%2F1", ["oldest.jpg"]), ("first=2026-03-03", ["photo-28.jpg"]),
            ("last=2026-03-03", ["oldest.jpg"]),
            ("incident=AP-0000-0000", ["elsewhere.jpg"]), ("officer=1234&last=2026-03-02", ["oldest.jpg"]),
            ("state=received&kind=photo&last=2026-03-02", ["oldest.jpg"]), ("officer=9999", []),
            (f"sha256={sha256(jpeg(3000, 1)).upper()}", ["oldest.jpg"]), ("state=disposed", []),
            ("media=picture&last=2026-03-02", ["oldest.jpg"]), ("media=film", []), ("media=document", []),
        ]:  # fmt: skip
            page = await ann.get(f"/evidence/?search=yes&{query}")
            names = {"oldest.jpg", "photo-28.jpg", "elsewhere.jpg"}
            assert [one for one in sorted(names) if one in page and one in found] == sorted(found), query
            assert ("Nothing was found" in page) is (not found), query
        wrong = await ann.get("/evidence/?search=yes&mark=1&first=soon&incident=%20x%20y", status=422)
        for sentence in ("Enter an exhibit mark", "Enter a day", "Enter an incident"):
            assert sentence in wrong
        wrong = await ann.get("/evidence/?search=yes&first=2026-03-03&last=2026-03-02", status=422)
        assert "The last day is before the first one" in wrong
        page = await ann.get(f"/evidence/?search=yes&incident={INCIDENT.lower()}")
        assert f'incident={INCIDENT}">Search for {INCIDENT}</a>' in page
        await ann.get(f"/evidence/?search=yes&sha256={first}", status=303)
        await ann.get("/evidence/?search=yes&after=forged", status=400)
    searches = [line for line in await wire.lines() if "search" in line["details"]]
    assert searches[0]["actor"].startswith("staff:ann:")
    assert first not in searches[0]["details"]["objects"]


async def test_what_is_held_or_chosen_is_seen_in_the_list_and_a_whole_page_is_chosen_at_once(wire: Wire):
    ids = [await sealed(wire, n, name=f"photo-{n}.jpg") for n in range(3)]

    async def tags() -> list[list[str]]:
        rows = (await ann.get("/evidence/?search=yes")).split("<tr ")[2:]
        return [[tag for tag in ("Held", "Chosen") if tag in words_of(row.partition("</tr>")[0])] for row in rows]

    async with person(wire) as ann:
        hold = {"what": "object", "reason": "Appeal", "confirm": "yes"}
        await ann.post(f"/evidence/view/objects/{ids[2]}/hold", **hold)
        await ann.post("/evidence/view/chosen", object=ids[0])
        assert await tags() == [["Held"], [], ["Chosen"]]
        page = await ann.get("/evidence/?search=yes")
        shown = re.findall(r'name="shown" value="([0-9a-f]{32})"', page)
        assert sorted(shown) == sorted(ids[1:])
        form = [("shown", one) for one in shown] + [("every", "yes"), ("form_key", ann.form_key())]
        async with ann.http.post("/evidence/view/chosen", data=form, allow_redirects=False) as answer:
            assert answer.headers["Location"] == "/evidence/view/chosen?done=chosen"
        assert await tags() == [["Held", "Chosen"], ["Chosen"], ["Chosen"]]
        assert "See what is chosen" in await ann.get(f"/evidence/view/objects/{ids[1]}")
        await ann.post(f"/evidence/view/objects/{ids[2]}/hold", **hold | {"what": "incident", "act": signing.new_id()})
        assert [one[0] for one in await tags()] == ["Held"] * 3
        assert "done=all_back" in await ann.post("/evidence/view/chosen/back")
        assert "Nothing is chosen yet" in await ann.get("/evidence/view/chosen")
        many = [("shown", f"{n:032x}") for n in range(201)] + [("every", "yes"), ("form_key", ann.form_key())]
        async with ann.http.post("/evidence/view/chosen", data=many, allow_redirects=False) as answer:
            assert "Put some back, or make it in parts." in await answer.text()


async def test_label_note_hold_and_release_stand_in_the_timeline_under_the_persons_name(wire: Wire):
    object_id = await sealed(wire)
    here = f"/evidence/view/objects/{object_id}"
    async with person(wire) as ann:
        wrong = words_of(await ann.post(f"{here}/label", status=422, mark="window"))
        assert "Enter the exhibit mark" in wrong
        assert "Enter who produces the exhibit" in wrong
        assert (await ann.post(f"{here}/label", mark="JS/1", description="Window", maker="Jo")) == f"{here}?done=label"
        note = form_of(await ann.get(f"{here}/notes")) | {"text": "Looked at twice"}
        note.pop("form_key")
        for _ in range(2):  # a form that is sent again is carried out once
            await ann.post(f"{here}/notes", **note)
        asked = {"act": signing.new_id(), "what": "object", "reason": "Appeal is open"}
        assert "Check before you place the hold" in await ann.post(f"{here}/hold", status=200, **asked)
        assert "Held" not in words_of(await ann.get(here))
        assert "Place a hold" in await ann.post(f"{here}/hold", status=200, **asked, change="yes")
        for _ in range(2):
            await ann.post(f"{here}/hold", **asked, confirm="yes")
        page = await ann.get(here)
        assert page.count("Looked at twice") == 1
        release = re.search(r"/evidence/view/holds/[0-9a-f]{32}/release", page)[0]
        assert page.count(release) == 1
        assert "Check before you release" in await ann.post(release, status=200, reason="Appeal decided")
        await ann.post(release, reason="Appeal decided", confirm="yes")
        assert "Somebody released this hold before you" in await ann.post(
            release, status=422, reason="Another reason", confirm="yes"
        )
        whole = {"act": signing.new_id(), "what": "incident", "reason": "Inquest"}
        await ann.post(f"{here}/hold", **whole, confirm="yes")
        page = words_of(await ann.get(here))
    told = ["Received; the sender's digest is the same", "Looked at", "Labelled JS/1", "Note added", "Hold placed",
            "Hold released", "Hold placed on the whole incident"]  # fmt: skip
    history = page[page.index("Custody") :]
    places = [history.index(f"{one} ann") if one[0] != "R" else history.index(one) for one in told]
    assert len(set(places)) == len(told)
    assert "Reason: Appeal is open" in history
    mine = [line["action"] for line in await wire.lines(object_id) if line["actor"].startswith("staff:ann:")]
    assert mine == ["annotated", "annotated", "viewed", "held", "released"]


async def refused(wire: Wire, object_id: str) -> list[tuple[str, str]]:
    """Who was refused what about an object, as the ledger has it."""
    lines = [line for line in await wire.lines(object_id) if line["action"] == "refused"]
    assert all(line["details"]["asked"] for line in lines)
    return [(line["actor"].split(":")[1], line["details"]["why"]) for line in lines]


async def test_every_page_of_an_exhibit_says_that_it_is_not_what_the_ledger_recorded(wire: Wire):
    true, false = await sealed(wire), await sealed(wire, 2, name="door.jpg")
    here, warned = f"/evidence/view/objects/{false}", "What stands here is not what the ledger recorded"
    async with person(wire) as ann, person(wire, "bob") as bob:
        await ann.post(f"{here}/hold", what="object", reason="Appeal", confirm="yes")
        release = re.search(r"/evidence/view/holds/[0-9a-f]{32}/release", await ann.get(here))[0]
        await ann.post(release, reason="Appeal decided", confirm="yes")
        await expire(ann, false)
        review = await propose(ann, false)
        every = [
            (ann, here), (ann, release), (bob, review),
            *((ann, f"{here}/{one}") for one in ("label", "notes", "hold", "retention", "review", "original")),
            (ann, f"{here}/original-of"),
        ]  # fmt: skip
        for who, page in every:
            assert warned not in words_of(await who.get(page)), page
        for one in (true, false):
            await ann.post("/evidence/view/chosen", object=one)
        await change(wire, update(OBJECTS).where(OBJECTS.c.id == false).values(officer="9999"))
        for who, page in every:
            assert warned in words_of(await who.get(page)), page
        page = words_of(await ann.get(here))
        assert "What the ledger recorded instead Officer 1234 Here: 9999" in page
        assert "Save the original" not in page
        await ann.get(f"{here}/preview", status=500)
        assert warned not in words_of(await ann.get(f"/evidence/view/objects/{true}"))
        found = await bob.get("/evidence/?search=yes")
        assert "What stands here of 1 exhibit is not what the ledger recorded when it came" in words_of(found)
        marked = {row[:32]: "Do not rely on it" in row for row in found.split('data-object="')[1:]}
        assert marked == {true: False, false: True}
        assert re.findall(r'name="shown" value="([0-9a-f]{32})"', found) == [true]
        refused = await bob.post(review, status=422, decision="approve", reason="Over", confirm="yes")
        assert "so it cannot be disposed of. Tell whoever runs the evidence store now" in words_of(refused)
        await bob.post(review, decision="reject", reason="Still needed", confirm="yes")
        asked = {"outcome": "dispose", "reason": "Time has ended", "confirm": "yes"}
        assert "so it cannot be disposed of" in words_of(await ann.post(f"{here}/review", status=422, **asked))
        await expire(ann, true)
        for page in ("/evidence/view/chosen", "/evidence/view/work"):
            lines = (await ann.get(page)).split('class="ev-line"')[1:]
            marked = {one: ["Do not rely on it" in line for line in lines if one in line] for one in (true, false)}
            assert marked == {true: [False], false: [True]}, page
        refused = await ann.post("/evidence/view/package", status=422, recipient="Crown Court", reason="Trial")
        assert "door.jpg is not what the ledger recorded" in words_of(refused)


async def test_two_people_dispose_by_the_pages_and_a_certificate_remains(wire: Wire):
    object_id, other = await sealed(wire), await sealed(wire, 2)
    here = f"/evidence/view/objects/{object_id}"
    async with person(wire) as ann, person(wire, "bob") as bob:
        asked = {"outcome": "dispose", "reason": "Time has ended", "confirm": "yes"}
        assert "It must still be kept" in await ann.post(f"{here}/review", status=422, **asked)
        await expire(ann, object_id)
        assert "window.jpg" in await ann.get("/evidence/view/work")
        assert "Check before you propose" in await ann.post(
            f"{here}/review", status=200, outcome="dispose", reason="Time has ended"
        )
        review = await propose(ann, object_id)
        assert "waits for a second person already" in await ann.post(f"{here}/review", status=422, **asked)
        decision = {"decision": "approve", "reason": "Checked with the file"}
        assert "Another person must decide it" in await ann.get(review)
        assert "Another person must decide it" in await ann.post(review, status=422, **decision, confirm="yes")
        assert "This cannot be undone" in await bob.post(review, status=200, **decision)
        held = {"what": "object", "reason": "Appeal is open", "confirm": "yes"}
        await ann.post(f"{here}/hold", **held)
        assert "An open hold forbids disposal" in await bob.post(review, status=422, **decision, confirm="yes")
        release = re.search(r"/evidence/view/holds/[0-9a-f]{32}/release", await ann.get(here))[0]
        await ann.post(release, reason="Appeal decided", confirm="yes")
        await ann.get(f"{review}/certificate", status=404)
        assert await bob.post(review, **decision, confirm="yes") == f"{here}?done=approved"
        assert "Somebody decided this review before you" in await bob.post(
            review, status=422, decision="reject", reason="Too late", confirm="yes"
        )
        certificate = words_of(await ann.get(f"{review}/certificate"))
        assert "Proposed by ann" in certificate
        assert "Approved by bob" in certificate
        assert sha256(jpeg(3000, 1))[:8] in certificate
        page = words_of(await ann.get(here))
        assert "Open the certificate" in page
        assert "not what the ledger recorded" not in page
        assert "Save the original" not in page
        await ann.get(f"{here}/original", status=410)
        await ann.post("/evidence/view/chosen", status=410, object=object_id)
        await expire(ann, other)
        review = await propose(ann, other)
        assert await bob.post(review, decision="reject", reason="Still needed", confirm="yes") == (
            f"/evidence/view/objects/{other}?done=rejected"
        )
    assert not wire.store.backend.object_folder(object_id).exists()
    assert wire.store.backend.object_folder(other).exists()
    assert await refused(wire, object_id) == [
        ("ann", "retention_runs"), ("ann", "review_open"), ("ann", "same_person"), ("bob", "held"),
        ("bob", "review_closed"), ("ann", "disposed"), ("ann", "disposed"),
    ]  # fmt: skip


async def test_the_original_is_given_out_for_a_purpose_that_stands_in_the_ledger(wire: Wire):
    object_id = await sealed(wire)
    here = f"/evidence/view/objects/{object_id}/original"
    async with person(wire) as ann:
        assert "Say why you need the original" in await ann.post(here, status=422, purpose=" ")
        key = form_of(await ann.get(here))["form_key"]
        async with ann.http.post(here, data={"purpose": "Disclosure", "form_key": key}) as answer:
            assert await answer.read() == jpeg(3000, 1)
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert answer.headers["Content-Security-Policy"].startswith("sandbox")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    [line] = [line for line in await wire.lines(object_id) if line["action"] == "downloaded"]
    assert (line["purpose"], line["actor"][:10]) == ("Disclosure", "staff:ann:")


async def test_the_audit_trail_is_saved_as_a_pdf_and_that_it_was_read_stands_under_the_persons_name(wire: Wire):
    object_id = await sealed(wire)
    here = f"/evidence/view/objects/{object_id}"
    async with person(wire) as ann:
        address = re.search(r'href="([^"]+)">Save the audit trail', await ann.get(here))[1]
        async with ann.http.get(address) as answer:
            pdf = pypdf.PdfReader(io.BytesIO(await answer.read()))
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert answer.headers["Content-Security-Policy"].startswith("sandbox")
        assert sha256(jpeg(3000, 1)) in "".join(page.extract_text() for page in pdf.pages)
        assert "Audit trail read ann" in words_of(await ann.get(here))
        await ann.get(f"/evidence/view/objects/{signing.new_id()}/trail.pdf", status=404)
        line = (await wire.lines(object_id))[-1]
        async with ann.http.get(f"{here}/trail.json") as answer:
            told = await answer.json()
            assert answer.headers["Content-Disposition"].startswith("attachment")
        assert told["lines"][-1]["leaf"] == line["leaf"]
    assert (line["action"], line["actor"][:10], line["details"]) == ("viewed", "staff:ann:", {"what": "audit trail"})
    async with person(wire, "bob", role="officer", incident=INCIDENT) as bob:
        assert "Save the audit trail" not in await bob.get(here)
        await bob.get(address, status=403)


async def test_what_people_and_phones_write_is_shown_as_text(wire: Wire):
    object_id = await sealed(wire, name=HOSTILE.replace("/", "|"))
    here = f"/evidence/view/objects/{object_id}"
    async with person(wire, title=HOSTILE) as ann:
        await ann.post(f"{here}/label", mark="JS/1", description=HOSTILE, maker=HOSTILE, signed="yes",
                       signed_at="2026-03-01T09:00", signed_how=HOSTILE)  # fmt: skip
        await ann.post(f"{here}/notes", text=HOSTILE)
        await ann.post(f"{here}/hold", what="object", reason=HOSTILE, confirm="yes")
        pages = [await ann.get(path) for path in (here, "/evidence/view/work", "/evidence/?search=yes")]
        pages.append(await ann.get(f"/evidence/?search=yes&officer={HOSTILE}"))
        pages.append(await ann.post(f"{here}/hold", status=200, what="object", reason=HOSTILE))
        await ann.post("/evidence/view/chosen", object=object_id)
        pages.append(await ann.get("/evidence/view/chosen"))
    for page in pages:
        assert "<img" not in page
        assert page.count("<script") == 1, "the page's own"
        assert "{{ 7*7 }}" in page
    assert "Change the label" not in pages[0], "a signed label never changes"


async def test_a_label_that_is_signed_needs_when_and_how_and_a_mark_stands_once(wire: Wire):
    first, second = await sealed(wire), await sealed(wire, 2)
    label = {"mark": "JS/1", "description": "Window", "maker": "Jo"}
    async with person(wire) as ann:
        here = f"/evidence/view/objects/{first}/label"
        page = await ann.post(here, status=422, **label, signed="yes")
        assert "Enter the day and time" in page
        assert "Say how the maker was identified" in page
        late = {"signed": "yes", "signed_at": "2026-03-02T10:01", "signed_how": "On paper"}
        assert "after now" in await ann.post(here, status=422, **label, **late)
        await ann.post(here, **label, **late | {"signed_at": "2026-03-02T09:59"})
        assert "signed and never changes" in await ann.post(here, status=422, **label | {"maker": "Mo"})
        other = f"/evidence/view/objects/{second}/label"
        assert "Another exhibit of this incident has this mark" in await ann.post(other, status=422, **label)
    assert await refused(wire, first) == [("ann", "label_signed")]
    assert await refused(wire, second) == [("ann", "mark_taken")]


async def test_a_copy_is_linked_to_its_original_and_each_leads_to_the_other(wire: Wire):
    original, copy = await sealed(wire), await sealed(wire, 2)
    async with person(wire) as ann:
        here = f"/evidence/view/objects/{copy}/original-of"
        assert "No exhibit of this incident" in await ann.post(here, status=422, sha256="0" * 64, relation="redacted")
        digest = sha256(jpeg(3000, 1))
        spaced = " ".join(digest[n : n + 8] for n in range(0, 64, 8)).upper()
        await ann.post(here, sha256=spaced, relation="redacted")
        assert f"/evidence/view/objects/{original}" in await ann.get(f"/evidence/view/objects/{copy}")
        await ann.post(f"/evidence/view/objects/{copy}/label", mark="JS/2", description="Redacted", maker="Jo")
        assert f'/evidence/view/objects/{copy}">JS/2</a>' in await ann.get(f"/evidence/view/objects/{original}")
        page = words_of(await ann.get(f"/evidence/view/objects/{copy}"))
        assert "Original: window.jpg . This is: a redacted version" in page
        assert "Linked to its original: a redacted version" in page
        page = await ann.post(f"/evidence/view/objects/{original}/original-of", status=422,
                              sha256=sha256(jpeg(3000, 2)), relation="other")  # fmt: skip
        assert "came after the copy" in page


@both_databases
async def test_due_for_review_is_what_has_ended_and_nothing_else(wire: Wire, clock):
    names = ("ended", "running", "for-good", "held", "kept", "nobody-said")
    ids = {name: await sealed(wire, n, name=f"{name}.jpg") for n, name in enumerate(names)}
    async with person(wire) as ann:
        for name in ("ended", "held", "kept"):
            await expire(ann, ids[name])
        path = "/evidence/view/objects/{}/retention"
        await ann.post(path.format(ids["running"]), **RULE | {"class-serious": "yes", "from-serious": "2020-01-01"})
        await ann.post(path.format(ids["for-good"]), **RULE | {"class-for-good": "yes"})
        hold = {"what": "object", "reason": "Appeal", "confirm": "yes"}
        await ann.post(f"/evidence/view/objects/{ids['held']}/hold", **hold)
        await ann.post(f"/evidence/view/objects/{ids['kept']}/review", outcome="keep", reason="Of interest")

        async def due() -> set[str]:
            page = await ann.get("/evidence/view/work")
            section = page[page.index('id="due"') : page.index('id="holds"')]
            return {name for name in names if f"{name}.jpg" in section}

        assert await due() == {"ended"}
        clock.move(days=366)
        await ann.enter(ann.ticket())
        assert await due() == {"ended", "kept"}
        wrong = await ann.post(path.format(ids["ended"]), status=422, **RULE | {"from-other": "soon"})
        assert "Enter a day" in wrong
        await ann.post(path.format(ids["ended"]), status=422, **{"class-nothing": "yes", "reason": "Try"})


async def test_what_is_chosen_lasts_a_visit_and_can_be_put_back(wire: Wire):
    first, second = await sealed(wire, name="one.jpg"), await sealed(wire, 2, name="two.jpg")
    async with person(wire) as ann, person(wire, "bob") as bob:
        for one in (first, first, second):
            assert await ann.post("/evidence/view/chosen", object=one) == "/evidence/view/chosen?done=chosen"
        assert "2 exhibits" in await ann.get("/evidence/view/chosen")
        assert "Nothing is chosen yet" in await bob.get("/evidence/view/chosen")
        await ann.post(f"/evidence/view/chosen/{first}/back")
        page = await ann.get("/evidence/view/chosen")
        assert ["one.jpg" in page, "two.jpg" in page] == [False, True]
        assert "done=none" in await ann.post("/evidence/view/chosen")
        await ann.post("/evidence/view/chosen", status=404, object=signing.new_id())
        await ann.enter(ann.ticket())
        assert "Nothing is chosen yet" in await ann.get("/evidence/view/chosen")


async def test_a_package_is_proved_against_a_checkpoint_that_its_recipient_holds(wire: Wire, bare: Bare, tmp_path):
    object_id = await sealed(wire)
    async with wire.http.get("/evidence/v1/ledger/checkpoint", headers=wire.token(Scope.LEDGER)) as answer:
        held = await answer.text()
    await sealed(wire, 2)
    here, asked = "/evidence/view/package", {"recipient": "Crown court", "reason": "Trial"}
    async with person(wire) as ann:
        await ann.post("/evidence/view/chosen", object=object_id)
        for wrong in ("nothing", held[1:], held * 2, "x" * 2001):
            assert "and nothing else" in await ann.post(here, status=422, **asked, checkpoint=wrong)
        page = await ann.post(here, status=200, **asked, checkpoint=held.replace("\n", "\r\n"))
        assert "Proved against the one that the recipient holds" in page
        async with ann.http.post(here, data=form_of(page) | {"confirm": "yes"}) as answer:
            assert answer.content_type == "application/zip", await answer.text()
            (tmp_path / "package.zip").write_bytes(await answer.read())
    (tmp_path / "held").write_text(held)
    key = wire.store.keys.ledger.public.fingerprint
    said = bare.verify(tmp_path / "package.zip", "--key", key, "--checkpoint", str(tmp_path / "held"))
    assert said.code == 0, said.text
    assert "It fits the checkpoint in" in said.text


async def test_a_court_package_of_what_is_chosen_is_confirmed_and_holds(wire: Wire, bare: Bare, tmp_path):
    first, second, other = await sealed(wire), await sealed(wire, 2), await sealed(wire, 3)
    here, asked = "/evidence/view/package", {"recipient": "Crown court", "reason": "Trial"}
    async with person(wire) as ann:
        assert await ann.post(here, **asked, confirm="yes") == "/evidence/view/chosen?done=none"
        for one in (first, second):
            await ann.post("/evidence/view/chosen", object=one)
        assert here in await ann.get("/evidence/view/chosen")
        wrong = await ann.post(here, status=422, reason="x")
        assert "Enter whom the package is for" in wrong
        assert "Say why it is given out" in wrong
        fingerprint = wire.store.keys.ledger.public.fingerprint
        page = await ann.post(here, status=200, **asked)
        assert f"verify.py --key {fingerprint}" in page
        confirmed = form_of(page) | {"confirm": "yes"}
        await ann.post("/evidence/view/chosen", object=other)
        page = await ann.post(here, status=200, **asked, confirm="yes", shown=confirmed["shown"])
        assert "Check before you make" in page, "what is chosen is not what was shown"
        await ann.post(f"/evidence/view/chosen/{other}/back")
        await ann.post(here, status=403, key="0" * 32, **asked, confirm="yes", shown=confirmed["shown"])
        assert not [line for line in await wire.lines(first) if line["action"] == "shared"]
        assert "Packages that you made" not in await ann.get("/evidence/view/chosen")
        async with ann.http.post(here, data=confirmed) as answer:
            assert answer.content_type == "application/zip"
            assert answer.headers["Content-Disposition"].startswith("attachment")
            (tmp_path / "package.zip").write_bytes(await answer.read())

        async def given_out() -> list[tuple[str, str, str]] | None:
            lines = (await wire.lines(first))[-2:]
            told = [(line["action"], line["purpose"], line["actor"][:10]) for line in lines]
            return told if told[-1][0] == "exported" else None  # it is written behind the last byte

        assert await become(given_out, "the second line") == [
            ("shared", "Trial", "staff:ann:"), ("exported", "Trial", "staff:ann:"),
        ]  # fmt: skip
        for page in ("/evidence/view/chosen", "/evidence/view/package/given"):
            assert "Crown court 2 exhibits, begun on 2 March 2026" in (told := words_of(await ann.get(page)))
            assert "All of it was sent" in told
        page = words_of(await ann.get(f"/evidence/view/objects/{first}"))
        assert "Given out once last by ann" in page
        assert "Given out in a court package for Crown court ann" in page
    said = bare.verify(tmp_path / "package.zip", "--key", fingerprint)
    assert said.code == 0, said.text
    async with person(wire, "bob", role="officer", incident=INCIDENT) as bob:
        await bob.post("/evidence/view/chosen", status=403, object=first)
        assert "Choose for a court package" not in await bob.get("/evidence/?search=yes")
        await bob.post(here, status=403, **asked)


async def test_what_may_not_be_given_out_is_told_before_a_package_is_made(wire: Wire):
    quarantined, gone, kept = await sealed(wire), await sealed(wire, 2, name="gone.jpg"), await sealed(wire, 3)
    here, asked = "/evidence/view/package", {"recipient": "Crown court", "reason": "Trial"}
    async with wire.store.database.begin() as db:
        await move_object(db, quarantined, before=[ObjectState.RECEIVED], after=ObjectState.QUARANTINED)
    async with person(wire) as ann, person(wire, "bob") as bob:
        for one in (quarantined, gone, kept):
            await ann.post("/evidence/view/chosen", object=one)
        assert "Say that quarantined exhibits are wanted too" in await ann.post(here, status=422, **asked)
        page = await ann.post(here, status=200, **asked, quarantined="yes")
        assert "Quarantined exhibits are among these" in page
        await expire(ann, gone)
        review = await propose(ann, gone)
        await bob.post(review, decision="approve", reason="Checked with the file", confirm="yes")
        page = await ann.post(here, status=422, **asked, quarantined="yes")
        assert "gone.jpg was disposed of. Put it back." in page
        await ann.post(f"/evidence/view/chosen/{gone}/back")
        folder = wire.store.backend.object_folder(kept)
        for file in folder.iterdir():
            file.write_bytes(b"\0" * file.stat().st_size)
        confirmed = form_of(await ann.post(here, status=200, **asked, quarantined="yes")) | {"confirm": "yes"}
        async with ann.http.post(here, data=confirmed) as answer:
            with pytest.raises(ClientPayloadError):  # a browser tells of a download that failed, and keeps no file
                await answer.read()
        assert "Not all of it was sent yet" in await ann.get("/evidence/view/package/given")
        assert "Take note Found damaged" in words_of(await ann.get(f"/evidence/view/objects/{kept}"))
    actions = [line["action"] for line in await wire.lines(kept)]
    assert "damaged" in actions
    assert "exported" not in actions


@pytest.mark.parametrize(
    "path", ["/evidence/view/nothing", f"/evidence/view/objects/{'0' * 32}", "/evidence/view/objects/x"]
)
async def test_a_refusal_is_a_page_that_says_what_to_do_next(wire: Wire, path):
    async with person(wire) as ann, ann.http.get(path) as answer:
        page = await answer.text()
    assert answer.status in {400, 404}
    assert answer.content_type == "text/html"
    assert "Go to the search" in page or "Go to the evidence store" in page
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_fault_is_told_as_a_page_and_bytes_that_are_no_text_are_refused(wire: Wire, monkeypatch):
    object_id = await sealed(wire)
    async with person(wire) as ann:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        key = form_of(await ann.get(f"/evidence/view/objects/{object_id}/notes"))["form_key"]
        body = f"form_key={key}&text=%ff%fe".encode()
        async with ann.http.post(f"/evidence/view/objects/{object_id}/notes", data=body, headers=form) as answer:
            assert answer.status == 400
        await ann.post(f"/evidence/view/objects/{object_id}/notes", text="With\x00 a zero\x07 byte")
        assert "With a zero byte" in await ann.get(f"/evidence/view/objects/{object_id}")

        def fail(*_given: object, **_named: object) -> None:
            raise RuntimeError("a fault")

        monkeypatch.setattr(timeline, "events_of", fail)
        assert "nothing was changed" in await ann.get(f"/evidence/view/objects/{object_id}", status=500)


async def test_what_pages_fetch_is_there_and_may_be_kept(wire: Wire):
    async with person(wire) as ann:
        page = await ann.get("/evidence/view/keyboard")
        for address in re.findall(r'(?:href|src)="(/evidence/view/files/[^"]+)"', page):
            async with ann.http.get(address, headers={"Cookie": f"{COOKIE}="}) as answer:
                assert answer.status == 200, f"{address}: run 'npm run build'"
                assert "immutable" in answer.headers["Cache-Control"]
        await ann.get("/evidence/view/files/000000000000/session.py", status=404)


def test_the_picture_has_a_lane_for_each_who_acted_and_its_events_side_by_side():
    at = datetime(2026, 3, 2, 10, tzinfo=UTC)
    events = [timeline.Event(at + timedelta(minutes=n), who, "x", "", "ring", n) for n, who in enumerate("abacb")]
    lanes = timeline.lanes_of(events)
    assert [lane.who for lane in lanes] == ["a", "b", "c"]
    assert [point.left for lane in lanes for point in lane.points] == [10.0, 50.0, 30.0, 90.0, 70.0]
    assert timeline.new_days(events, ZoneInfo("Europe/London")) == []
    many = timeline.lanes_of(events * 20)
    assert sum(len(lane.points) for lane in many) == timeline.DRAWN
    assert timeline.lanes_of([]) == []


def test_looks_of_one_person_are_told_once_and_never_hide_what_was_done_in_between():
    zone, at = ZoneInfo("Europe/London"), datetime(2026, 3, 28, 23, 30, tzinfo=UTC)

    def event(minutes: int, who: str, what: str, shape: str = "ring") -> timeline.Event:
        return timeline.Event(at + timedelta(minutes=minutes), who, what, "", shape, minutes)

    events = [
        event(1, "ann", "Looked at"), event(2, "ann", "Preview looked at"), event(3, "ann", "Looked at"),
        event(4, "bob", "Original given out", "triangle"), event(5, "bob", "Original given out", "triangle"),
        event(6, "ann", "Looked at"), event(31, "ann", "Looked at"),
    ]  # fmt: skip
    told = timeline.gather(events, zone)
    assert [(one.what, one.times, one.sequence, one.last_sequence) for one in told] == [
        ("Looked at", 2, 1, 3), ("Preview looked at", 1, 2, None), ("Original given out", 1, 4, None),
        ("Original given out", 1, 5, None), ("Looked at", 1, 6, None), ("Looked at", 1, 31, None),
    ]  # fmt: skip
    assert [(day.said, len(day.events)) for day in timeline.days_of(told, zone)] == [
        ("28 March 2026", 5), ("29 March 2026", 1),
    ]  # fmt: skip
    assert [(day.said, day.left) for day in timeline.new_days(told, zone)] == [("29 March 2026", 83.33)]
    seen = timeline.glance(events)
    assert (seen.looks, seen.lookers, seen.last_look, seen.arrived) == (5, 1, events[-1], None)


async def test_custody_shows_the_newest_lines_and_when_all_was_last_read_again(wire: Wire, clock, monkeypatch):
    object_id = await sealed(wire)
    here = f"/evidence/view/objects/{object_id}"
    async with person(wire) as ann:
        assert "Read again and compared not since it came in" in words_of(await ann.get(here))
        clock.move(hours=1)
        run = Run(signing.new_id(), RunKind.SCRUB, wire.clock())
        async with wire.store.database.begin() as db:
            await insert_run(db, replace(run, finished_at=wire.clock() + timedelta(minutes=5)))
        await ann.enter(ann.ticket())
        await ann.post(f"{here}/notes", text="The newest")
        monkeypatch.setattr(look, "MOST_LINES", 2)
        page = words_of(await ann.get(here))
    assert "Read again and compared 2 March 2026 at 11:05 GMT" in page
    assert "Came in Longer ago than is shown here" in page
    history = page[page.index("These are the newest") :]
    assert "Note added" in history
    assert "Received;" not in history
