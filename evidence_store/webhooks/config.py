"""The operator's list of destinations: a TOML file, the setting EVIDENCE_WEBHOOKS. Nothing else adds one.

    [[webhook]]
    name = "records"                                 stands in logs, metrics, `doctor`
    url = "https://records.police.example/evidence"  https only; no name or password in it
    events = ["received", "held", "disposed"]        default: all
    secret = "records.secret"                        file of at least 32 bytes, readable by this account alone
    networks = ["10.20.0.0/16"]                      only where it is no public address: what it may then be
    ca = "force-ca.pem"                              only where its certificate leads to a CA of your own

Paths are relative to the file.
"""

import ssl
import tomllib
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evidence_store.errors import CannotStart
from evidence_store.sealing.files import read_key
from evidence_store.webhooks.model import KINDS, Hook, Kind

_MOST = 20
_MIN_SECRET_BYTES = 32
_MAX_SECRET_BYTES = 4096


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    url: str = Field(max_length=500)
    events: list[Kind] | None = Field(None, min_length=1)
    secret: Path
    networks: list[str] = Field([], max_length=20)
    ca: Path | None = None


class _List(BaseModel):
    model_config = ConfigDict(extra="forbid")

    webhook: list[_Entry] = Field([], max_length=_MOST)


def load_hooks(path: Path | None) -> tuple[Hook, ...]:
    """Return the destinations; none without a file. Raises CannotStart, naming what is wrong in the file."""
    if path is None:
        return ()
    try:
        with path.open("rb") as file:
            entries = _List.model_validate(tomllib.load(file)).webhook
        hooks = tuple(_hook(entry, path.parent) for entry in entries)
    except OSError as problem:
        raise CannotStart(f"EVIDENCE_WEBHOOKS: {problem.filename} cannot be read ({problem.strerror}).") from None
    except ValidationError as problem:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in problem.errors())
        raise CannotStart(f"EVIDENCE_WEBHOOKS cannot be used: {faults}.") from None
    except ValueError as problem:  # TOML's own faults are of this kind
        raise CannotStart(f"EVIDENCE_WEBHOOKS cannot be used: {problem}.") from None
    if len({hook.name for hook in hooks}) != len(hooks):
        raise CannotStart("EVIDENCE_WEBHOOKS cannot be used: two webhooks have the same name.")
    return hooks


def _hook(entry: _Entry, folder: Path) -> Hook:
    url = urlsplit(entry.url)
    if url.scheme != "https" or not url.hostname or url.username is not None or url.fragment:
        raise ValueError(f"the url of {entry.name} must be https, with a host, and hold no name, password or fragment")
    secret = read_key(folder / entry.secret).strip()
    if not _MIN_SECRET_BYTES <= len(secret) <= _MAX_SECRET_BYTES:
        raise ValueError(f"the secret of {entry.name} must have {_MIN_SECRET_BYTES} to {_MAX_SECRET_BYTES} bytes")
    ca = folder / entry.ca if entry.ca is not None else None
    if ca is not None:
        ssl.create_default_context(cafile=ca)  # an unreadable or empty one stops the start, not the first delivery
    networks = tuple(ip_network(network) for network in entry.networks)
    return Hook(entry.name, entry.url, frozenset(entry.events or KINDS), secret, networks, ca)
