"""A number with the word that fits it."""


def pick(count: int, one: str, many: str) -> str:
    """Return the word for so many."""
    return one if count == 1 else many


def counted(count: int, one: str, many: str = "") -> str:
    """Return "1 object", "2,000 objects"; `many` where it is not `one` with an s behind it."""
    return f"{count:,} {pick(count, one, many or f'{one}s')}"
