"""Settings: environment variables `VIDEO_…`, or one file of the same names. Unknown names stop the start."""

import os
import re
from datetime import datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from video_server.core.errors import CannotStart
from video_server.core.force import Force
from video_server.core.keys import SigningIdentity, load_demo_signing_identity, load_signing_identity, refuse_open
from video_server.relay.client import Control
from video_server.relay.remote import Remote, is_secret, parse_where
from video_server.relay.turn_urls import parse_turn_url
from video_server.web import origins

PREFIX = "VIDEO_"
SHORTEST_TURN_SECRET = 32
_timezones = cache(available_timezones)  # to know them, it reads 600 files


class Settings(BaseSettings):
    """Every setting, with its default; the README's table is checked against this."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    demo: bool = Field(False, description="Demo data, demo accounts and the on-screen outbox; never for real use")
    data: Path = Field(Path("data"), description="Folder for the database, sockets and demo files")
    keys: Path | None = Field(None, description="Folder for keys, apart from the data folder; backed up apart")
    host: str = Field("127.0.0.1", description="Address the web server listens on")
    port: int = Field(8080, ge=1, le=65535, description="Port the web server listens on")
    tls: Literal["", "self-signed"] | Path = Field(
        "", description="self-signed (demo), or a folder with cert.pem and key.pem"
    )
    public_url: str = Field(
        "", description="Origin people reach, e.g. https://video.example.police.uk; default: host and port"
    )
    behind_proxy: bool = Field(False, description="Trust X-Forwarded-For and X-Forwarded-Proto from a reverse proxy")
    database: str = Field("", description="Database URL; default: a SQLite file in the data folder")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged")
    media_addresses: tuple[str, ...] = Field(
        (), description="JSON list of addresses the relay advertises; default: the machine's own"
    )
    media_port: int = Field(
        0, ge=0, le=65535, description="UDP port of the first relay, the others take the next ones; 0: any free ones"
    )
    relays: int | None = Field(
        None, ge=0, le=64, description="How many relays serve starts, named 1, 2, …; default: one for each core"
    )
    relays_elsewhere: dict[str, str] = Field(
        {}, description='JSON: relays on other machines, {"north": "relay-north.example.police.uk:40443"}'
    )
    relay_secret: SecretStr = Field(
        SecretStr(""), description="Secret between web and relays on other machines, 64 hexadecimal digits"
    )
    relay_trust: Path | None = Field(
        None, description="PEM file with the certificate of relays elsewhere, or of its issuer; default: the system's"
    )
    relay_listen: str = Field(
        "", description="host:port where a relay that is started singly takes control from other machines, by TLS"
    )
    relay_tls: Path | None = Field(None, description="Folder with cert.pem and key.pem of a relay with relay_listen")
    relay_forwarder: Literal["python", "compiled"] = Field(
        "python",
        description="What forwards packets: python, or compiled (for more calls per core; after make relay-fast)",
    )
    turn_urls: tuple[str, ...] = Field(
        (), description='JSON list of TURN servers, ["turn:turn.example.police.uk:3478?transport=udp", …]'
    )
    turn_secret: SecretStr = Field(
        SecretStr(""), description="Secret shared with the TURN servers (static-auth-secret)"
    )
    texts: Literal["screen", "twilio"] = Field("twilio", description="Where texts go: twilio, or screen (demo only)")
    twilio_account: str = Field("", description="Twilio account SID")
    twilio_token: SecretStr = Field(SecretStr(""), description="Twilio auth token")
    twilio_sender: str = Field("", description="Number or messaging service SID that texts come from")
    twilio_url: str = Field("", description="Base URL of the texts API; default: Twilio's own")
    force_name: str = Field("Anytown Police", description="The force's name on pages")
    force_phone: str = Field("101", description="Number victims ring when something fails")
    neutral_site: str = Field("https://www.bbc.co.uk/weather", description="Where 'Exit this page' leads")
    timezone: str = Field("Europe/London", description="Time zone of the diary and of texts")
    diary_opens: time = Field(time(8, 30), description="First appointment of a day, local time")
    diary_closes: time = Field(time(21, 30), description="End of the last appointment of a day, local time")
    appointment_minutes: int = Field(45, ge=15, le=240, multiple_of=15, description="Length of an appointment")
    notice_minutes: int = Field(15, ge=0, description="How soon an appointment may start")
    room_opens_minutes: int = Field(
        30, ge=0, le=1440, description="How long before its start an appointment's page lets people in"
    )
    book_ahead_days: int = Field(14, ge=1, le=90, description="How far ahead slots are offered")
    reminders_hours: tuple[int, ...] = Field((24, 1), description="JSON list: hours before an appointment to remind")

    signing_key: Path | None = Field(
        None,
        description="PKCS#12 or PEM file with the key and certificate that sign statements; the demo makes its own",
    )
    signing_password: SecretStr = Field(SecretStr(""), description="Password of the signing key's file")
    declarations: dict[Literal["en", "cy", "interpreter_en", "interpreter_cy"], str] = Field(
        {},
        description="JSON: the force's own wording of declarations: the witness's by language, en and cy; "
        "the interpreter's as interpreter_en and interpreter_cy",
    )

    evidence_url: str = Field(
        "", description="Where the evidence store answers, http(s)://host:port or unix:/path; default: serve starts one"
    )

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        if name not in _timezones():
            raise ValueError("no such time zone; use a name such as Europe/London")
        return name

    @field_validator("relays_elsewhere")
    @classmethod
    def _relays_are_named(cls, relays: dict[str, str]) -> dict[str, str]:
        for name, where in relays.items():
            if re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) is None:
                raise ValueError("a relay's name begins with a lower-case letter; letters, digits and - follow")
            parse_where(where)
        return relays

    @field_validator("turn_urls")
    @classmethod
    def _turn_urls_are_such(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            parse_turn_url(url)
        return urls

    @field_validator("relay_listen")
    @classmethod
    def _listens_somewhere(cls, where: str) -> str:
        if where:
            parse_where(where)
        return where

    @model_validator(mode="after")
    def _secret_is_long(self) -> Self:
        if (self.relays_elsewhere or self.relay_listen) and not is_secret(self.relay_secret.get_secret_value()):
            raise ValueError(
                "VIDEO_RELAY_SECRET must be 64 hexadecimal digits for relays on other machines: 'openssl rand -hex 32'"
            )
        if self.relay_listen and self.relay_tls is None:
            raise ValueError("VIDEO_RELAY_LISTEN needs VIDEO_RELAY_TLS, a folder with cert.pem and key.pem")
        if self.turn_urls and len(self.turn_secret.get_secret_value()) < SHORTEST_TURN_SECRET:
            raise ValueError(
                f"VIDEO_TURN_SECRET must have {SHORTEST_TURN_SECRET} characters or more: 'openssl rand -hex 32'"
            )
        return self

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_origin(cls, url: str) -> str:
        if url and origins.parse(url.rstrip("/")) is None:
            raise ValueError("must be an origin alone, such as https://video.example.police.uk")
        return url

    def force(self) -> Force:
        """Return the force's own values."""
        return Force(
            name=self.force_name,
            short_name=self.force_name,
            phone=self.force_phone,
            neutral_site=self.neutral_site,
            timezone=ZoneInfo(self.timezone),
            diary_opens=self.diary_opens,
            diary_closes=self.diary_closes,
            appointment_length=timedelta(minutes=self.appointment_minutes),
            notice=timedelta(minutes=self.notice_minutes),
            room_opens_before=timedelta(minutes=self.room_opens_minutes),
            book_ahead=timedelta(days=self.book_ahead_days),
            reminders=tuple(timedelta(hours=hours) for hours in self.reminders_hours),
            declarations={str(code): text for code, text in self.declarations.items()},
        )

    def signing_identity(self, *, now: datetime) -> SigningIdentity | None:
        """Return what signs statements; None outside the demo while no key is set: statements cannot be signed then.

        Raises   CannotStart
        """
        if self.signing_key is not None:
            return load_signing_identity(self.signing_key, password=self.signing_password.get_secret_value())
        return load_demo_signing_identity(self.keys_folder, now=now) if self.demo else None

    @property
    def database_url(self) -> str:
        """Return the database URL, the embedded default when none is set."""
        return self.database or f"sqlite+aiosqlite:///{(self.data / 'video.sqlite').absolute()}"

    @property
    def keys_folder(self) -> Path:
        """Return the key folder; only the demo may keep it inside the data folder."""
        return self.keys or self.data / "demo" / "keys"

    @property
    def origin(self) -> str:
        """Return the origin people reach, without a trailing slash."""
        scheme = "https" if self.tls else "http"
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 (compared, not bound)
        host = f"[{host}]" if ":" in host else host
        return self.public_url.rstrip("/") or f"{scheme}://{host}:{self.port}"

    @property
    def evidence_where(self) -> str:
        """Return where the evidence store answers."""
        return self.evidence_url.rstrip("/") or f"unix:{(self.data / 'run' / 'evidence.sock').absolute()}"

    @property
    def relay_names(self) -> list[str]:
        """Return the names of this machine's relays."""
        count = len(os.sched_getaffinity(0)) if self.relays is None else self.relays
        return [str(number) for number in range(1, count + 1)]

    @property
    def relay_controls(self) -> dict[str, Control]:
        """Return where each relay takes requests, by name: this machine's own, then those elsewhere."""
        secret = self.relay_secret.get_secret_value()
        return {name: self.relay_socket(name) for name in self.relay_names} | {
            name: Remote(*parse_where(where), secret, self.relay_trust) for name, where in self.relays_elsewhere.items()
        }

    def relay_socket(self, name: str) -> Path:
        """Return the control socket of one of this machine's relays."""
        return self.data / "run" / f"relay-{name}.sock"

    def relay_drains(self, name: str) -> Path:
        """Return the file that is there while one of this machine's relays drains."""
        return self.data / "run" / f"relay-{name}.drains"


def load(file: Path | None = None, **given: object) -> Settings:
    """Read settings from the environment, a file of NAME=value lines, and `given` (which win).

    Raises CannotStart, naming every unknown or wrong setting at once.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise CannotStart(f"Unknown settings: {', '.join(unknown)}. The README lists those that exist.")
    if file is not None and not file.is_file():
        raise CannotStart(f"The settings file {file} was not found.")
    try:
        settings = Settings(_env_file=file, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type,call-arg]
    except SettingsError as problem:  # what should be JSON is not; the message names the field, not its value
        field = str(problem).partition('"')[2].partition('"')[0]
        raise CannotStart(f"Settings cannot be used: {PREFIX}{field.upper()} must be JSON, such as [1, 2].") from None
    except ValidationError as problem:
        faults = "; ".join(
            f"{PREFIX}{'.'.join(map(str, fault['loc'])).upper().removeprefix(PREFIX)}: {fault['msg']}"
            for fault in problem.errors()
        )
        raise CannotStart(f"Settings cannot be used: {faults}.") from None
    if file is not None and not settings.demo:
        refuse_open(file, "The settings file")  # with its secrets others could send texts, or listen in on calls
    return settings
