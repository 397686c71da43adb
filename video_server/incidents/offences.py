"""Types of offence a call handler chooses from: data, not law. A code never changes once it has been used."""

from dataclasses import dataclass

from video_server.core.errors import N_


@dataclass(frozen=True)
class Offence:
    """One choice: a stable code and what the handler reads."""

    code: str
    label: str


OFFENCES = (
    Offence("antisocial_behaviour", N_("Antisocial behaviour")),
    Offence("burglary", N_("Burglary")),
    Offence("criminal_damage", N_("Criminal damage or arson")),
    Offence("domestic_abuse", N_("Domestic abuse")),
    Offence("fraud", N_("Fraud or cyber crime")),
    Offence("harassment", N_("Harassment or stalking")),
    Offence("hate_crime", N_("Hate crime")),
    Offence("robbery", N_("Robbery")),
    Offence("sexual_offence", N_("Sexual offence")),
    Offence("theft", N_("Theft")),
    Offence("vehicle_crime", N_("Vehicle crime")),
    Offence("violence", N_("Violence")),
    Offence("other", N_("Something else")),
)

_LABELS = {offence.code: offence.label for offence in OFFENCES}


def is_offence(code: str) -> bool:
    """Say whether the code is one of ours."""
    return code in _LABELS


def label_of(code: str) -> str:
    """Return the words for a code, untranslated; a code of an older list shows as itself."""
    return _LABELS.get(code, code)
