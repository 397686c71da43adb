"""Control of a relay from another machine: TLS 1.3, and a secret that both ends know. Nothing else is ever offered."""

import json
import re
import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from video_server.core.errors import CannotStart

KNOCK_SECONDS = 10.0
MAX_KNOCK_BYTES = 256
"""Who connects has so long, and so many bytes, to show the secret."""

_SECRET = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Remote:
    """Where a relay on another machine takes requests.

    secret   256 bits as 64 hexadecimal digits
    trust    PEM file with its certificate or that of who issued it; None: whom this machine trusts anyway
    """

    host: str
    port: int
    secret: str = field(repr=False)
    trust: Path | None = None


@dataclass(frozen=True)
class Listening:
    """Where a relay takes requests from other machines. `folder` holds its cert.pem and key.pem."""

    host: str
    port: int
    secret: str = field(repr=False)
    folder: Path


def parse_where(text: str) -> tuple[str, int]:
    """Return host and port of "host:port" or "[address]:port". Raises ValueError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("must be host:port, such as relay.example.police.uk:40443")
    return host, int(port)


def is_secret(text: str) -> bool:
    """Say whether this can be the secret: 256 bits, in lower-case hexadecimal."""
    return _SECRET.fullmatch(text) is not None


def serving_context(listening: Listening) -> ssl.SSLContext:
    """Return the relay's side of TLS. Raises CannotStart when the secret or the certificate will not do."""
    if not is_secret(listening.secret):
        raise CannotStart(
            "VIDEO_RELAY_SECRET must be 64 hexadecimal digits before a relay takes control from other machines: "
            "make one with 'openssl rand -hex 32'."
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    key = listening.folder / "key.pem"
    try:
        if key.stat().st_mode & 0o007:
            raise CannotStart(f"The key {key} can be read by other accounts: run 'chmod o-rwx {key}'.")
        context.load_cert_chain(listening.folder / "cert.pem", key)
    except (OSError, ssl.SSLError) as problem:
        raise CannotStart(
            f"The certificate in {listening.folder} cannot be used: cert.pem and key.pem must be there and fit."
        ) from problem
    return context


def asking_context(remote: Remote) -> ssl.SSLContext:
    """Return the web's side of TLS, which checks the relay's certificate and name. Raises OSError."""
    context = ssl.create_default_context(cafile=remote.trust)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def render_knock(secret: str) -> bytes:
    """Return the first line of a connection from another machine."""
    return json.dumps({"secret": secret}).encode() + b"\n"


def opens(line: bytes, secret: str) -> bool:
    """Say whether a first line shows the secret; takes as long whether it is nearly right or not at all."""
    return secrets.compare_digest(line.strip(), render_knock(secret).strip())
