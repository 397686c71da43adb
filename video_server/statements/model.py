"""A witness statement: its text, its states, what may change when, and the digest of exactly what was shown.

draft → read → sealing → signed. The text may be corrected until it is signed, under the reader's eyes as well: what a
paragraph was confirmed for is its text, so a changed paragraph must be confirmed anew. From `sealing` on nothing
changes any more; whoever wants to add something makes a further statement.

Sources: Criminal Justice Act 1967 s.9; Criminal Procedure Rules part 16; CPIA Code 5.4 (drafts are kept).
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import zip_longest

from video_server.core import keys
from video_server.core.errors import N_, Conflict, Refusal
from video_server.statements.declaration import Declaration
from video_server.statements.languages import LANGUAGES

TEXT_CHARACTERS = 40_000
MOST_PARAGRAPHS = 400
NAME_CHARACTERS = 120
MOST_EXHIBITS = 50
DESCRIPTION_CHARACTERS = 300
ADULT_AGE = 18

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_MARK = re.compile(r"\b[A-Z]{2,4}/[0-9]{1,3}\b")
_UNSEEN = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff")


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


class NotConfirmed(Conflict):
    code = "statement_not_confirmed"
    public = N_("Confirm each paragraph before you sign.")


class NotReadAloud(Conflict):
    """A witness who cannot read signs only after the reader's certificate (Criminal Justice Act 1967, s.9(3)(b))."""

    code = "statement_not_read_aloud"
    public = N_("The statement was not read aloud to you as it stands. Wait until that is done, then sign.")


class NotInterpreted(Conflict):
    """A witness who speaks another language signs only after the interpreter's declaration."""

    code = "statement_not_interpreted"
    public = N_("The interpreter has not signed for the statement as it stands. Wait until that is done, then sign.")


class NoInterpreter(Refusal):
    code = "statement_no_interpreter"
    status = 422
    public = N_("Enter the interpreter’s full name and choose the language of the witness.")


class TextsDiffer(Refusal):
    """Both languages stand side by side, paragraph by paragraph."""

    code = "statement_texts_differ"
    status = 422
    public = N_("Write both texts with the same number of paragraphs, so that each has its translation.")


class InterpreterNameDiffers(Refusal):
    code = "statement_interpreter_differs"
    status = 422
    public = N_("Type the interpreter’s name exactly as it stands above the statement.")


class ReaderNameDiffers(Refusal):
    code = "statement_reader_differs"
    status = 422
    public = N_("Type the reader’s name exactly as it stands above the statement.")


class NotDeclared(Refusal):
    code = "statement_not_declared"
    status = 422
    public = N_("Tick that what you say is true before you sign.")


class NothingWritten(Refusal):
    code = "statement_empty"
    status = 422
    public = N_("Write the statement before you ask the witness to read it.")


class NoName(Refusal):
    code = "statement_no_name"
    status = 422
    public = N_("Enter the witness's full name before you ask them to read the statement.")


class TextTooLong(Refusal):
    code = "statement_too_long"
    status = 422
    public = N_("The statement is too long. Shorten it, or go on in a further statement.")


class BadHeading(Refusal):
    code = "statement_bad_heading"
    status = 422
    public = N_("Check the witness's name and age. An age is needed only under 18.")


class BadExhibit(Refusal):
    code = "statement_bad_exhibit"
    status = 422
    public = N_("Enter the exhibit's mark, such as JS/1, and a few words of what it is.")


@dataclass(frozen=True)
class Exhibit:
    """Something the statement refers to: `mark` is the maker's initials and a number, such as JS/1."""

    mark: str
    description: str


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
class Reading:
    """The certificate of who read a statement aloud to a witness who cannot read it, for one text.

    typed        the reader's signature
    declared_by  staff id of the officer in whose booth it was signed, `officer` what they are called
    """

    typed: str
    declared_at: datetime
    declared_by: str
    officer: str = ""


class SignedAt(StrEnum):
    """On whose device an interpreter signed."""

    BOOTH = "booth"  # on the officer's, whose staff id is kept
    CALL = "call"  # on their own, let into the call by the officer; the participant's id is kept


@dataclass(frozen=True)
class Interpretation:
    """The declaration of who interpreted, for one text in both languages.

    typed        the interpreter's signature
    declared_by  staff id or participant id, as `where` says
    device       the interpreter's own, "" in the booth
    officer      what the officer in whose booth it was signed is called, "" in the call
    """

    typed: str
    declared_at: datetime
    where: SignedAt
    declared_by: str
    device: str = ""
    officer: str = ""


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


def clean(text: str) -> str:
    """Return a typed text as it is kept: plain line ends, nothing invisible that could make it read otherwise.

    Control characters and those that turn the writing direction are dropped; what can be seen stays as typed.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        c for c in plain if c in "\n\t" or (c not in _UNSEEN and unicodedata.category(c) not in {"Cc", "Cs"})
    )


def split_paragraphs(text: str) -> tuple[str, ...]:
    """Split at blank lines; single line ends stay within their paragraph."""
    return tuple(part.strip() for part in _BLANK_LINES.split(text.strip()) if part.strip())


def check_text(text: str) -> None:
    """Raise TextTooLong when a text is beyond what may be kept."""
    if len(text) > TEXT_CHARACTERS or len(split_paragraphs(text)) > MOST_PARAGRAPHS:
        raise TextTooLong


def clean_name(name: str) -> str:
    """Return a typed name as it is kept: one line, single spaces."""
    return " ".join(clean(name).split())


def make_heading(name: str, age: int | None, reader_name: str, interpreter_name: str = "", spoken: str = "") -> Heading:
    """Return a heading, trimmed. An empty name is fine while drafting. Raises BadHeading."""
    name, reader_name, interpreter_name = map(clean_name, (name, reader_name, interpreter_name))
    if max(map(len, (name, reader_name, interpreter_name))) > NAME_CHARACTERS:
        raise BadHeading
    if (age is not None and not 0 < age < ADULT_AGE) or (spoken and spoken not in LANGUAGES):
        raise BadHeading
    return Heading(name, age, reader_name, interpreter_name, spoken)


def make_exhibit(mark: str, description: str) -> Exhibit:
    """Return an exhibit, its mark in capitals. Raises BadExhibit."""
    mark, description = "".join(mark.upper().split()), " ".join(clean(description).split())
    if not _MARK.fullmatch(mark) or not 0 < len(description) <= DESCRIPTION_CHARACTERS:
        raise BadExhibit
    return Exhibit(mark, description)


def add_exhibit(exhibits: Sequence[Exhibit], exhibit: Exhibit) -> tuple[Exhibit, ...]:
    """Return the exhibits with one more, or with a new description for its mark. Raises BadExhibit past the most."""
    kept = [one for one in exhibits if one.mark != exhibit.mark]
    if len(kept) >= MOST_EXHIBITS:
        raise BadExhibit
    return (*kept, exhibit)


def unlisted_marks(statement: Statement) -> tuple[str, ...]:
    """Return marks the text speaks of that no exhibit carries: the officer is told, nothing is refused."""
    listed = {exhibit.mark for exhibit in statement.exhibits}
    return tuple(dict.fromkeys(mark for mark in _MARK.findall(statement.text) if mark not in listed))


def check_offer(statement: Statement) -> None:
    """Raise what keeps a draft from being offered: NotNow, NothingWritten, NoName, NoInterpreter, TextsDiffer."""
    move(statement.state, Deed.OFFER)
    if not statement.paragraphs:
        raise NothingWritten
    if not statement.heading.name:
        raise NoName
    check_both_languages(statement)


def check_both_languages(statement: Statement) -> None:
    """Raise NoInterpreter or TextsDiffer when what an interpreted statement needs is not all there."""
    heading = statement.heading
    if not heading.is_interpreted:
        return
    if not (heading.interpreter_name and heading.spoken):
        raise NoInterpreter
    if not all(one.text and one.original for one in statement.paragraphs):
        raise TextsDiffer


def check_interpretation(statement: Statement, *, typed: str, shown_digest: str, digest: str) -> None:
    """Raise what keeps an interpreter from signing.

    Raises   NotNow, TextChanged, InterpreterNameDiffers, NoInterpreter, TextsDiffer
    """
    move(statement.state, Deed.ANSWER)
    if shown_digest != digest:
        raise TextChanged
    interpreter_name = statement.heading.interpreter_name
    if not interpreter_name or typed.casefold() != interpreter_name.casefold():
        raise InterpreterNameDiffers
    check_both_languages(statement)


def check_reading(statement: Statement, *, typed: str, shown_digest: str, digest: str) -> None:
    """Raise what keeps the reader's certificate from being signed: NotNow, TextChanged, ReaderNameDiffers."""
    move(statement.state, Deed.ANSWER)
    if shown_digest != digest:
        raise TextChanged
    reader_name = statement.heading.reader_name
    if not reader_name or typed.casefold() != reader_name.casefold():
        raise ReaderNameDiffers


def check_sign(
    statement: Statement,
    *,
    shown_digest: str,
    digest: str,
    answers: Mapping[str, Answer],
    reading: Reading | None,
    declared: bool,
    interpretation: Interpretation | None = None,
) -> None:
    """Raise what keeps a statement from being signed.

    shown_digest  what the reader's page says it showed
    digest        of what stands there now
    answers       by paragraph key
    reading       the reader's certificate for this very text
    interpretation  the interpreter's declaration for this very text in both languages
    Raises        NotNow, TextChanged, NothingWritten, NoInterpreter, TextsDiffer, NotConfirmed, NotReadAloud,
                  NotInterpreted, NotDeclared
    """
    move(statement.state, Deed.SIGN)
    if shown_digest != digest:
        raise TextChanged
    if not statement.paragraphs:
        raise NothingWritten
    check_both_languages(statement)
    if any(answers.get(paragraph.key) is not Answer.RIGHT for paragraph in statement.paragraphs):
        raise NotConfirmed
    if statement.heading.reader_name and reading is None:
        raise NotReadAloud
    if statement.heading.is_interpreted and interpretation is None:
        raise NotInterpreted
    if not declared:
        raise NotDeclared


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
