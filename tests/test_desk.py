"""The call handler's journeys: triage, record, book, read out, move, cancel."""

import re

import pytest

from tests import cases
from tests.cases import at
from video_server.accounts.model import Role
from video_server.appointments import service as appointments
from video_server.audit import service as audit
from video_server.core import keys
from video_server.incidents import service as incidents
from video_server.incidents.model import SafeContact, Wording
from video_server.tasks import service as tasks
from video_server.texts import service as texts

ANSWERS = {
    "immediate_threat": "no",
    "offence_type": "domestic_abuse",
    "name": "Alex Example",
    "mobile": "07700 900123",
    "language": "en",
    "may_text": "yes",
    "wording": "neutral",
    "adult_or_guardian": "yes",
    "has_smartphone": "yes",
    "offender_absent": "yes",
    "safe_place": "yes",
}


@pytest.fixture
async def handler(add_staff, sign_in):
    """A call handler's browser; one officer is on duty."""
    await add_staff("smith", Role.OFFICER)
    await add_staff("jones", Role.CALL_HANDLER, name="Jo Jones", collar_number="")
    return await sign_in("jones")


async def new_incident(client, **changed):
    page = await (await client.get("/desk/incidents/new")).text()
    form_id = re.search(r'name="form_id" value="([0-9a-f]{32})"', page)[1]
    return await client.post(
        "/desk/incidents/new", data=ANSWERS | {"form_id": form_id} | changed, allow_redirects=False
    )


async def booking_page(client, path):
    page = await (await client.get(path)).text()
    form_id = re.search(r'name="form_id" value="([0-9a-f]{32})"', page)[1]
    return form_id, re.findall(r'name="slot" id="[^"]+" value="(\d[^"]+)"', page), page


async def entries_of(database, subject):
    async with database.read() as db:
        return [entry.action for entry in await audit.list_for(db, subject)]


async def test_from_new_incident_to_the_words_to_read_out(handler, database):
    answer = await new_incident(handler)
    assert answer.status == 303
    times = answer.headers["Location"]
    form_id, slots, _ = await booking_page(handler, times)
    assert slots[0] == at("10:15").isoformat()
    answer = await handler.post(times, data={"form_id": form_id, "slot": slots[0]}, allow_redirects=False)
    assert answer.status == 303
    page = await (await handler.get(answer.headers["Location"])).text()
    appointment_id = answer.headers["Location"].rsplit("/", 1)[1]
    async with database.read() as db:
        appointment = await appointments.get(db, appointment_id)
        incident = await incidents.get_incident(db, appointment.incident_id)
    assert appointment.agreed_word in page
    assert incident.reference in page
    assert "with PC Smith, collar number 1234" in page
    assert "Waiting to be sent" in page
    assert await entries_of(database, f"incident:{incident.id}") == ["incidents.recorded", "incidents.assessed"]
    assert await entries_of(database, f"appointment:{appointment.id}") == ["appointments.booked", "appointments.viewed"]


async def test_every_missing_answer_is_told_at_once_and_what_was_typed_stays(handler):
    answer = await handler.post("/desk/incidents/new", data={"name": "Alex <b>Example", "mobile": "0770O 900123"})
    page = await answer.text()
    assert answer.status == 422
    for field in ("immediate_threat", "offence_type", "mobile", "language", "may_text", "safe_place"):
        assert f'href="#{field}"' in page
    assert "check for a letter O" in page
    assert 'value="Alex &lt;b&gt;Example"' in page


async def test_the_same_incident_form_sent_twice_is_one_incident(handler, database):
    form_id = keys.new_id()
    answers = [await new_incident(handler, form_id=form_id) for _ in range(2)]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    async with database.read() as db:
        assert len(await incidents.list_recent(db, 10)) == 1


async def test_the_same_booking_form_sent_twice_is_one_appointment(handler, database):
    times = (await new_incident(handler)).headers["Location"]
    form_id, slots, _ = await booking_page(handler, times)
    answers = [
        await handler.post(times, data={"form_id": form_id, "slot": slots[0]}, allow_redirects=False) for _ in range(2)
    ]
    assert [answer.status for answer in answers] == [303, 303]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    async with database.read() as db:
        assert len(await appointments.list_of_incident(db, times.split("/")[3])) == 1


async def test_going_back_and_booking_again_is_told_and_makes_no_second_appointment(handler, database):
    times = (await new_incident(handler)).headers["Location"]
    form_id, slots, _ = await booking_page(handler, times)
    await handler.post(times, data={"form_id": form_id, "slot": slots[0]})
    again = await handler.get(times, allow_redirects=False)
    assert (again.status, again.headers["Location"]) == (303, times.removesuffix("/book"))
    other = await handler.post(times, data={"form_id": "0" * 32, "slot": slots[1]})
    assert other.status == 409
    assert "They have an appointment already" in await other.text()
    async with database.read() as db:
        assert len(await appointments.list_of_incident(db, times.split("/")[3])) == 1


async def test_an_immediate_threat_sends_an_officer_and_offers_no_video(handler, database):
    unasked = dict.fromkeys(("adult_or_guardian", "has_smartphone", "offender_absent", "safe_place"), "")
    answer = await new_incident(handler, immediate_threat="yes", **unasked)
    path = answer.headers["Location"]
    page = await (await handler.get(path)).text()
    assert "send an officer" in page
    assert "/book" not in page
    async with database.read() as db:
        assert [task.kind for task in await tasks.list_open(db)] == ["send_officer"]
    answer = await handler.get(f"{path}/book", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, path)
    answer = await handler.post(
        f"{path}/book", data={"form_id": keys.new_id(), "slot": at("14:00").isoformat()}, allow_redirects=False
    )
    assert answer.headers["Location"] == path
    async with database.read() as db:
        assert not await appointments.list_of_incident(db, path.rsplit("/", 1)[1])


async def test_new_answers_open_the_way_to_video_and_the_old_ones_stay_on_record(handler, database):
    path = (await new_incident(handler, safe_place="no")).headers["Location"]
    assert "no safe and private place" in await (await handler.get(path)).text()
    again = {name: ANSWERS[name] for name in ("immediate_threat", "adult_or_guardian", "has_smartphone")}
    answer = await handler.post(f"{path}/questions", data=again)
    assert answer.status == 422
    again |= {"offender_absent": "yes", "safe_place": "yes"}
    answer = await handler.post(f"{path}/questions", data=again, allow_redirects=False)
    assert answer.status == 303
    assert f"{path}/book" in await (await handler.get(path)).text()
    entries = await entries_of(database, f"incident:{path.rsplit('/', 1)[1]}")
    assert entries.count("incidents.assessed") == 2


@pytest.mark.parametrize(
    ("day", "hour", "said"),
    [
        pytest.param("1/3/2026", "14:00", "This time has passed", id="past"),
        pytest.param("2/3/2026", "10:10", "too soon", id="without notice"),
        pytest.param("3/3/2026", "23:00", "no appointments at this hour", id="at night"),
        pytest.param("3/3/2026", "14:05", "quarter hour", id="between quarters"),
        pytest.param("1/12/2026", "14:00", "further ahead", id="too far"),
        pytest.param("29/3/2026", "1:30am", "clocks go forward", id="does not exist"),
        pytest.param("25/10/2026", "1:30am", "clocks go back", id="comes twice"),
        pytest.param("30/2/2026", "14:00", "real day", id="no such day"),
        pytest.param("", "", "real day", id="empty"),
    ],
)
async def test_another_time_that_cannot_be_booked_is_explained_and_books_nothing(handler, database, day, hour, said):
    times = (await new_incident(handler)).headers["Location"]
    answer = await handler.post(times, data={"form_id": keys.new_id(), "slot": "other", "day": day, "clock": hour})
    page = await answer.text()
    assert answer.status == 422
    assert said in page
    assert 'href="#day"' in page
    async with database.read() as db:
        assert not await appointments.list_of_incident(db, times.split("/")[3])


async def test_another_time_in_local_hours_is_booked(handler, sign_in, database, clock):
    clock.now = at("09:00", "2026-04-06")  # British Summer Time
    client = await sign_in("jones")
    times = (await new_incident(client)).headers["Location"]
    form = {"form_id": keys.new_id(), "slot": "other", "day": "7/4/2026", "clock": "2:15pm"}
    answer = await client.post(times, data=form, allow_redirects=False)
    assert answer.status == 303
    async with database.read() as db:
        appointment = await appointments.get(db, answer.headers["Location"].rsplit("/", 1)[1])
    assert appointment.starts_at == at("13:15", "2026-04-07")


async def test_a_time_taken_meanwhile_is_told_with_the_times_that_remain(handler, database, clock, key_ring):
    times = (await new_incident(handler)).headers["Location"]
    form_id, slots, _ = await booking_page(handler, times)
    await cases.book(database, clock, key_ring, await cases.record(database, clock), at("10:15"))
    answer = await handler.post(times, data={"form_id": form_id, "slot": slots[0]})
    page = await answer.text()
    assert answer.status == 409
    assert "Somebody else has just taken this time" in page
    assert at("11:00").isoformat() in page
    assert f'value="{slots[0]}"' not in page
    again = await handler.post(times, data={"form_id": form_id, "slot": at("11:00").isoformat()}, allow_redirects=False)
    assert again.status == 303


async def test_moving_shows_the_new_time_and_the_new_text(handler, database, clock, key_ring):
    booked = await cases.book(database, clock, key_ring, await cases.record(database, clock), at("14:00"))
    path = f"/desk/appointments/{booked.id}"
    form_id, slots, _ = await booking_page(handler, f"{path}/move")
    assert at("14:00").isoformat() not in slots  # where it is already
    refused = await handler.post(f"{path}/move", data={"form_id": form_id, "slot": at("14:15").isoformat()})
    assert refused.status == 422
    assert "Choose a reason" in await refused.text()
    form = {"form_id": form_id, "slot": at("14:15").isoformat(), "reason": "person_asked"}
    answers = [await handler.post(f"{path}/move", data=form, allow_redirects=False) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 303]
    page = await (await handler.get(path)).text()
    assert "Monday 2 March 2026 at 2:15pm" in page
    assert "New time" in page
    assert (await entries_of(database, f"appointment:{booked.id}")).count("appointments.moved") == 1


async def test_cancelling_asks_for_a_reason_and_twice_leads_to_the_same_page(handler, database, clock, key_ring):
    booked = await cases.book(database, clock, key_ring, await cases.record(database, clock), at("14:00"))
    path = f"/desk/appointments/{booked.id}"
    assert "Cancel the appointment?" in await (await handler.get(f"{path}/cancel")).text()
    assert (await handler.post(f"{path}/cancel", data={})).status == 422
    assert (await handler.post(f"{path}/cancel", data={"reason": "because"})).status == 422
    for _ in range(2):
        answer = await handler.post(f"{path}/cancel", data={"reason": "person_asked"}, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, path)
    page = await (await handler.get(path)).text()
    assert "The person asked for it" in page
    assert f"{path}/move" not in page
    for page_name in ("move", "cancel"):
        answer = await handler.get(f"{path}/{page_name}", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, path)
    form = {"form_id": keys.new_id(), "slot": at("15:00").isoformat(), "reason": "person_asked"}
    answer = await handler.post(f"{path}/move", data=form)
    assert answer.status == 409
    assert "already been cancelled" in await answer.text()


async def test_the_desk_lists_who_comes_and_what_to_do_and_a_task_is_done_once(handler, database, clock, key_ring):
    never = SafeContact(may_text=False, wording=Wording.NEUTRAL)
    incident = await cases.record(database, clock, safe_contact=never, victim_name="Pat Sample")
    await cases.book(database, clock, key_ring, incident, at("14:00"))
    other = await cases.record(database, clock, safe_contact=never)
    await cases.book(database, clock, key_ring, other, at("09:00", "2026-03-04"))
    page = await (await handler.get("/desk")).text()
    assert "Pat Sample" in page
    assert "Wednesday 4 March 2026" in page
    paths = re.findall(r'action="(/desk/tasks/[0-9a-f]{32}/finish)"', page)
    assert len(paths) == 2
    for _ in range(2):
        assert (await handler.post(paths[0], allow_redirects=False)).status == 303
    async with database.read() as db:
        assert len(await tasks.list_open(db)) == 1


@pytest.mark.parametrize(
    "typed", ["{0}", "{1}", " {2} "], ids=["as written", "lower case, no dashes", "without prefix"]
)
async def test_an_incident_is_found_by_its_reference(handler, database, clock, typed):
    incident = await cases.record(database, clock)
    reference = incident.reference
    typed = typed.format(reference, reference.lower().replace("-", ""), reference[3:].replace("-", " "))
    answer = await handler.get("/desk", params={"reference": typed}, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/desk/incidents/{incident.id}")


async def test_an_unknown_reference_is_told(handler):
    answer = await handler.get("/desk", params={"reference": "AP-2222-<b>"})
    assert answer.status == 404
    assert "No incident has this reference" in await answer.text()


async def test_other_roles_are_kept_out_and_strangers_sign_in_first(
    add_staff, sign_in, browser, database, clock, key_ring
):
    await add_staff("smith", Role.OFFICER)
    booked = await cases.book(database, clock, key_ring, await cases.record(database, clock), at("14:00"))
    officer, stranger = await sign_in("smith"), await browser()
    incident, appointment = f"/desk/incidents/{booked.incident_id}", f"/desk/appointments/{booked.id}"
    shown = ["/desk", "/desk/incidents/new", incident, f"{incident}/book", f"{incident}/questions", appointment]
    for path in [*shown, f"{appointment}/move", f"{appointment}/cancel"]:
        assert (await officer.get(path)).status == 403
        assert (await stranger.get(path, allow_redirects=False)).status == 303
    changing = ["/desk/incidents/new", f"{incident}/book", f"{incident}/questions", f"{appointment}/move"]
    for path in [*changing, f"{appointment}/cancel", f"/desk/tasks/{keys.new_id()}/finish"]:
        assert (await officer.post(path, data={"reason": "person_asked"})).status == 403
        assert (await stranger.post(path, data={})).status == 401
    async with database.read() as db:
        assert (await appointments.get(db, booked.id)).state == "booked"


@pytest.mark.parametrize("path", ["incidents/{0}", "incidents/{0}/book", "appointments/{0}", "appointments/{0}/cancel"])
async def test_ids_nobody_gave_out_are_not_found(handler, path):
    assert (await handler.get(f"/desk/{path.format(keys.new_id())}")).status == 404
    assert (await handler.get(f"/desk/{path.format('mangled')}")).status == 404


async def test_a_hold_is_shown_with_since_and_why_and_lifted_only_with_a_reason(handler, database, clock):
    incident = await cases.record(database, clock)
    path = f"/desk/incidents/{incident.id}"
    assert "on hold" not in await (await handler.get(path)).text()
    async with database.begin() as db:
        await incidents.hold_contact(db, incident.victim_id, why="unsafe_answer", by="system:phone", now=clock())
    clock.move(minutes=20)
    assert (
        "Texts are on hold since Monday 2 March 2026 at 10am. They answered" in await (await handler.get(path)).text()
    )
    page = await (await handler.get(f"{path}/contact")).text()
    assert "They answered on their phone that it was not safe to talk." in page
    held_at = re.search(r'name="held_at" value="([^"]+)"', page)[1]
    release = f"{path}/contact/release"
    refused = await handler.post(release, data={"held_at": held_at})
    assert (refused.status, 'href="#reason"' in await refused.text()) == (422, True)
    async with database.begin() as db:  # it is said once more while the page is open
        await incidents.hold_contact(db, incident.victim_id, why="unsafe_answer", by="system:phone", now=clock())
    answers = {"held_at": held_at, "reason": "officer_checked"}
    assert (await handler.post(release, data=answers)).status == 409
    page = await (await handler.get(f"{path}/contact")).text()
    answers["held_at"] = re.search(r'name="held_at" value="([^"]+)"', page)[1]
    answer = await handler.post(release, data=answers, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, path)
    assert "on hold" not in await (await handler.get(path)).text()
    assert "incidents.contact_released" in await entries_of(database, f"incident:{incident.id}")
    assert (await handler.post(release, data=answers)).status == 409


async def test_the_wish_about_texts_can_be_changed_after_recording(handler, database, clock):
    incident = await cases.record(database, clock)
    path = f"/desk/incidents/{incident.id}/contact"
    refused = await handler.post(path, data={"wording": "plain", "not_before": "9:00", "not_after": "9:00"})
    page = await refused.text()
    assert refused.status == 422
    for field in ("may_text", "not_after"):
        assert f'href="#{field}"' in page
    wishes = {"may_text": "yes", "wording": "plain", "not_before": "9am", "not_after": "17:30"}
    answer = await handler.post(path, data=wishes, allow_redirects=False)
    assert answer.status == 303
    assert "Yes, plain wording, between 09:00 and 17:30" in await (await handler.get(answer.headers["Location"])).text()
    page = await (await handler.get(path)).text()
    assert 'value="17:30"' in page
    assert (await handler.post(path, data={"may_text": "no"}, allow_redirects=False)).status == 303
    async with database.read() as db:
        assert not (await incidents.get_person(db, incident.victim_id)).may_be_texted


async def test_cancelling_because_video_is_not_safe_texts_nobody_and_holds_contact(handler, database):
    times = (await new_incident(handler)).headers["Location"]
    form_id, slots, _ = await booking_page(handler, times)
    answer = await handler.post(times, data={"form_id": form_id, "slot": slots[0]}, allow_redirects=False)
    path = answer.headers["Location"]
    assert (await handler.post(f"{path}/cancel", data={"reason": "not_safe"}, allow_redirects=False)).status == 303
    async with database.read() as db:
        appointment = await appointments.get(db, path.rsplit("/", 1)[1])
        victim = await incidents.get_person(db, appointment.person_id)
        queued = await texts.list_for(db, f"appointment:{appointment.id}")
        assert [task.kind for task in await tasks.list_open(db)] == ["text_refused"]
    assert victim.held_why == "cancelled_not_safe"
    assert {text.state for text in queued} == {"void"}
    assert "cancelled" not in {text.kind for text in queued}
