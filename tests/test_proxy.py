"""The README's nginx in front: files of any size pass through it as they come, everything else stays small."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import AddStaff, HeldClock
from tests.evidence_support import PIECES, TUS, Call, calling, jpeg, sha256, until
from tests.ports import find_free_port
from video_server.accounts.model import Role

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(datetime.now(UTC))


def readme_config(*, listens: int, passes_to: int, logs: Path) -> str:
    """Return the README's nginx configuration, on a port and with logs of ours and without TLS."""
    block = re.search(r"^    server \{\n.*?^    map .*?$", README.read_text(), re.DOTALL | re.MULTILINE)[0]
    plain = re.sub(r"^ *ssl_certificate.*\n", "", block, flags=re.MULTILINE)
    assert "listen 443 ssl;" in plain
    assert "127.0.0.1:8080" in plain
    plain = plain.replace("/var/log/nginx", str(logs))
    return plain.replace("443 ssl", f"127.0.0.1:{listens}").replace("127.0.0.1:8080", f"127.0.0.1:{passes_to}")


@contextmanager
def config_file(folder: Path, servers: str) -> Iterator[Path]:
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log {folder}/access.log; {temporary}\n{servers}\n}}\n"
    )
    yield path


@pytest.fixture
async def call(database, settings, key_ring, clock, add_staff: AddStaff) -> AsyncIterator[Call]:
    async with calling(database, settings, key_ring, clock, await add_staff("smith", Role.OFFICER)) as call:
        yield call


@pytest.fixture
async def proxied(call: Call, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Whoever comes through nginx."""
    port = find_free_port()
    folder = tmp_path / "nginx"
    folder.mkdir()
    with config_file(folder, readme_config(listens=port, passes_to=call.server.port, logs=folder)) as config:
        nginx = await asyncio.create_subprocess_exec(
            "nginx", "-c", config, "-g", "daemon off; master_process off;",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

                async def answers() -> bool:
                    assert nginx.returncode is None, (folder / "error.log").read_text()
                    try:
                        return (await session.get("/healthz")).status == 200
                    except aiohttp.ClientError:
                        return False

                await until("nginx", answers)
                yield session
        finally:
            nginx.terminate()
            await nginx.wait()


async def create(call: Call, session: aiohttp.ClientSession, length: int) -> tuple[str, dict[str, str], str]:
    request_id = await call.ask()
    grant = (await call.grant(request_id))["grant"]
    headers = {
        **TUS, "Authorization": f"Grant {grant}", "Upload-Length": str(length),
        "Upload-Metadata": "filename cGhvdG8uanBn,filetype aW1hZ2UvanBlZw==",
    }  # fmt: skip
    answer = await session.post("/evidence/files/", headers=headers)
    assert answer.status == 201, await answer.text()
    return answer.headers["Location"], {"Authorization": f"Bearer {answer.headers['Upload-Bearer']}"}, request_id


async def test_a_piece_as_large_as_the_page_sends_passes(call, proxied):
    photo = jpeg(8 * 1024 * 1024)  # CHUNK_BYTES of static/js/upload.js
    path, auth, request_id = await create(call, proxied, len(photo))
    answer = await proxied.patch(path, headers={**PIECES, **auth, "Upload-Offset": "0"}, data=photo)
    assert answer.status == 204, await answer.text()
    said = await proxied.post(f"{path}/digest", headers=auth, json={"sha256": sha256(photo)})
    assert (await said.json())["state"] == "received"
    await call.wait_for(request_id, "received")


async def test_what_came_before_a_cut_is_kept_by_the_store_and_not_dropped_by_the_proxy(call, proxied):
    photo = jpeg(4_000_000)
    path, auth, _ = await create(call, proxied, len(photo))

    async def half() -> AsyncIterator[bytes]:
        yield photo[:2_000_000]
        await asyncio.sleep(0.2)
        raise ConnectionError("the train went into a tunnel")

    headers = {**PIECES, **auth, "Upload-Offset": "0", "Content-Length": str(len(photo))}
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await proxied.patch(path, headers=headers, data=half())

    async def stands() -> int:
        answer = await proxied.head(path, headers={**TUS, **auth})
        return int(answer.headers.get("Upload-Offset", 0))

    assert await until("what came before the cut", stands) <= 2_000_000


async def test_everything_else_stays_small_and_the_figures_stay_inside(call, proxied):
    assert (await proxied.post("/sign-in", data=b"x" * 1_100_000)).status == 413
    assert (await proxied.get("/metrics")).status == 403


async def test_the_proxys_logs_hold_nobodys_link(call, proxied, tmp_path):
    path = f"/j/{'Key' * 7}s"
    assert (await proxied.get(path)).status == 404
    assert (await proxied.get("/healthz", headers={"Referer": f"https://meet.example.org{path}"})).status == 200
    await call.server.close()
    assert (await proxied.get(path)).status == 502
    kept = {log.name: log.read_text() for log in (tmp_path / "nginx").glob("*.log")}
    assert "error.log" in kept
    assert [name for name, text in kept.items() if path in text] == []
