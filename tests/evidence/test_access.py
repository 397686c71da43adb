"""Who may do what; what every answer carries; the published description."""

import json
import re
import shutil
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from evidence_store import access
from evidence_store.app import make_app, open_store
from evidence_store.config import load
from evidence_store.errors import CannotStart
from evidence_store.openapi import document
from evidence_store.sealing import signing
from evidence_store.sealing.keys import load_keys, make_keys
from evidence_store.tokens import Scope
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg
from tests.evidence_tokens import token_for

_CALLS = [
    ("GET", "/evidence/v1/objects", Scope.READ),
    ("GET", "/evidence/v1/objects/{id}", Scope.READ),
    ("GET", "/evidence/v1/objects/{id}/content", Scope.READ),
    ("HEAD", "/evidence/v1/objects/{id}/content", Scope.READ),
    ("POST", "/evidence/v1/objects", Scope.SEAL),
    ("GET", "/evidence/v1/objects/{id}/preview", Scope.READ),
    ("GET", "/evidence/v1/objects/{id}/preview/playable", Scope.READ),
    ("PUT", "/evidence/v1/objects/{id}", Scope.SEAL),
    ("GET", "/evidence/v1/ledger", Scope.LEDGER),
    ("GET", "/evidence/v1/ledger/checkpoint", Scope.LEDGER),
    ("GET", "/evidence/v1/ledger/key", Scope.LEDGER),
    ("GET", "/evidence/v1/ledger/inclusion", Scope.LEDGER),
    ("GET", "/evidence/v1/ledger/consistency", Scope.LEDGER),
    ("POST", "/evidence/v1/grants", Scope.UPLOAD_GRANT),
    ("PUT", "/evidence/v1/objects/{id}/label", Scope.ANNOTATE),
    ("POST", "/evidence/v1/objects/{id}/notes", Scope.ANNOTATE),
    ("PUT", "/evidence/v1/objects/{id}/original", Scope.ANNOTATE),
    ("POST", "/evidence/v1/objects/{id}/break-glass", Scope.BREAK_GLASS),
    ("POST", "/evidence/v1/holds", Scope.HOLD),
    ("GET", "/evidence/v1/holds", Scope.HOLD),
    ("POST", "/evidence/v1/holds/{id}/release", Scope.HOLD),
    ("GET", "/evidence/v1/retention-classes", Scope.RETENTION),
    ("PUT", "/evidence/v1/retention-classes/{code}", Scope.RETENTION),
    ("PUT", "/evidence/v1/objects/{id}/retention", Scope.RETENTION),
    ("GET", "/evidence/v1/objects/{id}/keeping", Scope.READ),
    ("POST", "/evidence/v1/objects/{id}/reviews", Scope.REVIEW),
    ("GET", "/evidence/v1/reviews", Scope.DISPOSE),
    ("GET", "/evidence/v1/due-for-review", Scope.REVIEW),
    ("POST", "/evidence/v1/reviews/{id}/approve", Scope.DISPOSE),
    ("POST", "/evidence/v1/reviews/{id}/reject", Scope.DISPOSE),
    ("GET", "/evidence/v1/reviews/{id}/certificate", Scope.READ),
    ("GET", "/evidence/v1/objects/{id}/quarantine", Scope.QUARANTINE),
    ("POST", "/evidence/v1/objects/{id}/releases", Scope.RELEASE),
    ("GET", "/evidence/v1/releases", Scope.RELEASE),
    ("POST", "/evidence/v1/releases/{id}/approve", Scope.RELEASE),
    ("POST", "/evidence/v1/releases/{id}/reject", Scope.RELEASE),
    ("GET", "/evidence/v1/objects/{id}/trail", Scope.TRAIL),
    ("GET", "/evidence/v1/objects/{id}/trail.pdf", Scope.TRAIL),
    ("POST", "/evidence/v1/packages", Scope.EXPORT),
]


@pytest.mark.parametrize(("method", "path", "scope"), _CALLS, ids=lambda value: str(value))
async def test_a_token_without_the_scope_is_refused(wire: Wire, method, path, scope):
    url = path.format(id=signing.new_id(), code="other")
    others = [other for other in Scope if other not in {scope, Scope.READ_OWN}]
    async with wire.http.request(method, url, headers=wire.token(*others)) as answer:
        assert answer.status == 403
        assert method == "HEAD" or (await answer.json())["code"] == "forbidden"
    async with wire.http.request(method, url) as answer:
        assert answer.status == 401


async def test_a_token_of_another_key_changed_or_expired_is_refused(wire: Wire, clock):
    def token(key: bytes) -> str:
        return token_for(key, Scope.READ, now=clock())["Authorization"].removeprefix("Bearer ")

    async def status(value: str) -> int:
        headers = {"Authorization": f"Bearer {value}"}
        async with wire.http.get("/evidence/v1/objects", headers=headers) as answer:
            return answer.status

    good = token(wire.store.keys.token)
    purpose, body, mac = good.split(".")
    assert await status(good) == 200
    assert await status(token(signing.new_key())) == 401
    assert await status(f"{purpose}.{body[:-3]}AAA.{mac}") == 401
    assert await status(f"grant1.{body}.{mac}") == 401
    assert await status("x" * 5000) == 401
    assert await status("é.ü") == 401
    clock.move(hours=1)
    assert await status(good) == 401


@both_databases
async def test_a_token_for_one_incident_sees_no_other(wire: Wire):
    object_id = await wire.upload(jpeg(700))
    foreign = wire.token(Scope.READ, Scope.SEAL, Scope.LEDGER, incident="AP-0000-0000")
    for path, status in [
        (f"/evidence/v1/objects/{object_id}", 404),
        (f"/evidence/v1/objects/{object_id}/content", 404),
        (f"/evidence/v1/objects?incident={INCIDENT}", 403),
        ("/evidence/v1/ledger", 403),
        ("/evidence/v1/ledger/checkpoint", 403),
        ("/evidence/v1/ledger/inclusion?sequence=1", 403),
        ("/evidence/v1/ledger/consistency?first=1", 403),
    ]:
        async with wire.http.get(path, headers=foreign) as answer:
            assert answer.status == status, path
    async with wire.http.get("/evidence/v1/objects", headers=foreign) as answer:
        assert (await answer.json())["objects"] == []
    own = wire.token(Scope.READ, incident=INCIDENT)
    async with wire.http.get("/evidence/v1/objects", headers=own) as answer:
        assert [found["id"] for found in (await answer.json())["objects"]] == [object_id]


@both_databases
async def test_lists_go_on_behind_their_cursor(wire: Wire):
    ids = [signing.new_id() for _ in range(103)]
    for n, object_id in enumerate(ids):
        await wire.put(object_id, jpeg(100, n))
    found, after = [], ""
    while after is not None:
        url = f"/evidence/v1/objects?incident={INCIDENT}&after={after}"
        async with wire.http.get(url, headers=wire.token()) as answer:
            page = await answer.json()
        found += [one["id"] for one in page["objects"]]
        after = page["next"]
    assert found == ids


async def test_a_system_gets_a_grant_by_its_token_and_uploads_with_it(wire: Wire):
    asked = {"incident": INCIDENT, "max_bytes": 1000, "kinds": ["photo"]}
    async with wire.http.post("/evidence/v1/grants", headers=wire.token(), json=asked) as answer:
        assert answer.status == 201
        grant = (await answer.json())["grant"]
    await wire.create(jpeg(700), grant=grant)
    for wrong in [{"kinds": ["exe"]}, {"max_bytes": 0}, {"incident": "../x y"}, {"more": 1}, {"seconds": 99999}]:
        async with wire.http.post("/evidence/v1/grants", headers=wire.token(), json=asked | wrong) as answer:
            assert answer.status == 400, wrong


async def test_a_body_that_is_no_json_or_endless_is_refused(wire: Wire):
    for body, status in [(b"\xff\xfe", 400), (b"[]", 400), (b"{" * 100_000, 413)]:
        async with wire.http.post("/evidence/v1/grants", headers=wire.token(), data=body) as answer:
            assert answer.status == status


@pytest.mark.parametrize(
    "path", ["/evidence/v1/objects/../../etc", "/evidence/v1/objects/ABC", "/nothing", "/evidence/files/x"]
)
async def test_odd_addresses_get_a_problem_and_never_a_file(wire: Wire, path):
    async with wire.http.get(path, headers=wire.token()) as answer:
        assert answer.status in {400, 404, 405}
        assert answer.content_type == "application/problem+json"


async def test_a_cookie_changes_nothing_and_is_not_logged(wire: Wire, capfd, caplog):
    cookie = {"Cookie": "__Host-session=staff-secret-1234"}
    async with wire.http.get("/evidence/v1/objects", headers=cookie) as answer:
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers
    object_id = await wire.upload(jpeg(700), **cookie)
    async with wire.http.get(f"/evidence/v1/objects/{object_id}", headers=wire.token() | cookie) as answer:
        assert answer.status == 200
    spoken = caplog.text + "".join(capfd.readouterr())
    assert "staff-secret" not in spoken
    for file in wire.store.settings.data.rglob("*"):
        assert not file.is_file() or b"staff-secret" not in file.read_bytes()


async def test_every_answer_is_hardened(wire: Wire):
    for path in ("/healthz", "/nothing", "/evidence/v1/openapi.json", "/metrics"):
        async with wire.http.get(path) as answer:
            assert "Server" not in answer.headers
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_every_figure_is_told_in_the_readme(wire: Wire):
    told = (Path(access.__file__).parent / "README.md").read_text()
    async with wire.http.get("/metrics") as answer:
        names = re.findall(r"^# TYPE (\w+) ", await answer.text(), re.MULTILINE)
    assert len(names) > 10
    assert not [name for name in names if not name.endswith("_created") and f"`{name}" not in told]


def routes_of(app) -> set[tuple[str, str]]:
    """Return all routes but those of the pages for people."""
    return {(route.method.lower(), route.resource.canonical) for route in app.router.routes() if not _is_page(route)}


def _is_page(route) -> bool:
    return route.resource.canonical == "/evidence/" or route.resource.canonical.startswith("/evidence/view/")


@pytest.fixture
def app(evidence_settings, keys):
    return make_app(open_store(evidence_settings, keys))


async def test_every_route_has_exactly_one_guard(app):
    for route in app.router.routes():
        assert access.guard_of(route.handler) is not None, route


async def test_the_published_description_matches_the_routes(app):
    paths = document()["paths"]
    described = {(method, path) for path, methods in paths.items() for method in methods}
    assert described == routes_of(app) - {
        ("head", path) for path in ("/healthz", "/readyz", "/metrics", "/evidence/v1/openapi.json")
    }
    for route in app.router.routes():
        if _is_page(route) or route.method.lower() not in paths[route.resource.canonical]:
            continue
        security = paths[route.resource.canonical][route.method.lower()]["security"]
        guard = access.guard_of(route.handler)
        said = "public" if not security else ":".join([next(iter(security[0])), *next(iter(security[0].values()))])
        assert said == guard, route


def test_every_call_of_the_storage_api_that_needs_a_token_is_tried_without_its_scope(app):
    tried = {(method.lower(), path, f"token:{scope.value}") for method, path, scope in _CALLS}
    guarded = {
        (route.method.lower(), route.resource.canonical, access.guard_of(route.handler))
        for route in app.router.routes()
    }
    assert {one for one in guarded if one[2].startswith("token:")} == tried


def test_the_description_is_openapi_3_1_and_every_reference_in_it_leads_somewhere():
    assert document()["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document()).validate()
    names = set(document()["components"]["schemas"])
    assert set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document()))) <= names


async def test_what_the_description_says_of_headers_and_queries_is_what_is_enforced(wire: Wire):
    """Each parameter that it says is required is refused when it is missing; each name that it does not know, too."""
    tried = 0
    for path, methods in document()["paths"].items():
        for method, said in methods.items():
            names = {(one["in"], one["name"]): one for one in said.get("parameters", [])}
            if not path.startswith("/evidence/v1/") or "{" in path:
                continue
            if method == "get" and said["security"]:
                url = f"{path}?unheard-of=1"
                async with wire.http.get(url, headers=wire.token()) as answer:
                    knows_queries = any(where == "query" for where, _ in names)
                    assert answer.status == 400 or not knows_queries, path
                needed = [name for (where, name), one in names.items() if where == "query" and one["required"]]
                url = f"{path}?{'&'.join(f'{name}=1' for name in needed)}"
                async with wire.http.get(url, headers=wire.token() | {"Evidence-Purpose": "x" * 121}) as answer:
                    is_heeded = "Evidence-Purpose" in await answer.text()
                    assert is_heeded is (("header", "Evidence-Purpose") in names), path
            if not any(one["required"] for one in names.values()):
                continue
            async with wire.http.request(method, path, headers=wire.token(), data=b"") as answer:
                assert answer.status == 400, path
                told = (await answer.json())["detail"]
            assert all(name in told for (_, name), one in names.items() if one["required"]), (path, told)
            tried += 1
    assert tried >= 4


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"keys": "d/keys"}, "EVIDENCE_KEYS"),
        ({"listen": "0.0.0.0:80"}, "EVIDENCE_TLS"),
        ({"listen": "nowhere"}, "EVIDENCE_LISTEN"),
        ({"notify_url": "http://web.example/x"}, "https"),
        ({"max_bytes": 0}, "EVIDENCE_MAX_BYTES"),
    ],
)
def test_settings_that_are_unsafe_stop_the_start_in_one_sentence(given, word):
    with pytest.raises(CannotStart, match=word):
        load(None, **{"data": "d", "keys": "k"} | given)


def test_an_unknown_setting_stops_the_start(monkeypatch):
    monkeypatch.setenv("EVIDENCE_KEYZ", "x")
    with pytest.raises(CannotStart, match="EVIDENCE_KEYZ"):
        load(None)


def test_init_shares_one_grant_key_and_never_changes_a_key(tmp_path):
    make_keys(tmp_path / "keys", share=tmp_path / "web")
    before = {file.name: file.read_bytes() for file in (tmp_path / "keys").iterdir() if file.is_file()}
    make_keys(tmp_path / "keys", share=tmp_path / "web")
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "keys").iterdir() if file.is_file()}
    assert (tmp_path / "web" / "grant.key").read_bytes() == load_keys(tmp_path / "keys").grant
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "grant.key").write_bytes(bytes(32))
    with pytest.raises(CannotStart, match="different"):
        make_keys(tmp_path / "keys", share=tmp_path / "other")


def test_a_key_that_others_can_read_stops_the_start(tmp_path):
    make_keys(tmp_path)
    (tmp_path / "token.key").chmod(0o644)
    with pytest.raises(CannotStart, match="chmod 600"):
        load_keys(tmp_path)


async def test_a_node_without_the_opening_key_receives_and_does_not_read(wire: Wire):
    object_id = await wire.upload(jpeg(700))
    shutil.rmtree(wire.store.keys.folder / "opening")
    wire.store.keys = load_keys(wire.store.keys.folder)
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
        assert answer.status == 503
        assert (await answer.json())["code"] == "no_opening_key"
    second = await wire.upload(jpeg(900))
    assert (await wire.metadata(second))["state"] == "received"
