"""Drive Debian's Firefox by Marionette, its own remote protocol: `length:[0, id, command, parameters]` over TCP."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

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


class Firefox:
    """One headless Firefox with one tab."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._last_id = 0

    async def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._profile.mkdir(parents=True, exist_ok=True)
        values = PREFERENCES | {"marionette.port": port}
        lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in values.items()]
        (self._profile / "user.js").write_text("\n".join(lines))
        self._log = (self._profile / "firefox.log").open("wb")
        self._process = await asyncio.create_subprocess_exec(
            str(FIREFOX), "--headless", "--marionette", "--no-remote", "--profile", str(self._profile),
            stdout=self._log, stderr=self._log,
            env={"HOME": str(self._profile), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"},
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except ConnectionRefusedError:
                    assert self._process.returncode is None, "Firefox ended"
                    await asyncio.sleep(0.1)
            await self._read()
        await self._ask("WebDriver:NewSession", {})

    async def _read(self) -> Any:
        length = int((await self._reader.readuntil(b":"))[:-1])
        return json.loads(await self._reader.readexactly(length))

    async def _ask(self, command: str, parameters: dict[str, Any]) -> Any:
        self._last_id += 1
        body = json.dumps([0, self._last_id, command, parameters]).encode()
        self._writer.write(str(len(body)).encode() + b":" + body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, _, error, result = await self._read()
        assert error is None, error
        return result

    async def goto(self, url: str) -> None:
        await self._ask("WebDriver:Navigate", {"url": url})

    async def evaluate(self, function: str, argument: Any = None) -> Any:
        """Call an asynchronous function of the page, as `page.evaluate` of playwright does."""
        script = (
            "const done = arguments[1]; Promise.resolve((" + function + ")(arguments[0]))"
            ".then((value) => done({value: value ?? null}), (error) => done({error: String(error)}));"
        )
        result = await self._ask(
            "WebDriver:ExecuteAsyncScript",
            {"script": script, "args": [argument], "sandbox": None, "scriptTimeout": PATIENCE_SECONDS * 1000},
        )
        assert "error" not in result["value"], result["value"]["error"]
        return result["value"]["value"]

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._log.close()
