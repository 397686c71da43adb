"""Breaking the glass on the store's pages: who may, what it opens, for how long, and who is told."""

import json
import re

import pytest

from evidence_store.config import Settings, load
from evidence_store.errors import CannotStart
from evidence_store.notify.storage import list_due_events
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg
from tests.evidence.view_support import Person, person, sealed, words_of

OTHER = "AP-0000-0000"
HERE = "/evidence/view/glass"
WHY = {"purpose": "child", "reason": "The suspect is with the child now"}
TOLD = "A child may be at risk: The suspect is with the child now"


@pytest.fixture
def evidence_settings(evidence_settings: Settings) -> Settings:
    return evidence_settings.model_copy(update={"break_glass_roles": "officer"})


def officer(wire: Wire, name: str = "smith"):
    return person(wire, name, role="officer", incident=OTHER, home="/booth")


async def alarms(wire: Wire) -> list[dict[str, str]]:
    async with wire.store.database.read() as db:
        events = await list_due_events(db, now=wire.clock(), limit=100)
    return [said for event in events if (said := json.loads(event.body))["type"] == "break-glass"]


async def way_in(smith: Person, path: str) -> str:
    """Be refused, as plainly as for what does not exist; return where the emergency's form is."""
    page = await smith.get(path, status=404)
    assert "belongs to another incident than the one you came in for" in page
    return re.search(r'href="(/evidence/view/glass[^"]+)"', page)[1].replace("&amp;", "&")


@both_databases
async def test_an_officer_opens_one_exhibit_of_another_incident_for_some_minutes(wire: Wire, clock):
    object_id, sibling = await sealed(wire), await sealed(wire, 2, name="door.jpg")
    path = f"/evidence/view/objects/{object_id}"
    async with officer(wire) as smith:
        form = words_of(await smith.get(await way_in(smith, path)))
        assert "Supervisors are told at once" in form
        assert "for 15 minutes: until about 2 March 2026 at 10:15" in form
        assert "window.jpg" not in form, "the form says nothing of what there is"
        assert not await alarms(wire)
        wrong = words_of(await smith.post(HERE, status=422, object=object_id, reason="now"))
        assert "Choose what it is about" in wrong
        assert "Say in 10 to 400 characters why it cannot wait" in wrong
        asked = {"object": object_id, "act": "1", **WHY}
        for _ in range(2):  # a form that is sent again alarms nobody twice
            assert await smith.post(HERE, **asked) == f"{path}?done=glass"
        page = words_of(await smith.get(path))
        assert "window.jpg" in page
        assert "open to you in an emergency until 2 March 2026 at 10:15" in page
        for deed in ("Add a note", "Label as", "Choose for a court package"):
            assert deed not in page
        form = {"purpose": "To find them", "form_key": smith.form_key()}
        async with smith.http.post(f"{path}/original", data=form) as sent:
            assert await sent.read() == jpeg(3000, 1)
        await smith.post(f"{path}/notes", status=404, text="Mine")
        await smith.get(f"/evidence/view/objects/{sibling}", status=404)
        await smith.get(f"/evidence/?search=yes&incident={INCIDENT}", status=404)
        async with officer(wire, "jones") as jones:
            await jones.get(path, status=404)
        clock.move(minutes=15)
        await smith.get(path, status=404)
    [alarm] = await alarms(wire)
    assert (alarm["object"], alarm["incident"], alarm["reason"]) == (object_id, INCIDENT, TOLD)
    assert alarm["actor"].startswith("staff:smith:")
    lines = await wire.lines(object_id)
    [broken] = [line for line in lines if line["action"] == "break-glass"]
    assert (broken["purpose"], broken["actor"]) == (TOLD, alarm["actor"])
    looked = [line for line in lines if line["actor"] == alarm["actor"] and line["action"] in {"viewed", "downloaded"}]
    assert [line["purpose"] for line in looked] == [
        f"break-glass {broken['details']['glass']}", f"break-glass {broken['details']['glass']} To find them",
    ]  # fmt: skip
    assert {line["details"]["asked"] for line in lines if line["action"] == "refused"} >= {"view.object"}


@both_databases
async def test_all_of_an_incident_is_opened_and_stands_in_the_custody_of_each_exhibit(wire: Wire, clock):
    first, second = await sealed(wire), await sealed(wire, 2, name="door.jpg")
    third = await sealed(wire, 3, incident="AP-1111-1111", name="third.jpg")
    search = f"/evidence/?search=yes&incident={INCIDENT}"
    async with officer(wire) as smith:
        assert "all evidence of this incident" in await smith.get(await way_in(smith, search))
        where = await smith.post(HERE, incident=INCIDENT, **WHY)
        assert where == f"{search}&done=glass"
        page = words_of(await smith.get(where))
        for words in ("window.jpg", "door.jpg", "Supervisors were told", "This is not your incident"):
            assert words in page
        for one in (first, second):
            assert "This is not your incident" in await smith.get(f"/evidence/view/objects/{one}")
        await smith.get(f"/evidence/view/objects/{third}", status=404)
        assert "window.jpg" not in await smith.get("/evidence/?search=yes"), "without it named, one's own is searched"
        clock.move(minutes=15)
        await smith.get(search, status=404)
    [alarm] = await alarms(wire)
    assert (alarm["object"], alarm["incident"]) == ("", INCIDENT)
    async with person(wire) as ann:
        for one in (first, second):
            history = words_of(await ann.get(f"/evidence/view/objects/{one}"))
            assert f"Emergency access to the whole incident smith , 10:00:00 GMT Reason: {TOLD}" in history
    searches = [line for line in await wire.lines() if line["details"].get("search") == {"incident": INCIDENT}]
    assert searches[0]["purpose"].startswith("break-glass ")


async def test_what_never_existed_is_refused_in_the_same_words_and_alarms_nobody(wire: Wire):
    object_id = await sealed(wire)
    async with officer(wire) as smith:
        there = await smith.get(f"/evidence/view/objects/{object_id}", status=404)
        never = await smith.get(f"/evidence/view/objects/{'0' * 32}", status=404)
        assert there.replace(object_id, "0" * 32) == never
        for asked in ({"object": "0" * 32}, {"incident": "AP-9999-9999"}, {}):
            assert "There is no evidence under this reference" in await smith.post(HERE, status=422, **asked, **WHY)
    assert not await alarms(wire)


async def test_ones_own_incident_needs_no_glass(wire: Wire):
    object_id = await sealed(wire, incident=OTHER)
    async with officer(wire) as smith:
        await smith.post(HERE, object=object_id, **WHY)
        assert "This is not your incident" not in await smith.get(f"/evidence/view/objects/{object_id}")
    assert not await alarms(wire)


async def test_where_the_force_does_not_allow_it_nobody_is_offered_it(wire: Wire):
    object_id = await sealed(wire)
    wire.store.settings = wire.store.settings.model_copy(update={"break_glass_roles": ""})
    async with officer(wire) as smith:
        page = await smith.get(f"/evidence/view/objects/{object_id}", status=404)
        assert "ask evidence staff" in page
        assert HERE not in page
        await smith.get(f"{HERE}?object={object_id}", status=403)
        await smith.post(HERE, status=403, object=object_id, **WHY)
    async with person(wire) as ann:
        assert HERE not in await ann.get(f"/evidence/view/objects/{'0' * 32}", status=404)
        await ann.post(HERE, status=403, object=object_id, **WHY)
    assert not await alarms(wire)


@pytest.mark.parametrize("roles", ["evidence", "officer, boss"])
def test_only_roles_that_see_one_incident_may_be_allowed_it(roles):
    with pytest.raises(CannotStart, match="BREAK_GLASS_ROLES"):
        load(None, data="d", keys="k", break_glass_roles=roles)
