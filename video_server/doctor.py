"""`video-server doctor`: look at every part and say, in words, what is wrong and how to mend it.

Each check stands alone and changes nothing; one that fails does not keep the others from looking.
"""

import asyncio
import ctypes
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from video_server import checks, migrations
from video_server.calls.turn import Turn
from video_server.config import Settings
from video_server.core.clock import utc_now
from video_server.core.database import Database, DatabaseFault
from video_server.core.errors import CannotStart, Unavailable
from video_server.core.keys import load_keys, load_signing_identity
from video_server.relay import turn, turn_urls
from video_server.relay.client import Control, RelayClient, RelayLost

CLOCK_MAY_DIFFER = timedelta(seconds=5)
_ANSWER_SECONDS = 10.0
_TIME_ERROR = 5  # adjtimex(2): the kernel's clock is not synchronised


class Ill(Exception):
    """Something is wrong; the message says what, and how to mend it."""


@dataclass(frozen=True)
class Finding:
    """What one check found: `part`, whether it is well, and a sentence."""

    part: str
    is_well: bool
    said: str


Check = Callable[[Settings], Awaitable[str]]


async def examine(settings: Settings) -> list[Finding]:
    """Run every check, in the order in which an operator would mend things."""
    findings = []
    for part, check in CHECKS.items():
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                findings.append(Finding(part, True, await check(settings)))
        except (Ill, CannotStart) as problem:
            findings.append(Finding(part, False, str(problem)))
        except TimeoutError:
            findings.append(Finding(part, False, f"No answer within {_ANSWER_SECONDS:.0f} s."))
        except OSError as problem:
            findings.append(Finding(part, False, f"{problem.strerror or type(problem).__name__}."))
    return findings


async def check_settings(settings: Settings) -> str:
    """Refuse what `serve` would refuse."""
    checks.check_real_use(settings)
    checks.check_built()
    return f"as {'a demo' if settings.demo else 'for real use'}, reached at {settings.origin}"


async def check_keys(settings: Settings) -> str:
    """Read every key a start would need."""
    load_keys(settings.keys_folder, create=False)
    if settings.signing_key is not None:
        load_signing_identity(settings.signing_key, password=settings.signing_password.get_secret_value())
    elif not settings.demo:
        raise Ill("VIDEO_SIGNING_KEY is not set: statements cannot be signed. Name the force's PKCS#12 or PEM file.")
    return f"in {settings.keys_folder}; back them up apart from the data"


async def check_database(settings: Settings) -> str:
    """Reach the database and compare its tables with what this version needs."""
    try:
        if await migrations.is_empty(settings.database_url):
            raise Ill("The database is empty: run 'video-server prepare'.")
        if await migrations.find_differences(settings.database_url):
            raise Ill("The database has other tables than this version needs: run 'video-server prepare'.")
    except DatabaseFault as problem:
        said = str(getattr(problem, "orig", None) or problem).partition("\n")[0]
        raise Ill(f"The database cannot be used ({said}): check VIDEO_DATABASE and that its server runs.") from None
    database = Database(settings.database_url)
    await database.dispose()
    return "SQLite, tables up to date" if database.is_sqlite else "PostgreSQL, tables up to date"


async def check_relays(settings: Settings) -> str:
    """Ask every relay how it does, and whether browsers can find a way to it."""
    checks.check_relays(settings)
    asked = {name: asyncio.create_task(_ask_relay(control)) for name, control in settings.relay_controls.items()}
    said, ill = [], []
    for name, answer in asked.items():
        try:
            status = await answer
        except RelayLost as problem:
            ill.append(f"Relay {name} does not answer ({problem}): start 'video-server serve' (or relay), see its log.")
            continue
        draining = ", takes no new calls" if status["draining"] else ""
        said.append(f"{name}: {status['rooms']} rooms, UDP port {status['udp_port']}{draining}")
    if settings.relay_names and not settings.media_addresses and not _has_outside_address():
        ill.append("This machine has only a loopback address: browsers find no way to the relay. Connect a network.")
    if ill:
        raise Ill(" ".join([*ill, *said]))
    return "; ".join(said)


async def _ask_relay(control: Control) -> Mapping[str, Any]:
    relay = await RelayClient.connect(control, on_event=lambda _event: None, on_lost=lambda: None)
    try:
        return await relay.status()
    finally:
        await relay.close()


async def check_turn(settings: Settings) -> str:
    """Ask for a way through each TURN server as a page would, and then for ways that it must not open."""
    if not settings.turn_urls:
        return "none; people whose network lets no UDP pass cannot call (VIDEO_TURN_URLS)"
    from video_server.relay.transport import find_own_addresses  # late: aiortc is heavy

    own = [each for each in settings.media_addresses or find_own_addresses() if not ip_address(each).is_loopback]
    spared = [each for each in turn.INTERNAL_PEERS if each not in own]
    asked = [_look_through(settings, url, own=own, spared=spared) for url in settings.turn_urls]
    if ill := [problem for problem in await asyncio.gather(*asked) if problem]:
        raise Ill(" ".join(ill))
    return f"{len(settings.turn_urls)} ways, to the relays and to no internal address"


async def _look_through(settings: Settings, url: str, *, own: Sequence[str], spared: Sequence[str]) -> str:
    """Return what is wrong, nothing when all is well."""
    [server] = Turn((url,), settings.turn_secret.get_secret_value()).ice_servers(user="doctor", now=utc_now())
    where = turn_urls.parse_turn_url(url)
    try:
        async with turn.allocate(where, username=server["username"], password=server["credential"]) as allocation:
            if open_ways := await turn.find_reachable(allocation, spared):
                return f"{url} relays to {', '.join(open_ways)}: set denied-peer-ip as in deploy/turnserver.conf."
            four = [each for each in own if ":" not in each]
            if four and not await turn.find_reachable(allocation, four):
                return f"{url} does not relay to {', '.join(four)}: set allowed-peer-ip to the relays' addresses."
    except turn.TurnRefused as refusal:
        if refusal.code == 401:
            return f"{url} does not take our credential: VIDEO_TURN_SECRET and static-auth-secret differ, or a clock."
        return f"{url} refuses with STUN error {refusal.code}: look at its log."
    except (OSError, TimeoutError) as problem:
        said = str(problem) or type(problem).__name__
        return f"{url} does not answer ({said}): is coturn running, and the port open?"
    return ""


async def check_store(settings: Settings) -> str:
    """Ask the evidence store how it does."""
    from video_server.evidence.link import StoreLink

    async with StoreLink(settings.evidence_where, settings.keys_folder).running() as link:
        try:
            await link.check()
        except Unavailable as problem:
            raise Ill(
                f"The evidence store cannot take evidence ({problem}): start 'video-server serve' and look at its log."
            ) from None
    return "ready"


async def check_clock(settings: Settings) -> str:
    """Ask the kernel whether the clock is kept right, and compare it with the database server's."""
    own = utc_now()
    buffer = ctypes.create_string_buffer(512)  # struct timex, all zero: only look
    if ctypes.CDLL(None).adjtimex(buffer) == _TIME_ERROR:
        raise Ill("This machine's clock is not kept right by anything: switch on systemd-timesyncd or chrony.")
    database = Database(settings.database_url)
    try:
        theirs = await database.read_clock()
    finally:
        await database.dispose()
    if theirs is not None and abs(theirs - own) > CLOCK_MAY_DIFFER:
        raise Ill("This machine's clock and the database server's differ by more than 5 s: synchronise both.")
    return f"{own.isoformat(timespec='seconds')}, time zone of the diary {settings.timezone}"


async def check_texts(settings: Settings) -> str:
    """Sign in at the provider of texts, without sending anything."""
    if settings.texts == "screen":
        return "shown on a page; nothing is sent"
    from video_server.texts.gateway import NotTaken, TwilioGateway, Unsure

    gateway = TwilioGateway(
        account=settings.twilio_account,
        token=settings.twilio_token.get_secret_value(),
        sender=settings.twilio_sender,
        public_url=settings.origin,
        base_url=settings.twilio_url,
    )
    try:
        await gateway.check()
    except (NotTaken, Unsure) as problem:
        raise Ill(
            f"Twilio does not answer as it should ({problem.code}): check VIDEO_TWILIO_ACCOUNT, VIDEO_TWILIO_TOKEN and "
            "that this machine reaches Twilio."
        ) from None
    finally:
        await gateway.close()
    return "Twilio answers and knows the account"


def _has_outside_address() -> bool:
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    return bool(names)


CHECKS: dict[str, Check] = {
    "settings": check_settings,
    "keys": check_keys,
    "database": check_database,
    "relays": check_relays,
    "TURN": check_turn,
    "evidence store": check_store,
    "clock": check_clock,
    "texts": check_texts,
}
