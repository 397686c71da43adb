"""Settings: environment variables `EVIDENCE_…`, or one file of the same names. Unknown names stop the start."""

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from evidence_store.errors import CannotStart
from evidence_store.view.tickets import BOUND

PREFIX = "EVIDENCE_"


class Settings(BaseSettings):
    """Every setting, with its default; the README's table is checked against this."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data: Path = Field(Path("evidence"), description="Folder for objects, uploads and the SQLite database")
    keys: Path = Field(Path("evidence-keys"), description="Folder for keys; never inside the data folder")
    listen: str = Field("127.0.0.1:8090", description="unix:/path/of/socket, or address:port (loopback without TLS)")
    tls: Path | None = Field(None, description="Folder with cert.pem and key.pem; needed off loopback")
    database: str = Field("", description="Database URL; default: a SQLite file in the data folder")
    notify_url: str = Field(
        "", description="Where events are POSTed, the web server's /evidence-events; empty: nowhere"
    )
    notify_ca: Path | None = Field(None, description="CA certificate that the event receiver's must lead to")
    webhooks: Path | None = Field(None, description="TOML file that lists who else is told what happens; default: none")
    webhook_days: float = Field(3, gt=0, description="After how long a webhook that nobody takes is given up")
    break_glass_minutes: float = Field(
        15, gt=0, le=480, description="How long something stays open that was opened by breaking the glass"
    )
    break_glass_roles: str = Field(
        "", description="Roles that may break the glass on the pages, separated by commas: officer; empty: nobody"
    )
    max_bytes: int = Field(20_000_000_000, ge=1, description="Largest object")
    max_open_uploads: int = Field(2000, ge=1, description="Uploads open at one time, all incidents together")
    digest_minutes: float = Field(10, ge=0, description="How long a complete upload waits for the sender's digest")
    abandoned_days: float = Field(7, gt=0, description="After how long without a byte an unfinished upload is dropped")
    idle_seconds: float = Field(60, gt=0, description="How long a sender may be silent before its connection is ended")
    token_per_minute: int = Field(1200, ge=0, description="Requests a minute for one token; 0: no limit")
    upload_per_minute: int = Field(1200, ge=0, description="Requests a minute for one upload; 0: no limit")
    incident_uploads_per_minute: int = Field(300, ge=0, description="Uploads opened a minute for one incident")
    pkcs11: Path | None = Field(None, description="Module (.so) of the HSM that locks opening keys; default: none")
    pkcs11_token: str = Field("", description="Label of its token")
    pkcs11_pin_file: Path | None = Field(None, description="File with the token's PIN, readable by this account alone")
    checkpoint_seconds: float = Field(
        60, gt=0, description="How often the ledger's checkpoint is kept and sent to mirrors"
    )
    mirrors: str = Field(
        "", description="Where checkpoints are sent too: folders (absolute) and https URLs, separated by commas"
    )
    clamd: str = Field(
        "",
        description="Where clamd answers: path of its socket, or address:port on this machine; empty: no screening",
    )
    preview_workers: int = Field(
        1, ge=0, le=16, description="How many files are opened at one time for previews and facts; 0: none ever"
    )
    node_url: str = Field(
        "", description="Where other nodes reach this one, https (http only to this machine); empty: not at all"
    )
    node_ca: Path | None = Field(None, description="CA certificate that other nodes' must lead to")
    s3_bucket: str = Field("", description="Bucket for sealed objects; default: the data folder")
    s3_endpoint: str = Field("", description="The S3 server, https (http only to this machine); default: Amazon's")
    s3_region: str = Field("us-east-1", description="Its region")
    s3_prefix: str = Field("", description="What every name in the bucket begins with, such as police.example/")
    s3_key_id: str = Field("", description="Id of the access key")
    s3_secret_file: Path | None = Field(None, description="File with its secret, readable by this account alone")
    s3_ca: Path | None = Field(None, description="CA certificate that the S3 server's must lead to")
    force_name: str = Field("", max_length=80, description="The force's name on the pages for evidence staff")
    timezone: str = Field("Europe/London", description="Time zone of those pages")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged")

    @property
    def database_url(self) -> str:
        """Return the database URL, the embedded default when none is set."""
        return self.database or f"sqlite+aiosqlite:///{(self.data / 'evidence.sqlite').absolute()}"

    @property
    def break_glass(self) -> frozenset[str]:
        """Return the roles of the pages that may break the glass."""
        return frozenset(role.strip() for role in self.break_glass_roles.split(",") if role.strip())

    @property
    def mirror_places(self) -> list[str]:
        """Return the mirrors one by one."""
        return [place.strip() for place in self.mirrors.split(",") if place.strip()]


def load(file: Path | None = None, **given: object) -> Settings:
    """Read settings from the environment, a file of NAME=value lines, and `given` (which win).

    Raises CannotStart, naming every unknown or wrong setting at once.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise CannotStart(f"Unknown settings: {', '.join(unknown)}. The README lists those that exist.")
    if file is not None and not file.is_file():
        raise CannotStart(f"The settings file {file} was not found.")
    try:
        settings = Settings(_env_file=file, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type,call-arg]
    except ValidationError as problem:
        faults = "; ".join(
            f"{PREFIX}{'.'.join(map(str, fault['loc'])).upper().removeprefix(PREFIX)}: {fault['msg']}"
            for fault in problem.errors()
        )
        raise CannotStart(f"Settings cannot be used: {faults}.") from None
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    try:
        ZoneInfo(settings.timezone)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise CannotStart("EVIDENCE_TIMEZONE is no time zone that is known here, such as Europe/London.") from None
    if settings.keys.absolute().is_relative_to(settings.data.absolute()):
        raise CannotStart("EVIDENCE_KEYS lies inside EVIDENCE_DATA: one stolen folder would open everything. Move it.")
    if not settings.listen.startswith("unix:"):
        host, _, port = settings.listen.rpartition(":")
        if not port.isdigit():
            raise CannotStart("EVIDENCE_LISTEN must be unix:/path, or address:port.")
        if settings.tls is None and not _is_loopback(host):
            raise CannotStart("EVIDENCE_LISTEN is not loopback: set EVIDENCE_TLS, or listen on a Unix socket.")
    if settings.notify_url and not _is_fit(settings.notify_url):
        raise CannotStart("EVIDENCE_NOTIFY_URL must be https (http only to this machine).")
    if settings.node_url and not (_is_fit(settings.node_url) and urlsplit(settings.node_url).path in {"", "/"}):
        raise CannotStart("EVIDENCE_NODE_URL must be https://name:port without a path (http only to this machine).")
    if settings.pkcs11 is not None and (not settings.pkcs11_token or settings.pkcs11_pin_file is None):
        raise CannotStart("EVIDENCE_PKCS11 needs EVIDENCE_PKCS11_TOKEN and EVIDENCE_PKCS11_PIN_FILE beside it.")
    if unfit := settings.break_glass - BOUND:
        raise CannotStart(
            f"EVIDENCE_BREAK_GLASS_ROLES: {', '.join(sorted(unfit))} is no role that sees one incident only. "
            f"These are: {', '.join(sorted(BOUND))}."
        )
    if settings.clamd and not settings.clamd.startswith("/"):
        host, _, port = settings.clamd.rpartition(":")
        if not port.isdigit() or not _is_loopback(host):  # evidence would cross the network in the clear
            raise CannotStart("EVIDENCE_CLAMD is the absolute path of a socket, or address:port of this machine.")
    _check_bucket(settings)
    for place in settings.mirror_places:
        if not place.startswith("/") and not (_is_fit(place) and "?" not in place):  # a query would be told, not sent
            raise CannotStart(
                "EVIDENCE_MIRRORS are absolute folders and https URLs without a query (http only to this machine)."
            )
        if place.startswith("/") and Path(place).is_relative_to(settings.data.absolute()):
            raise CannotStart(
                "EVIDENCE_MIRRORS must not lie in EVIDENCE_DATA: what rolls back one would roll back both."
            )


def _check_bucket(settings: Settings) -> None:
    if not settings.s3_bucket:
        if settings.s3_endpoint or settings.s3_key_id or settings.s3_secret_file:
            raise CannotStart("EVIDENCE_S3_… is set without EVIDENCE_S3_BUCKET: name the bucket too.")
        return
    if not settings.s3_key_id or settings.s3_secret_file is None:
        raise CannotStart("EVIDENCE_S3_BUCKET needs EVIDENCE_S3_KEY_ID and EVIDENCE_S3_SECRET_FILE beside it.")
    if settings.s3_endpoint and not _is_fit(settings.s3_endpoint):
        raise CannotStart("EVIDENCE_S3_ENDPOINT must be https (http only to this machine).")
    if not re.fullmatch(r"([A-Za-z0-9._-]+/)*", settings.s3_prefix) or len(settings.s3_prefix) > 200:
        raise CannotStart("EVIDENCE_S3_PREFIX is empty, or words of letters, digits, . _ - each with a / behind it.")


def _is_fit(address: str) -> bool:
    url = urlsplit(address)
    return url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
