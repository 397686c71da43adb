"""What keeps a statement from being offered to the witness, and from being signed by them."""

from collections.abc import Mapping

from video_server.core.errors import N_, Conflict, Refusal
from video_server.statements.certificates import Interpretation, Reading, check_both_languages
from video_server.statements.model import Answer, Deed, Statement, TextChanged, move


class NothingWritten(Refusal):
    code = "statement_empty"
    status = 422
    public = N_("Write the statement before you ask the witness to read it.")


class NoName(Refusal):
    code = "statement_no_name"
    status = 422
    public = N_("Enter the witness's full name before you ask them to read the statement.")


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


class NotDeclared(Refusal):
    code = "statement_not_declared"
    status = 422
    public = N_("Tick that what you say is true before you sign.")


def check_offer(statement: Statement) -> None:
    """Raise what keeps a draft from being offered: NotNow, NothingWritten, NoName, NoInterpreter, TextsDiffer."""
    move(statement.state, Deed.OFFER)
    if not statement.paragraphs:
        raise NothingWritten
    if not statement.heading.name:
        raise NoName
    check_both_languages(statement)


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
