"""What one police force says of itself: names, numbers, hours, wordings. Data, with documented defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Force:
    """The force's own values; the settings table of the README documents each.

    neutral_site   where "Exit this page" leads: a site nobody wonders about
    phone          what a victim rings when something fails
    declarations   language to the force's own wording of a witness's declaration, in place of ours; of an interpreter's
                   with "interpreter_" before it
    """

    name: str = "Anytown Police"
    short_name: str = "Anytown Police"
    phone: str = "101"
    emergency_phone: str = "999"
    neutral_site: str = "https://www.bbc.co.uk/weather"
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Europe/London"))
    diary_opens: time = time(8, 30)
    diary_closes: time = time(21, 30)
    appointment_length: timedelta = timedelta(minutes=45)
    notice: timedelta = timedelta(minutes=15)
    room_opens_before: timedelta = timedelta(minutes=30)
    room_stays_after: timedelta = timedelta(hours=24)
    book_ahead: timedelta = timedelta(days=14)
    reminders: tuple[timedelta, ...] = (timedelta(hours=24), timedelta(hours=1))
    colour: str = "#1b365d"
    declarations: Mapping[str, str] = field(default_factory=dict)
