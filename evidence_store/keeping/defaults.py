"""The retention table that a new store begins with; a force replaces rows by API. Data, with the rule each follows."""

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
