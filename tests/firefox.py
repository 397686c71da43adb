"""Drive Debian's Firefox by Marionette, its own remote protocol: `length:[0, id, command, parameters]` over TCP."""

import json
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.ports import find_free_port
from tests.product import until

FIREFOX = Path("/usr/bin/firefox-esr")
PATIENCE_SECONDS = 120.0
PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    "media.gmp-manager.url": "",
    "media.gmp-provider.enabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "",
}
IN_SIGHT = """(selector, words) => [...document.querySelectorAll(selector)]
  .find((one) => one.textContent.trim() === words && one.checkVisibility())"""


class Firefox:
    """One headless Firefox with one tab."""

    def __init__(self, profile: Path) -> None:
        """Start it and wait until it answers."""
        self._last_id = 0
        port = find_free_port()
        profile.mkdir(parents=True, exist_ok=True)
        values = PREFERENCES | {"marionette.port": port}
        lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in values.items()]
        (profile / "user.js").write_text("\n".join(lines))
        with (profile / "firefox.log").open("wb") as log:
            self._process = subprocess.Popen(
                [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", profile],
                stdout=log,
                stderr=log,
                env={"HOME": str(profile), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"},
            )
        self._socket: socket.socket = until(lambda: self._connect(port), "Firefox", PATIENCE_SECONDS)
        self._stream = self._socket.makefile("rb")
        self._read()
        self._ask("WebDriver:NewSession", {})

    def _connect(self, port: int) -> socket.socket | None:
        assert self._process.poll() is None, "Firefox ended"
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        except ConnectionRefusedError:
            return None

    def _read(self) -> Any:
        digits = b""
        while (one := self._stream.read(1)) != b":":
            assert one, "Firefox ended"
            digits += one
        return json.loads(self._stream.read(int(digits)))

    def _ask(self, command: str, parameters: dict[str, Any]) -> Any:
        self._last_id += 1
        body = json.dumps([0, self._last_id, command, parameters]).encode()
        self._socket.sendall(str(len(body)).encode() + b":" + body)
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def goto(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self._ask("WebDriver:Navigate", {"url": url})

    def evaluate(self, function: str, *arguments: Any) -> Any:
        """Call a function of the page, asynchronous or not, as `page.evaluate` of playwright does."""
        script = (
            "const given = [...arguments]; const done = given.pop();"
            "Promise.resolve((" + function + ")(...given))"
            ".then((value) => done({value: value ?? null}), (error) => done({error: String(error)}));"
        )
        result = self._ask(
            "WebDriver:ExecuteAsyncScript",
            {"script": script, "args": arguments, "sandbox": None, "scriptTimeout": PATIENCE_SECONDS * 1000},
        )
        assert "error" not in result["value"], result["value"]["error"]
        return result["value"]["value"]

    def press(self, words: str, *, kind: str = "button", leads_to: str = "") -> None:
        """Press what bears these words once it is in sight; where it leads to another page, wait until that is there.

        Firefox itself waits only for what it sees begin a fifth of a second after the press.
        """
        until(lambda: self.evaluate(f"(...given) => Boolean(({IN_SIGHT})(...given))", kind, words), f"“{words}”")
        path = f"//{kind}[normalize-space()='{words}']"
        found = self._ask("WebDriver:FindElements", {"using": "xpath", "value": path})
        shown = [one for one in found if self._ask("WebDriver:IsElementDisplayed", {"id": _id(one)})["value"]]
        self._ask("WebDriver:ElementClick", {"id": _id(shown[0])})
        if leads_to:
            until(lambda: urlsplit(self._ask("WebDriver:GetCurrentURL", {})["value"]).path == leads_to, leads_to)

    def close(self) -> None:
        """End it."""
        self._stream.close()
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _id(element: dict[str, str]) -> str:
    return next(iter(element.values()))
