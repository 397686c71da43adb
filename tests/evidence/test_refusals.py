"""Bad input and what may not be: the right status, a problem that helps, nothing stored, a line about the object."""

import gzip
import json
import socket
from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest

from evidence_store.app_keys import LIMITS
from evidence_store.grants import make_bearer
from evidence_store.sealing import signing
from evidence_store.storage import count_objects, count_open_uploads
from evidence_store.tokens import Scope
from tests.evidence.conftest import INCIDENT, Wire, both_databases, jpeg, sha256

OTHER = "AP-0000-0000"
REASON = {"reason": "Trial in May"}
_SAID = {"type", "title", "status", "detail", "code"}


async def refused(wire: Wire, method: str, path: str, status: int, code: str, **sent: Any) -> dict[str, Any]:
    """Send something that is to be refused; return the problem, which must help."""
    async with wire.http.request(method, path, **sent) as answer:
        said = await answer.json(content_type="application/problem+json")
        assert (answer.status, said["code"]) == (status, code), said
    assert said.keys() == _SAID
    assert said["status"] == status
    assert len(said["title"]) > 8
    return said


async def stored(wire: Wire) -> tuple[int, int, list[str]]:
    """Count what there is: objects, uploads, files of either."""
    async with wire.store.database.read() as db:
        counts = await count_objects(db), await count_open_uploads(db)
    folder = wire.store.settings.data
    found = [*(folder / "objects").rglob("*"), *(folder / "incoming").rglob("*")]
    return *counts, sorted(str(file) for file in found if file.is_file())


def put_headers(wire: Wire, data: bytes, **changed: str) -> dict[str, str]:
    given = wire.token(Scope.SEAL) | {
        "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Evidence-Sha256": sha256(data),
        "Content-Type": "image/jpeg",
    }  # fmt: skip
    return {name: value for name, value in (given | changed).items() if value}


@pytest.mark.parametrize(
    ("changed", "status", "code", "word"),
    [
        ({"Evidence-Incident": ""}, 400, "bad_request", "Evidence-Incident"),
        ({"Evidence-Kind": ""}, 400, "bad_request", "Evidence-Kind"),
        ({"Evidence-Sha256": ""}, 400, "bad_request", "Evidence-Sha256"),
        ({"Evidence-Incident": "../../etc"}, 400, "bad_request", "incident"),
        ({"Evidence-Incident": "AP 1"}, 400, "bad_request", "incident"),
        ({"Evidence-Incident": "A" * 65}, 400, "bad_request", "incident"),
        ({"Evidence-Incident": "Žižkov"}, 400, "bad_request", "incident"),
        ({"Evidence-Kind": "Photo!"}, 400, "bad_request", "kind"),
        ({"Evidence-Sha256": "00"}, 400, "bad_request", "64 hex"),
        ({"Evidence-Sha256": "g" * 64}, 400, "bad_request", "64 hex"),
        ({"Evidence-Sha256": "0" * 64}, 422, "digest_mismatch", ""),
        ({"Evidence-Officer": "%00"}, 400, "bad_request", "officer"),
        ({"Evidence-Officer": "x" * 65}, 400, "bad_request", "officer"),
        ({"Content-Type": "text/html"}, 415, "wrong_kind", ""),
        ({"Content-Type": "application/pdf;"}, 415, "wrong_kind", ""),
        ({"Content-Type": "image/svg+xml"}, 415, "wrong_kind", ""),
        ({"Authorization": "Bearer"}, 401, "unauthorized", "Bearer"),
        ({"Authorization": "Basic dTpw"}, 401, "unauthorized", "Bearer"),
        ({"Authorization": "Bearer token1.e30.AAAA"}, 401, "unauthorized", ""),
        ({"Authorization": ""}, 401, "unauthorized", ""),
    ],
)
async def test_an_object_sent_with_wrong_headers_is_refused_and_nothing_is_stored(
    wire: Wire, changed, status, code, word
):
    before, data = await stored(wire), jpeg(700)
    body = data if changed.get("Content-Type") != "application/pdf;" else b"MZ" + data
    headers = put_headers(wire, body, **changed)
    path = f"/evidence/v1/objects/{signing.new_id()}"
    said = await refused(wire, "PUT", path, status, code, headers=headers, data=body)
    assert word.lower() in said["detail"].lower() + said["title"].lower()
    assert await stored(wire) == before


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", "unnamed"),
        ("...", "unnamed"),
        ("\u202egpj.exe", "gpj.exe"),
        ("a\x00b\r\nSet-Cookie: x", "abSet-Cookie: x"),
        ("Žlutý kůň 😀.jpg", "Žlutý kůň 😀.jpg"),
        ("foto\u0301.jpg", "foto\u0301.jpg"),
        ('"; rm -rf ~ #.jpg', '"; rm -rf ~ #.jpg'),
        ("x" * 999, "x" * 200),
    ],
)
async def test_names_of_every_kind_are_kept_as_names_and_lead_nowhere(wire: Wire, name, kept):
    data = jpeg(700)
    path, auth = await wire.create(data, name=name)
    await wire.patch(path, auth, 0, data)
    await wire.digest(path, auth, sha256(data))
    object_id = path.rsplit("/", 1)[1]
    assert (await wire.metadata(object_id))["filename"] == kept
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
        assert (answer.status, await answer.read()) == (200, data)
        given = answer.headers["Content-Disposition"]
        assert given.isascii()
        assert "Set-Cookie" not in answer.headers
        assert not set("/\\\r\n\x00") & set(given.partition("filename*")[0])
    folder = wire.store.settings.data
    assert {file.name for file in (folder / "objects").rglob("*") if file.is_file()} == {"data.floe", "key.json"}


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"Upload-Length": "-1"}, 400, "bad_request"),
        ({"Upload-Length": "1e3"}, 400, "bad_request"),
        ({"Upload-Length": "٣"}, 400, "bad_request"),
        ({"Upload-Length": "9" * 30}, 400, "bad_request"),
        ({"Upload-Length": "0"}, 400, "bad_request"),
        ({"Upload-Length": ""}, 400, "bad_request"),
        ({"Upload-Length": "50000001"}, 413, "too_large"),
        ({"Upload-Metadata": "filename"}, 415, "wrong_kind"),
        ({"Upload-Metadata": "filename !!!"}, 400, "bad_request"),
        ({"Upload-Metadata": "filename /w=="}, 400, "bad_request"),
        ({"Upload-Metadata": "a YQ==,a YQ=="}, 400, "bad_request"),
        ({"Upload-Metadata": "x" * 5000}, 400, "bad_request"),
        ({"Tus-Resumable": "0.2.2"}, 412, "wrong_tus_version"),
        ({"Tus-Resumable": ""}, 412, "wrong_tus_version"),
        ({"Upload-Checksum": "md5 AAAA"}, 400, "bad_request"),
        ({"Authorization": "Grant x"}, 403, "grant_refused"),
        ({"Authorization": "Grant"}, 401, "unauthorized"),
    ],
)
async def test_an_upload_opened_with_wrong_headers_is_refused_and_nothing_is_stored(wire: Wire, changed, status, code):
    before = await stored(wire)
    given = {
        "Authorization": f"Grant {wire.grant()}", "Tus-Resumable": "1.0.0", "Upload-Length": "700",
        "Upload-Metadata": f"filetype {b64encode(b'image/jpeg').decode()}",
    }  # fmt: skip
    headers = {name: value for name, value in (given | changed).items() if value}
    await refused(wire, "POST", "/evidence/files/", status, code, headers=headers)
    assert await stored(wire) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"null", 400),
        (b"\xff\xfe{", 400),
        (b'{"reason": "\\ud800 is half a letter"}', 400),
        (b'{"incident": "x", "incident": "y"}', 400),
        (b"[" * 4000, 400),
        (b'{"a":' * 600 + b"1" + b"}" * 600, 400),
        (b'{"n": 1' + b"0" * 3000 + b"}", 400),
        (b" " * 4097, 413),
        (b'{"reason": "' + b"x" * 1_000_000 + b'"}', 413),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_json_that_is_none_too_deep_or_too_large_is_refused_and_nothing_is_written(wire: Wire, body, status):
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(700))
    size = len(await wire.lines())
    token = wire.token()
    for path in ("/holds", "/grants", f"/objects/{object_id}/notes", f"/objects/{object_id}/break-glass"):
        code = "bad_request" if status == 400 else "too_large"
        await refused(wire, "POST", f"/evidence/v1{path}", status, code, headers=token, data=body)
    assert len(await wire.lines()) == size


@pytest.mark.parametrize(
    "path",
    [
        "/evidence/v1/objects/..%2f..%2fetc%2fpasswd",
        "/evidence/v1/objects/%2e%2e/content",
        "/evidence/v1/objects/" + "0" * 31,
        "/evidence/v1/objects/" + "A" * 32,
        "/evidence/v1/objects/" + "0" * 32 + "%00",
        "/evidence/v1/objects/%F0%9F%98%80/content",
        "/evidence/files/..%2f..%2fkeys",
    ],
)
async def test_an_address_that_is_no_id_leads_to_no_file(wire: Wire, path):
    async with wire.http.get(path, headers=wire.token()) as answer:
        assert answer.status in {400, 401, 404, 405}
        assert answer.content_type == "application/problem+json"


_SECRET = b"token1.a-secret-in-a-header"


@pytest.mark.parametrize(
    ("junk", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00" + _SECRET, 400, "not_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: " + _SECRET + b"A" * 9000, 431, "head_too_long"),
        (b"GET /" + _SECRET + b"A" * 9000 + b" HTTP/1.1\r\nHost: x\r\n", 431, "head_too_long"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", 400, "not_http"),
        (b"PUT /evidence/v1/objects/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1", 400, "not_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization " + _SECRET, 400, "not_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: \x00" + _SECRET, 400, "not_http"),
        (b"GET / HTTP/9.9\r\nHost: x\r\nCookie: " + _SECRET, 400, "not_http"),
    ],
    ids=["tls", "header", "address", "two framings", "length", "no colon", "control", "version"],
)
async def test_bytes_that_are_no_http_get_a_problem_and_are_not_logged(wire: Wire, junk, status, code, caplog):
    head, body = await wire.store.run(send_and_read, wire, junk + b"\r\n\r\n")
    said = json.loads(body)
    assert said.keys() == _SAID
    assert (said["status"], said["code"]) == (status, code)
    assert head.startswith((f"HTTP/1.1 {status} ", f"HTTP/1.0 {status} "))  # of a version that could not be read
    assert "Content-Type: application/problem+json" in head
    assert "aiohttp" not in head
    assert _SECRET.decode() not in caplog.text + body
    async with wire.http.get("/healthz") as answer:
        assert answer.status == 200


def send_and_read(wire: Wire, junk: bytes) -> tuple[str, str]:
    """Return head and body of what comes back before the connection is closed."""
    host, port = wire.http._base_url.host, wire.http._base_url.port
    assert host is not None
    with socket.create_connection((host, port), timeout=300) as connection, connection.makefile("rb") as answer:
        connection.sendall(junk)
        head, _, body = answer.read().decode().partition("\r\n\r\n")
    return head, body


async def test_a_packed_body_is_refused_and_never_unpacked(wire: Wire):
    before, data = await stored(wire), jpeg(700) + bytes(20_000_000)
    packed = gzip.compress(data)
    path, auth = await wire.create(data)
    pieces = auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    for encoding in ("gzip", "GZIP", "deflate", "br", "identity, gzip"):
        how = {"Content-Encoding": encoding}
        for method, where, headers in (
            ("PUT", f"/evidence/v1/objects/{signing.new_id()}", put_headers(wire, data)),
            ("PATCH", path, pieces),
            ("POST", "/evidence/v1/holds", wire.token()),
        ):
            async with wire.http.request(method, where, headers=headers | how, data=packed) as answer:
                assert (answer.status, (await answer.json())["code"]) == (415, "wrong_encoding")
                assert answer.headers["Accept-Encoding"] == "identity"
    assert await wire.stand(path, auth) == 0
    assert (await stored(wire))[0] == before[0]
    await refused(wire, "PUT", f"/evidence/v1/objects/{signing.new_id()}", 422, "digest_mismatch",
                  headers=put_headers(wire, data), data=data + b"!")  # fmt: skip


async def test_a_purpose_too_long_for_the_ledger_is_refused_and_not_cut(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(700))
    here, token = f"/evidence/v1/objects/{object_id}", wire.token()
    for path in (here, f"{here}/content", f"{here}/keeping", f"{here}/trail", "/evidence/v1/objects"):
        await refused(wire, "GET", path, 400, "bad_request", headers=token | {"Evidence-Purpose": "x" * 121})
    await wire.ask("GET", f"/objects/{object_id}", **{"Evidence-Purpose": "x" * 120})
    assert [line["purpose"] for line in await wire.lines(object_id)] == ["", "x" * 120]


async def test_a_header_that_decides_something_may_not_stand_twice(wire: Wire):
    path, auth = await wire.create(jpeg(700))
    pieces = auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    for name, other in (
        ("Upload-Offset", "1"), ("upload-offset", "0"), ("Authorization", "Bearer x"), ("Tus-Resumable", "0.2.2"),
        ("Upload-Checksum", "sha1 AAAA"), ("Evidence-Incident", OTHER), ("Range", "bytes=0-0"),
    ):  # fmt: skip
        twice = [(name, other)] * (1 if name.title() in pieces else 2)
        lines = [f"{n}: {v}" for n, v in (*pieces.items(), *twice, ("Host", "x"), ("Connection", "close"))]
        head = "\r\n".join([f"PATCH {path} HTTP/1.1", *lines, "Content-Length: 700", "", ""])
        _, body = await wire.store.run(send_and_read, wire, head.encode() + jpeg(700))
        said = json.loads(body)
        assert (said["status"], said["code"]) == (400, "bad_request"), name
        assert said["detail"] == f"The header {name.lower()} may stand once."
    assert await wire.stand(path, auth) == 0


async def test_a_refusal_carries_what_its_protocol_demands(wire: Wire):
    object_id, data = signing.new_id(), jpeg(700)
    await wire.put(object_id, data)
    here = f"/evidence/v1/objects/{object_id}"
    path, auth = await wire.create(data)
    for method, where, headers, status, name, value in (
        ("DELETE", f"{here}/label", {}, 405, "Allow", "PUT"),
        ("GET", path, auth, 405, "Allow", "DELETE,HEAD,OPTIONS,PATCH,POST"),
        ("PATCH", path, auth | {"Tus-Resumable": "0.2.2"}, 412, "Tus-Version", "1.0.0"),
        ("GET", f"{here}/content", wire.token() | {"Range": "bytes=700-"}, 416, "Content-Range", "bytes */700"),
        ("GET", here, {}, 401, "WWW-Authenticate", "Bearer"),
    ):
        async with wire.http.request(method, where, headers=headers) as answer:
            assert (answer.status, answer.headers.get(name)) == (status, value), await answer.text()
            assert answer.content_type == "application/problem+json"


# --- what is refused about an object stands in the ledger


async def refusals(wire: Wire, object_id: str) -> list[tuple[str, str, str]]:
    """Return actor, reason and route of the refusals about an object."""
    lines = [line for line in await wire.lines(object_id) if line["action"] == "refused"]
    return [(line["actor"].rpartition(":")[0] or line["actor"], *(line["details"][name] for name in ("why", "asked")))
            for line in lines]  # fmt: skip


@both_databases
async def test_who_is_refused_an_object_stands_in_the_ledger_once(wire: Wire, clock):
    object_id = await wire.upload(jpeg(700))
    here = f"/evidence/v1/objects/{object_id}"
    seal_only, foreign = wire.token(Scope.SEAL, name="seals"), wire.token(Scope.READ, incident=OTHER, name="foreign")
    ended = wire.token(Scope.READ, name="ended")
    for _ in range(3):
        await refused(wire, "GET", here, 403, "forbidden", headers=seal_only)
        await refused(wire, "GET", f"{here}/content", 404, "not_found", headers=foreign)
        await refused(wire, "GET", f"{here}/content", 401, "unauthorized")
    clock.move(hours=1)
    await refused(wire, "GET", here, 401, "token_expired", headers=ended)
    assert await refusals(wire, object_id) == [
        ("token:seals", "forbidden", "objects.show"),
        ("token:foreign", "not_found", "objects.content"),
        ("unknown", "unauthorized", "objects.content"),
        ("token:ended", "token_expired", "objects.show"),
    ]
    [line, *_] = [line for line in await wire.lines(object_id) if line["action"] == "refused"]
    assert line["digest"] == sha256(jpeg(700))


async def test_expired_and_foreign_grants_and_bearers_are_refused_and_noted(wire: Wire, clock):
    data = jpeg(900)
    path, auth = await wire.create(data)
    upload = path.rsplit("/", 1)[1]
    other_path, other_auth = await wire.create(data)
    renew = f"{path}/bearer"

    async def refuse_grant(grant: str) -> None:
        await refused(wire, "POST", renew, 403, "grant_refused", headers={"Authorization": f"Grant {grant}"})

    await refuse_grant(wire.grant(key=signing.new_key()))
    await refuse_grant(wire.grant(incident=OTHER, reference="another"))
    await refuse_grant(wire.grant(upload=upload, reference="late", expires_at=clock() - timedelta(seconds=1)))
    headers = other_auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    await refused(wire, "PATCH", path, 401, "unauthorized", headers=headers, data=data)
    old = make_bearer(wire.store.keys.bearer, upload, now=clock() - timedelta(hours=1))
    headers |= {"Authorization": f"Bearer {old}"}
    await refused(wire, "PATCH", path, 401, "bearer_expired", headers=headers, data=data)
    assert await refusals(wire, upload) == [
        ("unknown", "grant_refused", "file.bearer"),
        ("upload", "grant_refused", "file.bearer"),
        ("upload", "grant_refused", "file.bearer"),
        ("bearer", "unauthorized", "file.append"),
        ("bearer", "bearer_expired", "file.append"),
    ]
    assert await wire.stand(path, auth) == await wire.stand(other_path, other_auth) == 0
    expired = wire.grant(expires_at=clock() - timedelta(seconds=1))
    size = len(await wire.lines())
    await wire.create(data, grant=expired, status=403)  # about no object that there is
    assert len(await wire.lines()) == size


@both_databases
async def test_what_the_rules_forbid_about_an_object_is_noted_too(wire: Wire):
    object_id = await wire.upload(jpeg(700))
    ann, here = wire.token(name="ann"), f"/evidence/v1/objects/{object_id}"
    asked = {"outcome": "dispose", **REASON}
    await refused(wire, "POST", f"{here}/reviews", 409, "retention_runs", headers=ann, json=asked)
    kept = {"classes": [{"code": "other", "starts_at": "2010-01-01T00:00:00Z"}], **REASON}
    await wire.ask("PUT", f"/objects/{object_id}/retention", kept)
    hold = await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=201)
    await refused(wire, "POST", f"{here}/reviews", 409, "held", headers=ann, json=asked)
    await wire.ask("POST", f"/holds/{hold['id']}/release", REASON)
    review = await wire.ask("POST", f"/objects/{object_id}/reviews", asked, status=201, **ann)
    approve = f"/evidence/v1/reviews/{review['id']}/approve"
    await refused(wire, "POST", approve, 403, "same_person", headers=ann, json=REASON)
    await refused(wire, "POST", f"{here}/reviews", 409, "review_open", headers=ann, json=asked)
    hold = await wire.ask("POST", "/holds", {"incident": INCIDENT, **REASON}, status=201)
    bob = wire.token(name="bob")
    await refused(wire, "POST", approve, 409, "held", headers=bob, json=REASON)
    await wire.ask("POST", f"/holds/{hold['id']}/release", REASON)
    await wire.ask("POST", f"/reviews/{review['id']}/approve", REASON, **bob)
    await refused(wire, "POST", approve, 409, "review_closed", headers=bob, json={"reason": "Once more"})
    await refused(wire, "GET", f"{here}/content", 410, "disposed", headers=bob)
    packed = {"objects": [object_id], "recipient": "CPS", **REASON}
    await refused(wire, "POST", "/evidence/v1/packages", 410, "disposed", headers=bob, json=packed)
    assert await refusals(wire, object_id) == [
        ("token:ann", "retention_runs", "objects.review"),
        ("token:ann", "held", "objects.review"),
        ("token:ann", "same_person", "reviews.approve"),
        ("token:ann", "review_open", "objects.review"),
        ("token:bob", "held", "reviews.approve"),
        ("token:bob", "review_closed", "reviews.approve"),
        ("token:bob", "disposed", "objects.content"),
        ("token:bob", "disposed", "packages.make"),
    ]


async def test_who_would_change_what_is_settled_stands_in_the_ledger(wire: Wire):
    data = jpeg(700)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data)
    await refused(wire, "DELETE", path, 409, "arrived", headers=auth)
    await wire.digest(path, auth, sha256(data))
    object_id = path.rsplit("/", 1)[1]
    other = await wire.upload(jpeg(700, 2))
    ann, here = wire.token(name="ann"), f"/evidence/v1/objects/{object_id}"
    label = {"mark": "JS/1", "description": "Photo", "maker": "Jo Smith"}
    signed = label | {"signed": {"at": "2026-01-01T10:00:00Z", "how": "On the phone"}}
    await wire.ask("PUT", f"/objects/{object_id}/label", signed)
    await refused(wire, "PUT", f"{here}/label", 409, "label_signed", headers=ann, json=label | {"mark": "JS/2"})
    await refused(wire, "PUT", f"/evidence/v1/objects/{other}/label", 409, "mark_taken", headers=ann, json=label)
    foreign, packed = wire.token(incident=OTHER, name="foreign"), {"objects": [object_id], "recipient": "CPS", **REASON}
    await refused(wire, "POST", "/evidence/v1/packages", 404, "not_found", headers=foreign, json=packed)
    assert await refusals(wire, object_id) == [
        ("upload", "arrived", "file.terminate"),
        ("token:ann", "label_signed", "objects.label"),
        ("token:foreign", "not_found", "packages.make"),
    ]
    assert await refusals(wire, other) == [("token:ann", "mark_taken", "objects.label")]


async def test_an_object_that_is_sent_and_refused_is_noted_under_the_id_it_would_have_had(wire: Wire):
    object_id, data = signing.new_id(), jpeg(700)
    path = f"/evidence/v1/objects/{object_id}"
    headers = put_headers(wire, data, **{"Evidence-Sha256": "0" * 64})
    await refused(wire, "PUT", path, 422, "digest_mismatch", headers=headers, data=data)
    await refused(wire, "PUT", path, 401, "unauthorized", headers=put_headers(wire, data, Authorization=""), data=data)
    await wire.put(object_id, data)
    await refused(wire, "PUT", path, 409, "conflict", headers=put_headers(wire, data + b"!"), data=data + b"!")
    assert await refusals(wire, object_id) == [
        ("token:test", "digest_mismatch", "objects.put"),
        ("token:test", "conflict", "objects.put"),
    ]


async def test_refusals_do_not_fill_the_ledger(wire: Wire):
    wire.app[LIMITS]._now = lambda: 1000.0  # a slow machine lets no time pass
    ids = [await wire.upload(jpeg(700, n)) for n in range(9)]
    size = len(await wire.lines())
    for object_id in ids:
        await refused(wire, "GET", f"/evidence/v1/objects/{object_id}", 401, "unauthorized")
        await refused(wire, "GET", f"/evidence/v1/objects/{signing.new_id()}", 401, "unauthorized")
    assert len(await wire.lines()) - size == 6  # a minute's worth of a stranger's; the rest is refused all the same
