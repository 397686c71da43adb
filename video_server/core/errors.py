"""The error family: what the product refuses, and what it says to the person it refuses.

A `Refusal` is an answer, not a fault: it carries a stable code for programs, an HTTP status and a public sentence
that says what to do next and gives nothing away. Slices subclass it beside the decision that raises it.
"""

from typing import ClassVar


def N_(text: str) -> str:  # noqa: N802 (gettext's own name for it)
    """Mark a string for translation; it is translated where it is shown."""
    return text


class Refusal(Exception):
    """Something was asked that cannot be given.

    code     stable, snake_case, documented in the README
    status   HTTP status of the page or JSON that reports it
    public   a sentence for the person, marked with N_, translated when shown
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    public: ClassVar[str] = N_("That could not be done. Go back and try again.")

    def __init__(self, detail: str = "") -> None:
        """Keep `detail` for the log; it must hold no personal data."""
        super().__init__(detail or self.code)


class NotFound(Refusal):
    code = "not_found"
    status = 404
    public = N_("That page was not found. Check the address, or go back and try again.")


class Forbidden(Refusal):
    code = "forbidden"
    status = 403
    public = N_("You cannot use this page. If you think you should, ask your supervisor.")


class Conflict(Refusal):
    code = "conflict"
    status = 409
    public = N_("Somebody else changed this first. Look at it again before you go on.")


class TooMany(Refusal):
    code = "too_many_requests"
    status = 429
    public = N_("Too many tries in a short time. Wait a minute, then try again.")


class Unavailable(Refusal):
    code = "unavailable"
    status = 503
    public = N_("This does not work at the moment. Try again in a minute.")


class CannotStart(Exception):
    """The process cannot start; the message is one clear sentence for the operator."""
