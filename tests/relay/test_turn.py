"""Debian's coturn with the configuration we recommend: browsers reach the relay through it, and nothing else."""

import re
import shutil
import socket
import subprocess
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests.ports import find_free_port
from tests.relay.harness import until
from tests.relay.test_browser import CHROMIUM, Stage, open_chromium, open_page
from video_server import doctor
from video_server.calls.turn import LIFE, Turn
from video_server.config import load
from video_server.core.clock import utc_now
from video_server.relay import turn, turn_urls
from video_server.relay.transport import find_own_addresses

CONF = Path(__file__).parents[2] / "deploy" / "turnserver.conf"
SECRET = "7a" * 32
LONG_ENOUGH = timedelta(seconds=60)
"""So long ago that coturn's clock, which it reads once in a while, is past it too."""

pytestmark = pytest.mark.skipif(
    not shutil.which("turnserver"), reason="needs Debian's coturn: deploy/test-tools.sh installs it"
)


def find_port() -> int:
    """Return a port for TCP that nobody has for UDP either."""
    while True:
        port = find_free_port()
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("", port))
            return port


class Coturn:
    """The recommended configuration with this machine's own address, free ports and a secret."""

    def __init__(self, folder: Path, port: int, *, without: str = "") -> None:
        self.address = find_own_addresses()[0]
        self.port = port
        text = CONF.read_text().replace("203.0.113.10", self.address)
        text = re.sub(r"static-auth-secret=.*", f"static-auth-secret={SECRET}", text)
        text = re.sub(r"listening-port=3478", f"listening-port={port}", text)
        if without:
            text = "\n".join(line for line in text.splitlines() if not line.startswith(without))
        (folder / "turnserver.conf").write_text(text + f"\npidfile={folder}/pid\nuserdb={folder}/userdb\n")
        self.log = (folder / "coturn.log").open("wb")
        self.process = subprocess.Popen(
            ["turnserver", "-c", str(folder / "turnserver.conf")], stdout=self.log, stderr=self.log, cwd=folder
        )

    def url(self, transport: str) -> str:
        return f"turn:{self.address}:{self.port}?transport={transport}"

    def server_for(self, transport: str, *, now=None):
        """Return what a page is given."""
        return Turn((self.url(transport),), SECRET).ice_servers(user="p", now=now or utc_now())[0]

    def allocate(self, transport: str, **when):
        server = self.server_for(transport, **when)
        return turn.allocate(
            turn_urls.parse_turn_url(server["urls"][0]), username=server["username"], password=server["credential"]
        )

    async def answers(self) -> bool:
        try:
            async with self.allocate("tcp"):
                return True
        except (OSError, TimeoutError):
            assert self.process.poll() is None, "coturn has ended: see its log"
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture
async def coturn(tmp_path, request):
    coturn = Coturn(tmp_path, find_port(), without=getattr(request, "param", ""))
    await until(coturn.answers, "coturn answers")
    yield coturn
    coturn.stop()


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")
async def test_browsers_that_reach_only_turn_see_each_other_over_udp_and_over_tcp(coturn, tmp_path):
    async with async_playwright() as playwright:
        browser = await open_chromium(playwright)
        stage = Stage(tmp_path, browser)
        await stage.server.start()
        await stage.start_relay(addresses=(coturn.address,))
        await stage.join("u", turn=coturn.server_for("udp"))
        await stage.join("t", turn=coturn.server_for("tcp"))
        await stage.decodes("u", 0)
        await stage.decodes("t", 0)
        assert [(await stage.figures(name))["through"] for name in "ut"] == ["udp", "tcp"]
        await browser.close()
        await stage.server.client.close()
        await stage.server.stop()
        stage.relay.close()


THE_PAGES_OWN_CALL = """async ({ expired }) => {
  const { Call } = await import("/static/js/media.js");
  const Plain = window.RTCPeerConnection;
  window.made = [];
  window.RTCPeerConnection = class extends Plain {
    constructor(how) { super({ ...how, iceTransportPolicy: "relay" }); made.push(this); }
  };
  const socket = Object.assign(new EventTarget(), { iceServers: null, connected: true, send() {}, checkNow() {} });
  const mine = { room: "r", participant: "p", epoch: 1, admitted: false, echo: true };
  socket.request = async ({ sdp, restart }) => {
    const { answer } = await send(restart ? "/restart" : "/join", { ...mine, offer: sdp });
    return { sdp: answer };
  };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  window.call = new Call({ socket, stream, iceServers: [expired], slots: 1 });
  await call.start({ echo: true });
}"""


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")
@pytest.mark.parametrize("how", ["a new path", "a fresh connection"])
async def test_a_page_whose_credential_has_expired_uses_those_it_was_told_since(coturn, tmp_path, how):
    async with async_playwright() as playwright:
        browser = await open_chromium(playwright)
        stage = Stage(tmp_path, browser)
        await stage.server.start()
        await stage.start_relay(addresses=(coturn.address,))
        page = await open_page(browser)
        await page.goto(stage.server.url)
        expired = coturn.server_for("udp", now=utc_now() - LIFE - LONG_ENOUGH)
        await page.evaluate(THE_PAGES_OWN_CALL, {"expired": expired})
        gathered = "() => made.at(-1).iceGatheringState === 'complete' && made.at(-1).localDescription.sdp"
        offer = await until(lambda: page.evaluate(gathered), "it has looked for a way")
        assert "a=candidate" not in offer, "there is none with this credential"
        await page.evaluate("server => { call.socket.iceServers = [server]; }", coturn.server_for("udp"))
        if how == "a new path":
            await page.evaluate("window.dispatchEvent(new Event('online'))")
        else:
            await page.evaluate("void call.mend(true)")
        await until(lambda: page.evaluate("call.hasFlowed"), "its own picture comes back through TURN")
        assert await page.evaluate("made.length > 1") or how == "a new path"
        await page.evaluate("call.close()")
        await browser.close()
        await stage.server.client.close()
        await stage.server.stop()
        stage.relay.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_turn_relays_to_the_relay_and_to_no_other_address(coturn, transport):
    async with coturn.allocate(transport) as allocation:
        await allocation.permit(coturn.address, 40000)
        others = [*turn.INTERNAL_PEERS, "203.0.113.99", "0.0.0.0"]
        assert await turn.find_reachable(allocation, others) == []
        with pytest.raises(turn.TurnRefused) as refusal:
            await allocation.permit("127.0.0.1")
        assert refusal.value.code == 403


async def test_an_expired_or_forged_credential_is_refused(coturn):
    async with coturn.allocate("udp", now=utc_now() - LIFE + timedelta(seconds=60)):
        pass  # nearly over is not over
    with pytest.raises(turn.TurnRefused) as refusal:
        async with coturn.allocate("udp", now=utc_now() - LIFE - LONG_ENOUGH):
            pass
    assert refusal.value.code == 401
    server = coturn.server_for("udp")
    later = f"{int(server['username'].partition(':')[0]) + 3600}:p"
    with pytest.raises(turn.TurnRefused) as refusal:
        async with turn.allocate(
            turn_urls.parse_turn_url(server["urls"][0]), username=later, password=server["credential"]
        ):
            pass
    assert refusal.value.code == 401


def settings_for(coturn, **more):
    given = {"turn_urls": [coturn.url("udp"), coturn.url("tcp")], "turn_secret": SECRET}
    return load(**given | {"media_addresses": [coturn.address]} | more)


async def test_the_doctor_finds_a_turn_server_well_and_says_what_is_wrong_with_one(coturn):
    assert "no internal address" in await doctor.check_turn(settings_for(coturn))
    silent = f"turn:{coturn.address}:{find_free_port()}?transport=tcp"
    for more, said in [
        ({"turn_secret": "8b" * 32}, "VIDEO_TURN_SECRET"),
        ({"media_addresses": ["203.0.113.77"]}, "allowed-peer-ip"),
        ({"turn_urls": [silent]}, "does not answer"),
    ]:
        with pytest.raises(doctor.Ill, match=said):
            await doctor.check_turn(settings_for(coturn, **more))
    assert "VIDEO_TURN_URLS" in await doctor.check_turn(load())


@pytest.mark.parametrize("coturn", ["denied-peer-ip"], indirect=True)
async def test_the_doctor_warns_of_a_turn_server_that_lets_people_into_the_network(coturn):
    with pytest.raises(doctor.Ill, match=r"relays to .*10\.0\.0\.1"):
        await doctor.check_turn(settings_for(coturn))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("turn:a.example", ("a.example", 3478, "udp", False)),
        ("turn:192.0.2.1:5000?transport=tcp", ("192.0.2.1", 5000, "tcp", False)),
        ("turns:a.example:443?transport=tcp", ("a.example", 443, "tcp", True)),
        ("turn:[2001:db8::1]:3478", ("2001:db8::1", 3478, "udp", False)),
    ],
)
def test_a_turn_address_is_read(text, parts):
    assert turn_urls.parse_turn_url(text) == turn_urls.TurnUrl(*parts)


@pytest.mark.parametrize("text", ["stun:a.example", "turn:", "turn:a b", "turns:a.example?transport=udp", "https://a"])
def test_what_is_no_turn_address_is_refused(text):
    with pytest.raises(ValueError, match=r"must be|not supported"):
        turn_urls.parse_turn_url(text)


def test_the_secret_is_in_no_representation():
    assert SECRET not in repr(Turn(("turn:a.example",), SECRET))
