"""The retention table that a new store begins with; a force replaces rows by API. Data, with the rule each follows.

A row that changes here needs a code of its own: `verify` holds a store's table, which began with these, against them.
"""

from datetime import timedelta

REVIEWED_AGAIN_AFTER = timedelta(days=365)
"""How long after a review that kept it an object is due for review again."""

DEFAULTS: list[dict[str, str | int | None]] = [
    {
        "code": "public-protection",
        "title": "Public protection, murder, and sexual offences against children",
        "years": 100,
        "source": "Authorised Professional Practice, Information management: retention, review and disposal, group 1",
    },
    {
        "code": "serious",
        "title": "Other sexual, violent or serious offences",
        "years": 10,
        "source": "Authorised Professional Practice, Information management: retention, review and disposal, group 2",
    },
    {
        "code": "other",
        "title": "All other offences",
        "years": 6,
        "source": "Authorised Professional Practice, Information management: retention, review and disposal, group 3; "
        "Limitation Act 1980, s.5",
    },
    {
        "code": "for-good",
        "title": "Kept until somebody decides otherwise",
        "years": None,
        "source": "The force's own decision",
    },
]
