"""Who gets into the store's pages, what they may do there, and how they get out."""

import asyncio
import inspect
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from evidence_store import access
from evidence_store.app import make_app
from evidence_store.database import METADATA
from evidence_store.sealing import signing
from evidence_store.tokens import Scope, make_token
from evidence_store.view import tickets
from evidence_store.view.session import COOKIE, REFERENCE
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256, with_another_mac
from tests.evidence.view_support import nobody, person, sealed, words_of


async def test_a_ticket_is_traded_once_for_a_cookie_of_the_store_alone(wire: Wire):
    async with nobody(wire) as ann:
        ticket = ann.ticket()
        answer = await ann.enter(ticket, where="/evidence/view/work")
        assert answer.headers["Location"] == "/evidence/view/work"
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        for word in ("HttpOnly", "Path=/evidence", "SameSite=Strict", "Secure"):
            assert word in cookie
        assert "Domain" not in cookie
        assert "Find evidence" in await ann.get("/evidence/")
        async with nobody(wire) as thief:
            refused = await (await thief.enter(ticket, status=403)).text()
            assert "not valid any more" in refused
            assert "Set-Cookie" not in (await thief.enter(ticket, status=403)).headers


@both_databases
async def test_of_many_that_show_one_ticket_at_once_one_gets_in(wire: Wire):
    async with nobody(wire) as ann:
        form = {"ticket": ann.ticket()}
        tries = [ann.http.post("/evidence/view/enter", data=form, allow_redirects=False) for _ in range(8)]
        assert sorted([answer.status for answer in await asyncio.gather(*tries)]) == [303] + [403] * 7


async def test_a_ticket_that_is_forged_old_early_or_for_nobodys_role_lets_nobody_in(wire: Wire, clock):
    now = clock()
    async with nobody(wire) as ann:
        good = ann.ticket()
        purpose, body, mac = good.split(".")
        bad = [
            "", "x", with_another_mac(good), f"grant1.{body}.{mac}", f"{purpose}.{body[:-4]}AAAA.{mac}",
            ann.ticket(key=signing.new_key()), ann.ticket(role="chat_agent"), ann.ticket(role="officer"),
            ann.ticket(expires_at=now), ann.ticket(expires_at=now + timedelta(hours=1)),
            ann.ticket(name="Ann:1"), ann.ticket(name=""), wire.grant(),
            make_token(wire.store.keys.grant, token_id="1", scopes=list(Scope), name="t", incident=None, now=now,
                       lasts=timedelta(hours=1)),
        ]  # fmt: skip
        for value in bad:
            answer = await ann.enter(value, status=403)
            assert answer.content_type == "text/html"
            assert "Set-Cookie" not in answer.headers
        clock.move(seconds=60)
        await ann.enter(good, status=403)
        await ann.enter(ann.ticket(), where="https://elsewhere.example/", status=303)


@pytest.mark.parametrize(
    "where", ["https://evil.example/", "//evil.example", "/evidence/../desk", "/desk", "/evidence/v1/x"]
)
async def test_coming_in_leads_to_a_page_of_the_store_and_nowhere_else(wire: Wire, where):
    async with nobody(wire) as ann:
        assert (await ann.enter(ann.ticket(), where=where)).headers["Location"] == "/evidence/"


async def test_a_ticket_from_another_site_is_not_taken(wire: Wire):
    async with nobody(wire) as ann:
        await ann.enter(ann.ticket(), status=403, **{"Sec-Fetch-Site": "cross-site"})


async def test_a_visit_ends_by_leaving_by_silence_by_time_and_with_the_session_it_came_from(wire: Wire, clock):
    async with person(wire) as ann:
        cookie = ann.http.headers["Cookie"]
        assert await ann.post("/evidence/view/leave") == "/desk"
        ann.http.headers["Cookie"] = cookie
        assert "Open the evidence store" in await ann.get("/evidence/", status=401)
    async with person(wire) as ann:
        clock.move(minutes=29)
        await ann.get("/evidence/")
        clock.move(minutes=29)
        await ann.get("/evidence/")
        clock.move(minutes=31)
        await ann.get("/evidence/", status=401)
    async with person(wire, ends_at=clock() + timedelta(minutes=10)) as ann:
        await ann.get("/evidence/")
        await ann.get("/evidence/", status=401, **{REFERENCE: "another session"})
        ann.http.headers.pop(REFERENCE)
        await ann.get("/evidence/", status=401)
        ann.http.headers[REFERENCE] = "the session at the other program"
        await ann.get("/evidence/")
        clock.move(minutes=10)
        await ann.get("/evidence/", status=401)
    async with person(wire) as ann:
        for _ in range(12):
            clock.move(minutes=20)
            last = await ann.http.get("/evidence/", allow_redirects=False)
        assert last.status == 401, "four hours, however busy"


async def test_what_was_typed_too_late_is_given_back_to_who_typed_it(wire: Wire, clock):
    object_id = await sealed(wire)
    here = f"/evidence/view/objects/{object_id}/notes"
    async with person(wire) as ann:
        clock.move(minutes=20)
        assert "and at 14:00 GMT at the latest" in words_of(await ann.get("/evidence/view/keyboard"))
        async with ann.http.get("/evidence/view/stay") as answer:
            assert answer.status == 204
        clock.move(minutes=20)
        await ann.get("/evidence/view/keyboard")
        clock.move(minutes=31)
        page = await ann.post(here, status=401, text="A long <b>thought</b>")
        assert "what you sent was not done" in page
        assert "A long &lt;b&gt;thought&lt;/b&gt;</pre>" in page
        ann.http.headers["Sec-Fetch-Site"] = "cross-site"
        assert "A long" not in await ann.post(here, status=401, text="A long thought")


async def test_entering_anew_ends_the_visit_before(wire: Wire):
    async with person(wire) as ann:
        before = ann.http.headers["Cookie"]
        await ann.enter(ann.ticket())
        after = ann.http.headers["Cookie"]
        ann.http.headers["Cookie"] = before
        await ann.get("/evidence/", status=401)
        ann.http.headers["Cookie"] = after
        await ann.get("/evidence/")


async def test_a_form_without_its_key_or_from_another_site_is_refused_and_does_nothing(wire: Wire):
    object_id = await sealed(wire)
    async with person(wire) as ann, person(wire, "bob") as bob:
        foreign = signing.sha256_hex(f"form\n{bob.http.headers['Cookie'].partition('=')[2]}".encode())[:32]
        for key in ("", "x" * 32, foreign):
            for path in (f"/evidence/view/objects/{object_id}/notes", "/evidence/view/chosen", "/evidence/view/leave"):
                page = await ann.post(path, status=403, key=key, text="Not mine", object=object_id)
                assert "did not come from a page of yours" in page
        ann.http.headers["Sec-Fetch-Site"] = "same-site"
        await ann.post(f"/evidence/view/objects/{object_id}/notes", status=403, text="Not mine")
        ann.http.headers["Sec-Fetch-Site"] = "same-origin"
        assert "Not mine" not in await ann.get(f"/evidence/view/objects/{object_id}")


async def test_a_cookie_opens_no_api_and_a_token_no_page(wire: Wire):
    object_id = await sealed(wire)
    async with person(wire) as ann:
        for path in ("/evidence/v1/objects", f"/evidence/v1/objects/{object_id}/content", "/evidence/v1/ledger"):
            async with ann.http.get(path) as answer:
                assert answer.status == 401
                assert answer.content_type == "application/problem+json"
    async with nobody(wire) as stranger:
        page = await stranger.get(f"/evidence/view/objects/{object_id}", status=401, **wire.token())
        assert 'value="/evidence/view/objects/' in page
        assert "WWW-Authenticate" not in page


PAGES = [
    "/evidence/", "/evidence/view/work", "/evidence/view/chosen",
    "/evidence/view/stay", "/evidence/view/package/given", "/evidence/view/keyboard", "/evidence/view/glass",
    *(f"/evidence/view/objects/{{id}}{end}" for end in (
        "", "/label", "/notes", "/original-of", "/hold", "/retention", "/review", "/original",
        "/playable", "/player", "/trail.pdf", "/trail.json")),
    "/evidence/view/holds/{id}/release", "/evidence/view/reviews/{id}", "/evidence/view/reviews/{id}/certificate",
]  # fmt: skip


async def test_every_route_carries_a_guard_and_every_page_asks_who_is_there(wire: Wire):
    app = make_app(wire.store)
    bare = [
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and access.guard_of(route.handler) is None
    ]
    assert not bare
    ours = {
        route.resource.canonical: access.guard_of(route.handler)
        for route in app.router.routes()
        if route.resource is not None and inspect.unwrap(route.handler).__module__.startswith("evidence_store.view.")
    }
    known = {path for path, guard in ours.items() if not str(guard).startswith("person")}
    assert known == {"/evidence/view/enter", "/evidence/view/files/{build}/{name}"}
    object_id = await sealed(wire)
    async with nobody(wire) as stranger:
        for path in PAGES:
            assert "Open the evidence store" in await stranger.get(path.format(id=object_id), status=401)
            assert "window.jpg" not in await stranger.get(path.format(id=object_id), status=401)


async def test_an_officer_labels_and_notes_in_one_incident_and_can_do_nothing_else(wire: Wire):
    mine, other = await sealed(wire), await sealed(wire, 2, incident="AP-0000-0000", name="secret.jpg")
    async with person(wire, "smith", role="officer", incident=INCIDENT) as officer:
        here = f"/evidence/view/objects/{mine}"
        page = words_of(await officer.get(here))
        assert "Label as an exhibit" in page
        for word in ("Place a hold", "Review", "Custody", "Set how long", "To do"):
            assert word not in page
        await officer.post(f"{here}/label", mark="JS/1", description="Window", maker="Jo Smith")
        for path in (f"{here}/hold", f"{here}/retention", f"{here}/review", "/evidence/view/work"):
            assert "does not allow this" in await officer.get(path, status=403)
        await officer.post(f"{here}/hold", status=403, what="object", reason="Appeal", confirm="yes")
        await officer.get(f"/evidence/view/objects/{other}", status=404)
        await officer.post(f"/evidence/view/objects/{other}/notes", status=404, text="x")
        await officer.post("/evidence/view/chosen", status=403, object=mine)
        found = words_of(await officer.get("/evidence/?search=yes"))
        assert "JS/1" in found
        assert "secret.jpg" not in found
        await officer.get("/evidence/?search=yes&incident=AP-0000-0000", status=404)
    assert tickets.ROLES["officer"] == {Scope.READ, Scope.ANNOTATE}


async def test_quarantined_evidence_opens_for_evidence_staff_alone(wire: Wire):
    path, auth = await wire.create(jpeg(900))
    await wire.patch(path, auth, 0, jpeg(900))
    await wire.digest(path, auth, "0" * 64)
    here = f"/evidence/view/objects/{path.rsplit('/', 1)[1]}"
    async with person(wire) as ann:
        assert "does not have the digest that the sender announced" in await ann.get(here)
        assert "quarantined" in await ann.get(f"{here}/original")
    async with person(wire, "smith", role="officer", incident=INCIDENT) as officer:
        assert "Save the original" not in await officer.get(here)
        await officer.get(f"{here}/original", status=409)
        await officer.post(f"{here}/original", status=409, purpose="To look at it")


@both_databases
async def test_who_can_only_write_in_the_database_lets_nobody_in_and_makes_nobody_more(wire: Wire, clock):
    visits = METADATA.tables["view_sessions"]
    async with person(wire, role="officer", incident=INCIDENT) as ann, wire.store.database.read() as db:
        good = (await db.execute(select(visits))).one()._asdict()
        later = {"ends_at": clock() + timedelta(days=7)}
        other = {"incident": "AP-0000-0001"}
        for changed in ({"role": "evidence"}, other, {"person": "bob"}, {"title": "B"}, {"reference": ""}, later):
            async with wire.store.database.begin() as writes:
                await writes.execute(update(visits).values(good | changed))
            await ann.get("/evidence/", status=401)
        async with wire.store.database.begin() as writes:
            await writes.execute(update(visits).values(good))
        await ann.get("/evidence/")
    async with nobody(wire) as eve:
        for cookie in ("0" * 64, "0" * 64 + ".", "0" * 64 + "." + "A" * 43):
            made = good | {"id": signing.new_id(), "ticket": signing.new_id(), "role": "evidence"}
            async with wire.store.database.begin() as writes:
                await writes.execute(insert(visits).values(made | {"secret_sha256": sha256(cookie.encode())}))
            eve.http.headers["Cookie"] = f"{COOKIE}={cookie}"
            await eve.get("/evidence/", status=401)
