"""A room to test in: an appointment that starts now, people who wait or are let in, staff who sit down."""

from collections.abc import Awaitable, Callable

import pytest

from tests.cases import book_now
from tests.conftest import AddStaff, HeldClock
from video_server.accounts.model import Role as StaffRole
from video_server.appointments.model import Appointment
from video_server.calls import arriving, listening, presence, safety, service
from video_server.calls.model import Role, RoomView, Watched
from video_server.core.database import Database
from video_server.core.keys import KeyRing
from video_server.web import sessions


@pytest.fixture
async def appointment(database: Database, key_ring: KeyRing, clock: HeldClock, add_staff: AddStaff) -> Appointment:
    """An appointment of PC Smith that starts now."""
    officer = await add_staff("smith", StaffRole.OFFICER)
    return await book_now(database, key_ring, officer_id=officer.id, now=clock())


Arrive = Callable[[], Awaitable[str]]


@pytest.fixture
def waiting(database: Database, appointment: Appointment, clock: HeldClock) -> Arrive:
    """Let one more session of the link arrive, answer that it is safe, and wait; return its session id."""

    async def arrive() -> str:
        async with database.begin() as db:
            session, _ = await sessions.open_session(db, "phone", appointment.id, now=clock())
            person = await arriving.arrive(
                db, appointment, session_id=session.id, role=Role.VICTIM, device="iPhone, Safari", now=clock()
            )
            await safety.answer_safety(
                db, appointment, session_id=session.id, safe_place=True, watched=Watched.NO, now=clock()
            )
            await service.start_waiting(db, person.id, now=clock())
            await presence.take_socket(db, person, socket=session.id, now=clock())
        return session.id

    return arrive


@pytest.fixture
def look(database: Database, appointment: Appointment) -> Callable[[], Awaitable[RoomView]]:
    async def read() -> RoomView:
        async with database.read() as db:
            return await service.view(db, appointment.id)

    return read


@pytest.fixture
def sit(database, appointment, clock, add_staff):
    """Seat a member of staff: await sit("boss", Role.SUPERVISOR, listens=True)."""

    async def take(username: str, *, listens: bool = False, name: str = "Sgt Boss"):
        staff = await add_staff(username, StaffRole.SUPERVISOR, name=name)
        async with database.begin() as db:
            session, _ = await sessions.open_session(db, "staff", staff.id, now=clock())
            role = Role.SUPERVISOR if listens else Role.OFFICER
            person = await arriving.arrive(
                db, appointment, session_id=session.id, role=role, device="", now=clock(), staff=staff
            )
            await presence.take_socket(db, person, socket=session.id, now=clock())
            return await listening.start(db, person, now=clock()) if listens else person

    return take


@pytest.fixture
def admitted(database, appointment, clock, waiting, look):
    """Let a victim's session in; return the participant."""

    async def let_in():
        session_id = await waiting()
        person = (await look()).of_session(session_id)
        async with database.begin() as db:
            return await service.admit(db, appointment, person.id, by="s" * 32, now=clock())

    return let_in
