"""What must hold before anything starts: the folder is ours, the ground is built, real use is safe."""

import errno
import fcntl
import os
import socket
from ipaddress import ip_address
from pathlib import Path

from video_server.config import Settings
from video_server.core.errors import CannotStart
from video_server.relay.built import load_compiled
from video_server.statements.languages import FONT_FOLDERS

ROOT = Path(__file__).parent.parent
_BUILT = (
    ROOT / "static/dist/styles.css",
    ROOT / "evidence_store/view/static/dist/view.css",
    ROOT / "node_modules/govuk-frontend/dist/govuk/govuk-frontend.min.js",
    *FONT_FOLDERS,
)
_LONGEST_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path, less its final zero


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a server that listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def demo_marker(settings: Settings) -> Path:
    """Return the file that says: this data folder was used with --demo."""
    return settings.data / "demo" / "README"


def check_real_use(settings: Settings) -> None:
    """Refuse, without --demo, what is only fit for a demo. Raises CannotStart with one sentence."""
    if settings.demo:
        return
    if demo_marker(settings).exists():
        raise CannotStart(f"The data folder {settings.data} holds a demo: name another with --data, or add --demo.")
    if settings.texts == "screen":
        raise CannotStart("VIDEO_TEXTS=screen shows texts on a page and is for --demo only: set VIDEO_TEXTS=twilio.")
    if settings.tls == "self-signed":
        raise CannotStart("--tls self-signed is for --demo only: name a folder that holds cert.pem and key.pem.")
    if settings.keys is None or settings.keys.resolve().is_relative_to(settings.data.resolve()):
        raise CannotStart("VIDEO_KEYS must name a folder for the keys outside the data folder (it is backed up apart).")
    if not settings.tls and not is_loopback(settings.host):
        raise CannotStart(
            f"Plain HTTP on {settings.host} can be overheard: set --tls, or --host 127.0.0.1 behind a reverse proxy."
        )
    if not settings.origin.startswith("https://"):
        raise CannotStart("VIDEO_PUBLIC_URL must be the https:// address that people reach; it stands in the texts.")
    if not (settings.twilio_account and settings.twilio_token.get_secret_value() and settings.twilio_sender):
        raise CannotStart("VIDEO_TWILIO_ACCOUNT, VIDEO_TWILIO_TOKEN and VIDEO_TWILIO_SENDER must be set to send texts.")
    if not settings.tls and not settings.behind_proxy:
        raise CannotStart(
            "VIDEO_PUBLIC_URL is https:// but this server speaks plain HTTP: set --tls, or VIDEO_BEHIND_PROXY=true "
            "behind a reverse proxy that speaks HTTPS."
        )


def check_relays(settings: Settings) -> None:
    """Raises CannotStart when no call could ever be placed, or a relay would have no port or no forwarder."""
    if not settings.relay_controls:
        raise CannotStart("VIDEO_RELAYS=0 starts no relay: name those of other machines in VIDEO_RELAYS_ELSEWHERE.")
    if settings.media_port + len(settings.relay_names) > 65536:
        raise CannotStart("VIDEO_MEDIA_PORT is too high: each relay takes the next port, up to 65535.")
    if settings.relay_names and settings.relay_forwarder == "compiled":
        load_compiled()


def check_built() -> None:
    """Raises CannotStart when the browser's files, or the fonts of statements, have not been installed and built."""
    if missing := [str(path.relative_to(ROOT)) for path in _BUILT if not path.exists()]:
        raise CannotStart(f"The pages' files are not built ({', '.join(missing)}): run 'make setup'.")


def make_data_folder(settings: Settings) -> None:
    """Make the data folder and those inside that every start needs. Raises CannotStart."""
    data = settings.data
    if settings.demo and not demo_marker(settings).exists() and (data / "video.sqlite").exists():
        raise CannotStart(f"The data folder {data} is in real use: name another for the demo (DATA= or --data).")
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if data.stat().st_uid != os.geteuid():
            raise CannotStart(
                f"The data folder {data} belongs to another account: start as that account, or name another folder."
            )
        if data.stat().st_mode & 0o077:
            if not settings.demo:
                raise CannotStart(f"Other accounts can look into the data folder {data}: run 'chmod 700 {data}' first.")
            data.chmod(data.stat().st_mode & 0o700)  # takes from others, gives us nothing that was withheld
        (data / "run").mkdir(exist_ok=True, mode=0o700)
        if not os.access(data, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as problem:
        raise CannotStart(f"The data folder {data} cannot be used ({problem.strerror}): name another.") from None
    if len(os.fsencode(settings.relay_socket("99").absolute())) > _LONGEST_SOCKET_PATH_BYTES:
        raise CannotStart(
            f"The path of the data folder {data} is too long for a socket inside it: choose a shorter one."
        )


def lock_data_folder(settings: Settings) -> int:
    """Take the folder for this process, until it ends; returns the descriptor to keep. Raises CannotStart."""
    try:
        descriptor = os.open(settings.data / "run" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotStart(f"Another video-server is already running on the data folder {settings.data}.") from None
    except OSError as problem:
        raise CannotStart(
            f"The data folder {settings.data} cannot be used ({problem.strerror}): name another."
        ) from None
    return descriptor


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket. Raises CannotStart when the port is in use or may not be used."""
    host, port = settings.host, settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=256, dualstack_ipv6=both)
    except socket.gaierror:
        raise CannotStart(_not_ours(host)) from None
    except PermissionError:
        raise CannotStart(f"Port {port} may not be used by this account: choose one above 1023.") from None
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise CannotStart(f"Port {port} is in use: choose another (PORT= or --port).") from None
        if problem.errno == errno.EADDRNOTAVAIL:
            raise CannotStart(_not_ours(host)) from None
        raise CannotStart(f"Cannot listen on {host} port {port} ({problem.strerror}).") from None


def _not_ours(host: str) -> str:
    return f"The host {host} is not an address of this machine: set another (HOST= or --host)."
