"""The demo: an invented force's staff, and one appointment that is always open now. Every start repeats it safely."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from video_server.accounts import passwords
from video_server.accounts import service as accounts
from video_server.accounts.model import Role
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment, State, room_opens_at
from video_server.config import Settings
from video_server.core import keys
from video_server.core.database import Connection, Database
from video_server.core.errors import CannotStart
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import SafeContact, Wording

BY = "system:demo"
OFFICER = "smith"
STAFF = (
    (OFFICER, "PC Smith", "1234", (Role.OFFICER,)),
    ("handler", "Alex Jones", "5678", (Role.CALL_HANDLER,)),
    ("hughes", "Robin Hughes", "E12", (Role.EVIDENCE,)),
    ("owen", "Kim Owen", "E15", (Role.EVIDENCE,)),
    ("supervisor", "Sgt Patel", "77", (Role.SUPERVISOR, Role.CALL_HANDLER)),
)
VICTIM_MOBILE = "+447700900123"  # Ofcom's range for drama: nobody has it
_ENOUGH_LEFT = timedelta(minutes=15)
_TRIED_MINUTES = (0, 5, 10, 15, 20, 25, -5, -10, -15, -20, -25)
"""Starts around now that leave the room open and enough time in it."""


@dataclass(frozen=True)
class Demo:
    """What the operator needs to try it."""

    passwords: Mapping[str, str]
    join_path: str


async def ensure(settings: Settings, key_ring: keys.KeyRing, *, now: datetime) -> Demo:
    """Make what is missing: staff with the passwords kept in the data folder, and an appointment open now."""
    force = settings.force()
    known = keep_passwords(settings.data / "demo" / "sign-in.json", [username for username, *_ in STAFF])
    database = Database(settings.database_url)
    try:
        for username, name, collar_number, roles in STAFF:
            await _ensure_account(database, username, name, collar_number, roles, known[username], now=now)
        async with database.begin() as db:
            appointment = await _ensure_appointment(db, force, key_ring, now=now)
    finally:
        await database.dispose()
    return Demo(known, f"/j/{key_ring.link_token(appointment.id, appointment.generation)}")


def say(settings: Settings, demo: Demo) -> list[str]:
    """Return the lines that tell how to try it."""
    origin = settings.origin
    return [
        "Video appointments are running. This is a demo: every person in it is invented.",
        f"  Booth            {origin}/booth  sign in as: smith  password: {demo.passwords['smith']}",
        f"  Call handler     {origin}/desk  sign in as: handler  password: {demo.passwords['handler']}",
        f"  Supervisor       {origin}/desk  sign in as: supervisor  password: {demo.passwords['supervisor']}",
        f"  Evidence staff   {origin}/evidence/  sign in as: hughes  password: {demo.passwords['hughes']}",
        f"  and a second one {origin}/evidence/  sign in as: owen  password: {demo.passwords['owen']}",
        f"  Victim's link    {origin}{demo.join_path}",
        f"  Texts appear at  {origin}/demo/texts",
    ]


def keep_passwords(file: Path, usernames: list[str]) -> dict[str, str]:
    """Read the demo's passwords, making those that are missing; only this account can read the file."""
    try:
        known = json.loads(file.read_bytes()) if file.exists() else {}
        if not isinstance(known, dict) or not all(isinstance(kept, str) and kept for kept in known.values()):
            raise ValueError
        missing = {username: keys.new_password() for username in usernames if username not in known}
        if missing or file.stat().st_mode & 0o077:
            keys.write_secret(file, json.dumps(known | missing, indent=2).encode())
    except OSError as problem:
        raise CannotStart(f"The demo's passwords in {file} cannot be kept ({problem.strerror}).") from None
    except ValueError:
        raise CannotStart(f"The demo's passwords in {file} cannot be read: delete the file to have new ones.") from None
    return known | missing


async def _ensure_account(
    database: Database,
    username: str,
    name: str,
    collar_number: str,
    roles: tuple[Role, ...],
    password: str,
    *,
    now: datetime,
) -> None:
    async with database.read() as db:
        person = await accounts.find_by_username(db, username)
    if person is not None and await accounts.password_fits(database, username, password):
        return
    password_hash = await passwords.hash_password(password)
    async with database.begin() as db:
        if person is not None:
            await accounts.set_password(db, person.id, password_hash=password_hash, now=now)
            return
        await accounts.add_staff(
            db,
            username=username,
            name=name,
            collar_number=collar_number,
            roles=roles,
            password_hash=password_hash,
            now=now,
        )


async def _ensure_appointment(db: Connection, force: Force, key_ring: keys.KeyRing, *, now: datetime) -> Appointment:
    officer = await accounts.find_by_username(db, OFFICER)
    assert officer is not None
    days = sorted({(now + timedelta(minutes=minutes)).astimezone(force.timezone).date() for minutes in (-60, 0, 30)})
    around = [
        appointment
        for day in days
        for appointment in await appointments.list_day(db, officer_id=officer.id, day=day, force=force)
        if appointment.state is State.BOOKED and room_opens_at(appointment, force) <= now < appointment.ends_at
    ]
    for appointment in around:
        if appointment.booked_by == BY and now + _ENOUGH_LEFT <= appointment.ends_at:
            return appointment
    incident = await incidents.record_incident(
        db,
        offence_type="criminal_damage",
        victim_name="Sam Taylor",
        victim_mobile=VICTIM_MOBILE,
        language="en",
        safe_contact=SafeContact(may_text=True, wording=Wording.PLAIN),
        eligibility=Eligibility(adult_or_guardian=True, has_smartphone=True, offender_absent=True, safe_place=True),
        by=BY,
        now=now,
    )
    minute = now.replace(second=0, microsecond=0)
    for minutes in _TRIED_MINUTES:
        try:
            return await appointments.book(
                db,
                incident=incident,
                person_id=incident.victim_id,
                starts_at=minute + timedelta(minutes=minutes),
                officer_id=officer.id,
                by=BY,
                now=now,
                force=force,
                key_ring=key_ring,
                allow_any_time=True,
            )
        except appointments.SlotTaken:
            continue
    if around:
        return around[0]  # somebody has filled the officer's hour; then theirs is the one that is open
    raise CannotStart("The demo's officer has no time left today: start with another data folder (DATA=).")
