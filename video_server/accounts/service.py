"""Sign in and out, and the making of accounts."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from video_server.accounts import allowances, metrics, passwords, storage
from video_server.accounts.model import Role, Staff
from video_server.audit import service as audit
from video_server.core import keys
from video_server.core.database import Connection, Database, IntegrityError
from video_server.core.errors import N_, Conflict, Refusal, TooMany
from video_server.core.log import get_logger
from video_server.web import limits, sessions

log = get_logger(__name__)


class SignInRefused(Refusal):
    """Unknown user and wrong password are told alike."""

    code = "sign_in_refused"
    status = 422
    public = N_("The username or the password is not right. Check both and try again.")


class LockedOut(TooMany):
    code = "locked_out"
    public = N_(
        "Too many wrong passwords. Use a computer that you have signed in on before, wait 15 minutes, or ask an "
        "administrator to set a new password."
    )


class UsernameTaken(Conflict):
    code = "username_taken"
    public = N_("Another account has this username. Choose a different one.")


async def sign_in(
    database: Database, *, username: str, password: str, address: str, device_id: str = "", now: datetime
) -> tuple[Staff, str]:
    """Check a password and open a session; return who it is and the cookie's secret.

    The failure is committed before it is told: it must count even when the caller gives up. Usernames that nobody
    has are counted and told like the others.
    device_id  of a browser that has signed in to this account before, whose allowance no stranger uses up
    Raises     SignInRefused, LockedOut
    """
    bounds = allowances.ceilings(username, address=address, device_id=device_id)
    ceilings = list(bounds.values())
    async with database.read() as db:
        locked = await limits.reached(db, ceilings, now=now)
        found = await storage.find_for_sign_in(db, username)
    if locked:
        raise LockedOut
    person, password_hash = found or (None, None)
    right = await passwords.matches(password_hash, password)
    async with database.begin() as db:
        counts = await limits.count_failure(db, ceilings, now=now)
        if counts is None:  # others tried at the same time; rolled back
            raise LockedOut
        if person is not None and right:
            await limits.take_back(db, ceilings)
            await limits.forget(db, ceilings[0].name)
            session, secret = await sessions.open_session(db, "staff", person.id, now=now)
            await audit.record(
                db,
                actor=f"staff:{person.id}",
                action="accounts.signed_in",
                subject=f"staff:{person.id}",
                details={"session": session.id},
                now=now,
            )
            return person, secret
        used_up = allowances.used_up(bounds, counts)
        if person is not None:
            await _record_failure(db, person, counts[0], used_up, now=now)
    _raise_alarm(person, used_up, is_known=bool(device_id))
    raise LockedOut if counts[0] >= ceilings[0].most else SignInRefused


async def _record_failure(
    db: Connection, person: Staff, failures: int, used_up: Sequence[str], *, now: datetime
) -> None:
    await audit.record(
        db,
        actor="system:sign-in",
        action="accounts.sign_in_failed",
        subject=f"staff:{person.id}",
        details={"failures": failures, **({"locked": ",".join(used_up)} if used_up else {})},
        now=now,
    )


def _raise_alarm(person: Staff | None, used_up: list[str], *, is_known: bool) -> None:
    """Tell operators in figures of every failure, in the log of an account or an address that is closed for a while."""
    metrics.observe_failure(used_up, is_known=is_known)
    if person is not None and "account" in used_up:
        log.warning("account_closed_to_strangers", staff=person.id)
    if "address" in used_up:
        log.warning("address_closed_to_strangers")


async def sign_out(db: Connection, *, staff_id: str, session_id: str, now: datetime) -> None:
    """End this session of a member of staff."""
    await sessions.end_session(db, session_id, why="signed_out", now=now)
    await audit.record(
        db,
        actor=f"staff:{staff_id}",
        action="accounts.signed_out",
        subject=f"staff:{staff_id}",
        details={"session": session_id},
        now=now,
    )


async def add_staff(
    db: Connection,
    *,
    username: str,
    name: str,
    collar_number: str,
    roles: Iterable[Role],
    password_hash: str,
    now: datetime,
) -> Staff:
    """Make an account. Raises UsernameTaken."""
    person = Staff(keys.new_id(), username, name, collar_number, frozenset(roles))
    try:
        async with db.begin_nested():
            await storage.insert_staff(db, person, password_hash=password_hash, now=now)
    except IntegrityError as problem:
        raise UsernameTaken from problem
    await audit.record(db, actor="system:accounts", action="accounts.added", subject=f"staff:{person.id}", now=now)
    return person


async def set_password(db: Connection, staff_id: str, *, password_hash: str, now: datetime) -> None:
    """Give an account a new password; every session of it ends."""
    username = await storage.set_password(db, staff_id, password_hash=password_hash)
    await limits.forget(db, allowances.failures_of(username))
    await sessions.end_sessions_of(db, "staff", staff_id, why="password_set", now=now)
    await audit.record(
        db, actor="system:accounts", action="accounts.password_set", subject=f"staff:{staff_id}", now=now
    )


async def disable(db: Connection, staff_id: str, *, now: datetime) -> None:
    """Let nobody in with this account any more; every session of it ends. What it did stays on record."""
    await storage.disable(db, staff_id, now=now)
    await sessions.end_sessions_of(db, "staff", staff_id, why="disabled", now=now)
    await audit.record(db, actor="system:accounts", action="accounts.disabled", subject=f"staff:{staff_id}", now=now)


async def find_staff(db: Connection, staff_id: str) -> Staff | None:
    """Return an enabled member of staff, or None."""
    return await storage.find_by_id(db, staff_id)


async def find_by_username(db: Connection, username: str) -> Staff | None:
    """Return an enabled member of staff, or None."""
    found = await storage.find_for_sign_in(db, username)
    return found[0] if found else None


async def list_officers(db: Connection) -> Sequence[Staff]:
    """Return everybody who takes video appointments, by name."""
    return [person for person in await storage.list_staff(db) if person.holds(Role.OFFICER)]


async def list_staff(db: Connection) -> Sequence[Staff]:
    """Return every account, by name."""
    return await storage.list_staff(db)


async def password_fits(database: Database, username: str, password: str) -> bool:
    """Say whether this is the account's password; nothing is counted, nobody is signed in."""
    async with database.read() as db:
        found = await storage.find_for_sign_in(db, username)
    return await passwords.matches(found[1] if found else None, password)
