"""A witness statement: its states, what may happen in each, its paragraphs, and exactly what is shown of it.

draft → read → sealing → signed. The text may be corrected until it is signed, under the reader's eyes as well: what a
paragraph was confirmed for is its text, so a changed paragraph must be confirmed anew. From `sealing` on nothing
changes any more; whoever wants to add something makes a further statement.

Sources: Criminal Justice Act 1967 s.9; Criminal Procedure Rules part 16; CPIA Code 5.4 (drafts are kept).
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import zip_longest

from video_server.core import keys
from video_server.core.errors import N_, Conflict, Refusal
from video_server.statements.declaration import Declaration
from video_server.statements.exhibits import Exhibit
from video_server.statements.languages import LANGUAGES
from video_server.statements.typed import NAME_CHARACTERS, clean_name, split_paragraphs

ADULT_AGE = 18


class State(StrEnum):
    """Where a statement stands."""

    DRAFT = "draft"  # the officer writes
    READ = "read"  # offered: the witness reads and confirms
    SEALING = "sealing"  # signed by the witness; on its way to the evidence store
    SIGNED = "signed"  # the evidence store has acknowledged it


class Deed(StrEnum):
    """What can be done to a statement."""

    EDIT = "edit"
    OFFER = "offer"
    TAKE_BACK = "take_back"
    ANSWER = "answer"
    SIGN = "sign"
    SEAL = "seal"


MOVES: Mapping[tuple[Deed, State], State] = {
    (Deed.EDIT, State.DRAFT): State.DRAFT,
    (Deed.EDIT, State.READ): State.READ,
    (Deed.OFFER, State.DRAFT): State.READ,
    (Deed.TAKE_BACK, State.READ): State.DRAFT,
    (Deed.ANSWER, State.READ): State.READ,
    (Deed.SIGN, State.READ): State.SEALING,
    (Deed.SEAL, State.SEALING): State.SIGNED,
}
"""All that may ever happen. Whatever is not here is refused."""
OPEN = frozenset({State.DRAFT, State.READ})


class Answer(StrEnum):
    """What the witness says of a paragraph."""

    RIGHT = "right"
    WRONG = "wrong"


class NotNow(Conflict):
    """The statement is in a state in which this cannot be done."""

    code = "statement_not_now"
    public = N_("The statement has gone on. Look at it again before you go on.")


class TextChanged(Conflict):
    """What the reader signed is not what stands there."""

    code = "statement_changed"
    public = N_("The statement was changed while you read it. Read it again before you sign.")


class BadHeading(Refusal):
    code = "statement_bad_heading"
    status = 422
    public = N_("Check the witness's name and age. An age is needed only under 18.")


@dataclass(frozen=True)
class Heading:
    """What stands above the text.

    age               only for a witness under 18
    reader_name       who read it aloud to a witness who cannot read; "" when the witness reads
    interpreter_name  who interpreted, and `spoken` from which language (a tag of LANGUAGES); both "" for nobody
    """

    name: str
    age: int | None = None
    reader_name: str = ""
    interpreter_name: str = ""
    spoken: str = ""

    @property
    def is_interpreted(self) -> bool:
        """Say whether the statement is taken through an interpreter; while drafting name or language may be missing."""
        return bool(self.interpreter_name or self.spoken)


@dataclass(frozen=True)
class Paragraph:
    """One paragraph. `key` names its text, so that a confirmation follows the text and not the number.

    original  the same in the language of a witness who speaks through an interpreter: what they confirm and sign
    """

    number: int
    text: str
    key: str
    original: str = ""


@dataclass(frozen=True)
class Statement:
    """One statement of one witness.

    version       grows with every change to what would be signed; text_version with those to the text alone,
                  original_version with those to the original alone
    live          the witness sees the draft as it is written
    taken_by      staff id
    original      the text in the language of a witness who speaks through an interpreter; `text` is its translation
    """

    id: str
    appointment_id: str
    number: int
    state: State
    version: int
    text_version: int
    text: str
    heading: Heading
    exhibits: tuple[Exhibit, ...]
    language: str
    live: bool
    taken_by: str
    begun_at: datetime
    saved_at: datetime | None
    offered_at: datetime | None
    signed_at: datetime | None
    sealed_at: datetime | None
    original: str = ""
    original_version: int = 0

    @property
    def paragraphs(self) -> tuple[Paragraph, ...]:
        """Return the paragraphs, numbered from 1, each with its original when it was interpreted."""
        originals = split_paragraphs(self.original) if self.heading.is_interpreted else ()
        seen: Counter[str] = Counter()
        found = []
        for number, (text, original) in enumerate(zip_longest(split_paragraphs(self.text), originals, fillvalue=""), 1):
            words = f"{text}\x00{original}" if self.heading.is_interpreted else text
            seen[words] += 1
            key = keys.digest_text(f"{self.id}\x00{seen[words]}\x00{words}")
            found.append(Paragraph(number, text, key, original))
        return tuple(found)


def move(state: State, deed: Deed) -> State:
    """Return the state after a deed. Raises NotNow."""
    try:
        return MOVES[deed, state]
    except KeyError:
        raise NotNow(f"{deed} in {state}") from None


def states_for(deed: Deed) -> tuple[State, ...]:
    """Return the states in which a deed may happen, for a conditional UPDATE."""
    return tuple(state for (named, state) in MOVES if named is deed)


def make_heading(name: str, age: int | None, reader_name: str, interpreter_name: str = "", spoken: str = "") -> Heading:
    """Return a heading, trimmed. An empty name is fine while drafting. Raises BadHeading."""
    name, reader_name, interpreter_name = map(clean_name, (name, reader_name, interpreter_name))
    if max(map(len, (name, reader_name, interpreter_name))) > NAME_CHARACTERS:
        raise BadHeading
    if (age is not None and not 0 < age < ADULT_AGE) or (spoken and spoken not in LANGUAGES):
        raise BadHeading
    return Heading(name, age, reader_name, interpreter_name, spoken)


def write_shown(
    statement: Statement, declaration: Declaration, *, reference: str, interpreters: Declaration | None = None
) -> str:
    """Write down exactly what the witness is shown, in one canonical form: sorted JSON without spaces.

    interpreters  the interpreter's declaration, of a statement that is taken through one
    """
    heading = statement.heading
    shown: dict[str, object] = {
        "reference": reference,
        "number": statement.number,
        "name": heading.name,
        "age": heading.age,
        "reader": heading.reader_name,
        "paragraphs": [paragraph.text for paragraph in statement.paragraphs],
        "exhibits": [[exhibit.mark, exhibit.description] for exhibit in statement.exhibits],
        "declaration": declaration.text,
        "provision": declaration.provision,
        "language": statement.language,
    }
    if interpreters is not None:
        shown |= {
            "interpreter": heading.interpreter_name,
            "spoken": heading.spoken,
            "originals": [paragraph.original for paragraph in statement.paragraphs],
            "interpreters_declaration": interpreters.text,
            "interpreters_provision": interpreters.provision,
        }
    return json.dumps(shown, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
