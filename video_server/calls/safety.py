"""The questions before a call: is it safe to talk, could they see or hear you, what is the agreed word."""

from datetime import datetime, timedelta

from video_server.appointments.model import Appointment
from video_server.calls import alerts, storage
from video_server.calls.model import FINAL, AlertKind, Participant, State, Watched, Word
from video_server.calls.service import OPEN, CannotJoin, get_by_session, tell
from video_server.core import keys
from video_server.core.database import Connection
from video_server.core.errors import N_
from video_server.incidents import service as incidents
from video_server.tasks import service as tasks
from video_server.texts import service as texts
from video_server.web import limits
from video_server.web.limits import Ceiling

MOST_WRONG_WORDS = 5
"""Of one page; whoever does not remember goes on without."""
MOST_WRONG_WORDS_OF_LINK = 20
"""Of all pages of one link: there are some 1,400 words to be guessed among, and each page can be opened anew."""
_WORDS_COUNT_FOR = timedelta(days=2)  # longer than any link leads anywhere once its room has opened


async def answer_safety(
    db: Connection,
    appointment: Appointment,
    *,
    session_id: str,
    safe_place: bool,
    watched: Watched | None,
    now: datetime,
) -> State:
    """Note the answers to "are you safe?" and "could they see or hear you?"; return the state that follows.

    watched   None while the second question was not asked yet
    An unsafe answer is final for this session: the booth is alarmed, nothing is sent, a person decides how to go on.
    Raises    CannotJoin
    """
    person = await get_by_session(db, appointment.id, session_id)
    if not safe_place or watched is Watched.YES:
        return await _become_unsafe(db, appointment, person, safe_place=safe_place, now=now)
    if person.state in FINAL:
        raise CannotJoin
    if watched is None or person.state is not State.ARRIVED:
        return person.state
    if not await storage.participants.change_state(db, person.id, to=State.CHECKING, given=[State.ARRIVED]):
        raise CannotJoin
    await tell(db, person, "calls.safe", now=now, watched=watched.value)
    return State.CHECKING


async def _become_unsafe(
    db: Connection, appointment: Appointment, person: Participant, *, safe_place: bool, now: datetime
) -> State:
    if person.state is State.UNSAFE:
        return State.UNSAFE
    if not await storage.participants.change_state(db, person.id, to=State.UNSAFE, given=OPEN, left_at=now):
        raise CannotJoin
    await incidents.hold_contact(db, appointment.person_id, why="unsafe_answer", by="system:phone", now=now)
    await texts.void(db, subject=f"appointment:{appointment.id}", now=now)
    await alerts.alarm(db, person, AlertKind.UNSAFE, now=now)
    await tell(db, person, "calls.unsafe", now=now, safe_place=safe_place)
    await tasks.open_task(
        db,
        kind="unsafe_answer",
        subject=f"appointment:{person.appointment_id}",
        note=N_("Said it is not safe to talk. Do not ring or text. Decide how to reach this person safely."),
        due_at=now + timedelta(minutes=15),
        now=now,
    )
    return State.UNSAFE


async def give_word(db: Connection, appointment: Appointment, *, session_id: str, word: str, now: datetime) -> Word:
    """Compare the agreed word; wrong stays wrong until it is given right. The person is not told which.

    Nobody finds it by trying: past MOST_WRONG_WORDS, or MOST_WRONG_WORDS_OF_LINK, whatever is given is wrong.
    """
    person = await get_by_session(db, appointment.id, session_id)
    said = Word.RIGHT if await _is_agreed(db, appointment, person, word, now=now) else Word.WRONG
    if said is person.word:
        return said
    await storage.participants.set_word(db, person.id, said)
    await tell(db, person, "calls.word_given", now=now, word=said.value)
    return said


async def _is_agreed(
    db: Connection, appointment: Appointment, person: Participant, word: str, *, now: datetime
) -> bool:
    ceilings = [
        Ceiling(f"word-of-page:{keys.digest(person.session_id)[:32]}", MOST_WRONG_WORDS, _WORDS_COUNT_FOR),
        Ceiling(f"word-of-link:{keys.digest(appointment.id)[:32]}", MOST_WRONG_WORDS_OF_LINK, _WORDS_COUNT_FOR),
    ]
    if await limits.reached(db, ceilings, now=now):
        return False
    counts = await limits.count_failure(db, ceilings, now=now)  # before it is compared: others may try at the same time
    if counts is None:
        return False
    if _plain(word) == _plain(appointment.agreed_word):
        await limits.take_back(db, ceilings)
        return True
    if any(count == ceiling.most for count, ceiling in zip(counts, ceilings, strict=True)):
        await tell(db, person, "calls.words_used_up", now=now)
    return False


def _plain(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())
