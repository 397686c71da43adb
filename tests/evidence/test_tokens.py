"""Tokens: issued, listed, revoked at once in every process; the web server's own does what web does and no more."""

import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from evidence_store import access, tokens
from evidence_store.admission import service
from evidence_store.admission.storage import list_tokens
from evidence_store.app_keys import LIMITS
from evidence_store.clock import utc_now
from evidence_store.errors import NotFound
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from tests.evidence.conftest import INCIDENT, Process, Wire, both_databases, jpeg
from tests.evidence_tokens import token_for


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def issue(wire: Wire, *scopes: Scope, incident: str | None = None, per_minute: int | None = None) -> str:
    return await service.issue(
        wire.store, scopes=scopes, name="niche", incident=incident, lasts=timedelta(days=1), per_minute=per_minute
    )


async def refused(wire: Wire, token: str) -> str:
    async with wire.http.get("/evidence/v1/objects", headers=headers(token)) as answer:
        assert (answer.status, answer.content_type) == (401, "application/problem+json")
        return str((await answer.json())["code"])


@both_databases
async def test_a_token_works_until_it_is_revoked_and_both_stand_in_the_ledger(wire: Wire):
    token = await issue(wire, Scope.READ)
    [issued] = [one for one in await wire.lines() if one["action"] == "token issued"]
    token_id = issued["details"]["token"]
    assert issued["details"] | {"expires": "", "issued": ""} == {
        "token": token_id, "name": "niche", "scopes": "read", "incident": None, "per_minute": None, "expires": "",
        "issued": "", "secret_sha256": tokens.open_token(wire.store.keys.token, token, now=wire.clock()).secret_sha256,
    }  # fmt: skip
    await wire.ask("GET", "/objects", **headers(token))
    for _ in range(2):
        revoked = await service.revoke(wire.store, token_id, reason="The system was replaced")
        assert revoked.state(wire.clock()) == "revoked"
    assert await refused(wire, token) == "token_revoked"
    [line] = [one for one in await wire.lines() if one["action"] == "token revoked"]
    assert line["purpose"] == "The system was replaced"
    assert line["details"] == {"token": token_id, "revoked_at": wire.clock().isoformat()}
    with pytest.raises(NotFound):
        await service.revoke(wire.store, "0" * 12, reason="x")


async def test_a_signature_alone_opens_nothing(wire: Wire):
    made = tokens.make_token(
        wire.store.keys.token, token_id=tokens.new_token_id(), scopes=list(Scope), name="forged", incident=None,
        lasts=timedelta(days=1), now=wire.clock(),
    )  # fmt: skip
    assert await refused(wire, made) == "unauthorized"


async def test_the_key_and_an_id_out_of_the_ledger_make_no_token(wire: Wire):
    key, held = wire.store.keys.token, await issue(wire, Scope.READ)
    token_id = tokens.open_token(key, held, now=wire.clock()).id
    said = signing.open_signed(key, "token1", held)
    for forged in (
        tokens.make_token(
            key, token_id=token_id, scopes=list(Scope), name=said["name"], incident=None, lasts=timedelta(days=1),
            now=wire.clock(),
        ),
        signing.sign(key, "token1", {name: value for name, value in said.items() if name != "secret"}),
    ):  # fmt: skip
        assert await refused(wire, forged) == "unauthorized"
    await wire.ask("GET", "/objects", **headers(held))


async def test_a_token_ends_by_itself_and_says_so(wire: Wire, clock):
    token = await issue(wire, Scope.READ)
    clock.move(days=1)
    assert await refused(wire, token) == "token_expired"


async def test_no_part_of_a_token_but_its_id_is_kept(wire: Wire):
    token = await issue(wire, Scope.READ)
    async with wire.store.database.read() as db:
        kept = str(await list_tokens(db))
    assert not [part for part in token.split(".") if len(part) > 10 and part in kept]


async def test_a_token_may_have_a_rate_of_its_own(wire: Wire):
    wire.app[LIMITS]._now = lambda: 1000.0  # a slow machine lets no time pass
    token = await issue(wire, Scope.READ, per_minute=1)
    await wire.ask("GET", "/objects", **headers(token))
    await wire.ask("GET", "/objects", status=429, **headers(token))


def run(process: Process, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["--data", process.settings["data"], "--keys", process.settings["keys"]]
    command = [sys.executable, "-m", "evidence_store.cli", "token", *arguments, *where]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_issues_lists_and_revokes_while_the_store_runs(process: Process):
    def status(token: str) -> int:
        return requests.get(f"{process.url}/evidence/v1/objects", headers=headers(token), timeout=300).status_code

    first = run(process, "--scope", "read", "--name", "old-way").stdout.strip()
    second = run(process, "issue", "--scope", "read", "--scope", "hold", "--incident", INCIDENT).stdout.strip()
    assert (status(first), status(second)) == (200, 200)
    listed = [line.split() for line in run(process, "list").stdout.splitlines() if " test " not in line]
    assert [line[1] for line in listed] == ["valid", "valid"]
    assert listed[1][5:] == [INCIDENT, "hold", "read"]
    gone = run(process, "revoke", listed[0][0], "--reason", "lost")
    assert "opens nothing" in gone.stdout, gone.stderr
    assert (status(first), status(second)) == (401, 200)
    assert run(process, "list").stdout.count(" revoked ") == 1
    assert run(process, "revoke", "f" * 12, "--reason", "lost").returncode == 2
    assert run(process, "issue", "--scope", "everything").returncode == 2


@pytest.fixture
async def web_token(wire: Wire, tmp_path: Path) -> str:
    await service.share_web_token(wire.store, tmp_path / "web")
    return (tmp_path / "web" / "evidence.token").read_text()


_WEB_MAY = {
    "objects.put",
    "objects.post",
    "objects.show",
    "objects.content",
    "objects.content_head",
    "objects.preview",
    "objects.playable",
}


async def test_the_web_servers_token_does_what_web_does_and_nothing_else(wire: Wire, web_token):
    sent, sealed, foreign = await wire.upload(jpeg(800)), signing.new_id(), signing.new_id()
    await wire.put(foreign, jpeg(900, 2), **wire.token(name="bodycam"))
    await wire.put(sealed, jpeg(700, 3), **headers(web_token))
    for path, status in [
        (f"/objects/{sent}", 200),
        (f"/objects/{sealed}", 200),
        (f"/objects/{foreign}", 404),
        (f"/objects/{signing.new_id()}", 404),
    ]:
        await wire.ask("GET", path, status=status, **headers(web_token))
    for object_id, status in [(sent, 200), (sealed, 200), (foreign, 404)]:
        async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=headers(web_token)) as answer:
            assert answer.status == status
    tried = 0
    for route in wire.app.router.routes():
        if not (access.guard_of(route.handler) or "").startswith("token:") or route.name in _WEB_MAY:
            continue
        url = str(route.resource.canonical).format(id=sent, code="other")
        async with wire.http.request(route.method, url, headers=headers(web_token), json={}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "forbidden"), (route.method, url)
        tried += 1
    assert tried > 15


async def test_the_web_servers_token_is_made_once_and_anew_only_where_it_is_no_good(wire: Wire, web_token, tmp_path):
    folder, file = tmp_path / "web", tmp_path / "web" / "evidence.token"
    await service.share_web_token(wire.store, folder)
    assert file.read_text() == web_token
    held = tokens.open_token(wire.store.keys.token, web_token, now=wire.clock())
    await service.revoke(wire.store, held.id, reason="The web server was broken into")
    await service.share_web_token(wire.store, folder)
    assert file.read_text() != web_token


async def test_a_token_that_somebody_laid_for_the_web_server_is_not_taken_up_however_genuine(wire: Wire, tmp_path):
    file = tmp_path / "web" / "evidence.token"
    laid = tokens.make_token(
        wire.store.keys.token, token_id=tokens.new_token_id(), scopes=[Scope.READ], name="web", incident=None,
        lasts=timedelta(days=9), now=wire.clock(),
    )  # fmt: skip
    file.write_text(laid)
    await service.share_web_token(wire.store, tmp_path / "web")
    assert await refused(wire, laid) == "unauthorized"
    assert file.read_text() != laid


def test_tokens_without_a_secret_are_named_with_what_to_do(process: Process):
    """An earlier version issued such: whoever steals token.key can make them anew."""
    kept = run(process, "--scope", "read", "--name", "scanner").stdout.strip()
    held = tokens.open_token(process.keys.token, kept, now=utc_now())
    where = ["--data", process.settings["data"], "--keys", process.settings["keys"]]

    def doctor() -> str:
        command = [sys.executable, "-m", "tests.evidence.verifying", "doctor", *where]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    [line] = [line for line in run(process, "list").stdout.splitlines() if "scanner" in line]
    assert "no secret" not in line
    assert "no secret" not in doctor()
    with sqlite3.connect(Path(process.settings["data"]) / "evidence.sqlite", timeout=300) as database:
        database.execute("UPDATE tokens SET secret_sha256 = '' WHERE name = 'scanner'")
    [line] = [line for line in run(process, "list").stdout.splitlines() if "scanner" in line]
    assert line.endswith("(no secret: issue it anew, then revoke this one)")
    assert f"1 token has no secret ({held.id})" in doctor()
    run(process, "revoke", held.id, "--reason", "issued anew")
    assert "no secret" not in doctor()


async def test_a_token_made_with_another_key_is_refused_however_it_is_listed(wire: Wire):
    async with wire.http.get("/evidence/v1/objects", headers=token_for(signing.new_key(), now=wire.clock())) as answer:
        assert answer.status == 401
