"""What texts say: kind × wording × language. Data: a force may replace each body with its own.

Every body: no name of an offence or an offender, nothing about the reader, nothing to answer; day and time by the
local clock; the reference that was said on the phone, so that the reader can check it; the link on our own host.
"neutral" names no police. Both languages keep to the GSM 7-bit alphabet (3GPP TS 23.038, 6.2.1), so that a text takes
at most two parts: one letter outside it, such as ŵ or ê, would more than double the parts.
"""

from collections.abc import Mapping
from datetime import datetime

from babel import dates

from video_server.core.force import Force
from video_server.incidents.model import Wording
from video_server.texts.model import Kind
from video_server.web import i18n, pages

MOST_CHARACTERS = 306
"""Two parts of 153 septets each (the rest of a part joins it to its neighbour)."""

GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The basic alphabet; the extension table costs two septets a character and is not used."""

NEUTRAL, PLAIN = Wording.NEUTRAL, Wording.PLAIN

BODIES: Mapping[tuple[Kind, Wording, str], str] = {
    (Kind.BOOKED, NEUTRAL, "en"): (
        "Your video appointment is on {when}. Reference {reference}, as told to you on the phone. "
        "Open this link at that time: {link}"
    ),
    (Kind.MOVED, NEUTRAL, "en"): (
        "Your video appointment has moved to {when}. Reference {reference}. Open this link at that time: {link}"
    ),
    (Kind.CANCELLED, NEUTRAL, "en"): (
        "Your video appointment on {when} has been cancelled. Reference {reference}. There is nothing you need to do."
    ),
    (Kind.REMINDER, NEUTRAL, "en"): (
        "Reminder: your video appointment is on {when}. Reference {reference}. Open this link at that time: {link}"
    ),
    (Kind.BOOKED, PLAIN, "en"): (
        "{force}: your video appointment is on {when}. Reference {reference}, as told to you on the phone. "
        "Open this link at that time: {link} To change it ring {phone}."
    ),
    (Kind.MOVED, PLAIN, "en"): (
        "{force}: your video appointment has moved to {when}. Reference {reference}. "
        "Open this link at that time: {link} To change it ring {phone}."
    ),
    (Kind.CANCELLED, PLAIN, "en"): (
        "{force}: your video appointment on {when} has been cancelled. Reference {reference}. "
        "To book another ring {phone}."
    ),
    (Kind.REMINDER, PLAIN, "en"): (
        "{force}: reminder of your video appointment on {when}. Reference {reference}. "
        "Open this link at that time: {link} To change it ring {phone}."
    ),
    (Kind.INVITED, NEUTRAL, "en"): (
        "You are asked to join a video call on {when}. Reference {reference}. Open this link at that time: {link}"
    ),
    (Kind.INVITED, PLAIN, "en"): (
        "{force}: you are asked to join a video call on {when}. Reference {reference}. "
        "Open this link at that time: {link} Questions? Ring {phone}."
    ),
    (Kind.INVITED, NEUTRAL, "cy"): (
        "Gofynnir i chi ymuno mewn galwad fideo ar {when}. Cyfeirnod {reference}. "
        "Agorwch y ddolen hon bryd hynny: {link}"
    ),
    (Kind.INVITED, PLAIN, "cy"): (
        "{force}: gofynnir i chi ymuno mewn galwad fideo ar {when}. Cyfeirnod {reference}. "
        "Agorwch y ddolen hon bryd hynny: {link} Cwestiynau? Ffoniwch {phone}."
    ),
    (Kind.BOOKED, NEUTRAL, "cy"): (
        "Mae eich apwyntiad fideo ar {when}. Cyfeirnod {reference}, fel y dywedwyd wrthych wrth ei drefnu. "
        "Agorwch y ddolen hon bryd hynny: {link}"
    ),
    (Kind.MOVED, NEUTRAL, "cy"): (
        "Mae eich apwyntiad fideo wedi symud i {when}. Cyfeirnod {reference}. Agorwch y ddolen hon bryd hynny: {link}"
    ),
    (Kind.CANCELLED, NEUTRAL, "cy"): (
        "Mae eich apwyntiad fideo ar {when} wedi'i ganslo. Cyfeirnod {reference}. Nid oes angen i chi wneud dim."
    ),
    (Kind.REMINDER, NEUTRAL, "cy"): (
        "Nodyn atgoffa: mae eich apwyntiad fideo ar {when}. Cyfeirnod {reference}. "
        "Agorwch y ddolen hon bryd hynny: {link}"
    ),
    (Kind.BOOKED, PLAIN, "cy"): (
        "{force}: mae eich apwyntiad fideo ar {when}. Cyfeirnod {reference}, fel y dywedwyd wrthych wrth ei drefnu. "
        "Agorwch y ddolen hon bryd hynny: {link} I'w newid, ffoniwch {phone}."
    ),
    (Kind.MOVED, PLAIN, "cy"): (
        "{force}: mae eich apwyntiad fideo wedi symud i {when}. Cyfeirnod {reference}. "
        "Agorwch y ddolen hon bryd hynny: {link} I'w newid, ffoniwch {phone}."
    ),
    (Kind.CANCELLED, PLAIN, "cy"): (
        "{force}: mae eich apwyntiad fideo ar {when} wedi'i ganslo. Cyfeirnod {reference}. "
        "I drefnu un arall, ffoniwch {phone}."
    ),
    (Kind.REMINDER, PLAIN, "cy"): (
        "{force}: nodyn atgoffa am eich apwyntiad fideo ar {when}. Cyfeirnod {reference}. "
        "Agorwch y ddolen hon bryd hynny: {link} I'w newid, ffoniwch {phone}."
    ),
}


def render_body(
    kind: str,
    wording: Wording,
    language: str,
    *,
    values: Mapping[str, str],
    link: str | None,
    force: Force,
) -> str:
    """Return the text as it leaves.

    values    as queued: "reference" and "starts_at"
    language  one we do not have falls back to English
    Raises    ValueError when it would take more than two parts
    """
    language = language if language in i18n.LANGUAGES else "en"
    body = BODIES[Kind(kind), wording, language].format(
        when=say_when(datetime.fromisoformat(values["starts_at"]), language, force),
        reference=values["reference"],
        link=link or "",
        force=force.short_name,
        phone=force.phone,
    )
    if len(body) > MOST_CHARACTERS:
        raise ValueError(f"a text of kind {kind!r} has {len(body)} characters")
    return body


def say_when(at: datetime, language: str, force: Force) -> str:
    """Write local day and time: Monday 2 March at 10am; ddydd Llun 2 Mawrth am 10yb (softened by "ar" and "i")."""
    with i18n.use(language):
        clock = pages.say_clock(at, force)
    local = at.astimezone(force.timezone)
    if language == "cy":
        return f"d{dates.format_date(local, 'EEEE d MMMM', locale='cy').replace('Dydd', 'dydd')} am {clock}"
    return f"{dates.format_date(local, 'EEEE d MMMM', locale='en_GB')} at {clock}"


def is_gsm_7(body: str) -> bool:
    """Say whether a phone network carries the text in its 7-bit alphabet."""
    return set(body) <= GSM_7
