"""What those sign who help a witness: who reads a statement aloud to one who cannot read, and who interprets.

Each signs for one text only: when that changes, the certificate no longer counts.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from video_server.core.errors import N_, Refusal
from video_server.statements.model import Deed, Statement, TextChanged, move


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


def check_both_languages(statement: Statement) -> None:
    """Raise NoInterpreter or TextsDiffer when what an interpreted statement needs is not all there."""
    heading = statement.heading
    if not heading.is_interpreted:
        return
    if not (heading.interpreter_name and heading.spoken):
        raise NoInterpreter
    if not all(one.text and one.original for one in statement.paragraphs):
        raise TextsDiffer


def check_reading(statement: Statement, *, typed: str, shown_digest: str, digest: str) -> None:
    """Raise what keeps the reader's certificate from being signed: NotNow, TextChanged, ReaderNameDiffers."""
    move(statement.state, Deed.ANSWER)
    if shown_digest != digest:
        raise TextChanged
    reader_name = statement.heading.reader_name
    if not reader_name or typed.casefold() != reader_name.casefold():
        raise ReaderNameDiffers


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
