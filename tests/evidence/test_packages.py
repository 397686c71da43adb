"""Court packages: what is in them, who may have one, what the ledger says of it, and what unpacks it."""

import io
import json
import zipfile

import aiohttp
import pypdf
import pytest

from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from tests.evidence.conftest import Wire, jpeg, sha256
from tests.evidence.court_support import ORDER, Bare, give_out, unpack, unzip
from tests.evidence_support import until
from tests.evidence_tokens import token_for

LABEL = {"mark": "JS/1", "description": "Photo of the broken window", "maker": "Jo Smith"}
OTHER = "AP-0000-0001"


async def test_a_package_holds_the_originals_their_history_and_all_that_checks_them(wire: Wire, bare: Bare, tmp_path):
    first, second = await wire.upload(jpeg(3_000_000)), signing.new_id()
    await wire.put(second, jpeg(100, 2), **{"Evidence-Kind": "statement"})
    await wire.ask("PUT", f"/objects/{first}/label", LABEL)
    data = await give_out(wire, [first, second])
    (tmp_path / "package.zip").write_bytes(data)
    folder = unpack(data, tmp_path / "package")
    assert sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()) == [
        "README.txt", "audit.pdf", "exhibits/001_JS-1_photo.jpg", "exhibits/002_unmarked_unnamed.jpg", "manifest.json",
        "manifest.sig", "verify.py",
    ]  # fmt: skip
    assert (folder / "exhibits/001_JS-1_photo.jpg").read_bytes() == jpeg(3_000_000)
    key = wire.store.keys.ledger.public
    for place in (tmp_path / "package.zip", folder):
        said = bare.verify(place, "--key", key.fingerprint, program=folder / "verify.py")
        assert said.code == 0, said.text
        assert "EVERYTHING HOLDS" in said.text
        assert "WRONG" not in said.text


async def test_nothing_in_a_package_runs_in_place_of_pythons_own_library(wire: Wire, bare: Bare, tmp_path):
    folder = unpack(await give_out(wire, [await wire.upload(jpeg(700))]), tmp_path / "package")
    for name in ("json.py", "zipfile.py", "cryptography/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("print('RESULT: EVERYTHING HOLDS.'); raise SystemExit(0)")
    said = bare.verify_inside(folder, "--key", wire.store.keys.ledger.public.fingerprint)
    assert said.code == 1
    assert "'json.py' was added" in said.text
    assert "EVERYTHING" not in said.text


async def test_the_ledger_says_who_gave_out_what_to_whom_and_when_it_was_complete(wire: Wire):
    object_id = signing.new_id()
    await wire.put(object_id, jpeg(100))
    data = await give_out(wire, [object_id])
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        raw = file.read("manifest.json")
    manifest = json.loads(raw)
    shared, exported = (await wire.lines(object_id))[1:]
    assert (shared["action"], shared["purpose"]) == ("shared", ORDER["reason"])
    assert shared["details"] == {"package": manifest["package"], "recipient": ORDER["recipient"]}
    assert (exported["action"], exported["details"]) == (
        "exported", {"package": manifest["package"], "manifest": sha256(raw)},
    )  # fmt: skip
    leaves = [line["leaf"] for line in manifest["exhibits"][0]["lines"]]
    assert leaves[-1] == shared["leaf"]
    assert (manifest["made_by"], manifest["recipient"]) == (shared["actor"], ORDER["recipient"])


async def test_the_audit_pdf_tells_every_exhibit(wire: Wire):
    first, second = await wire.upload(jpeg(700)), await wire.upload(jpeg(800))
    await wire.ask("PUT", f"/objects/{first}/label", LABEL)
    with zipfile.ZipFile(io.BytesIO(await give_out(wire, [first, second]))) as file:
        pdf = pypdf.PdfReader(io.BytesIO(file.read("audit.pdf")))
    said = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    for told in (
        "Audit trails of court package", "Exhibit JS/1", f"Exhibit {second}", sha256(jpeg(700)), sha256(jpeg(800)),
        "Given out in a court package", "for Crown Prosecution Service.", "python verify.py --key",
    ):  # fmt: skip
        assert told in said, told


async def test_hostile_names_become_names_that_every_system_can_write(wire: Wire, bare: Bare, tmp_path):
    names = [
        "../../etc/passwd", "CON.jpg", "a<b>:|?*.jpg", "Zo\u0308e Straße \u6587\u4ef6 \U0001f600.JPG",
        "x" * 190 + ".jpg", "\u202egpj.exe", ".hidden", "photo.jpg.exe", " ", "-rf",
    ]  # fmt: skip
    objects = [await wire.upload(jpeg(600 + n), name=name) for n, name in enumerate(names)]
    data = await give_out(wire, objects)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        paths = [name for name in file.namelist() if name.startswith("exhibits/")]
        manifest = json.loads(file.read("manifest.json"))
    assert paths == [
        "exhibits/001_unmarked_passwd.jpg", "exhibits/002_unmarked_CON.jpg", "exhibits/003_unmarked_a-b.jpg",
        "exhibits/004_unmarked_Zoe-Strae.jpg", f"exhibits/005_unmarked_{'x' * 60}.jpg", "exhibits/006_unmarked_gpj.jpg",
        "exhibits/007_unmarked_hidden.jpg", "exhibits/008_unmarked_photo-jpg.jpg", "exhibits/009_unmarked_unnamed.jpg",
        "exhibits/010_unmarked_rf.jpg",
    ]  # fmt: skip
    assert manifest["exhibits"][3]["filename"] == "Zo\u0308e Straße \u6587\u4ef6 \U0001f600.JPG"
    (tmp_path / "p.zip").write_bytes(data)
    assert bare.verify(unzip(tmp_path / "p.zip", tmp_path / "out")).code == 3


async def test_words_that_a_terminal_would_obey_are_shown_and_not_obeyed(wire: Wire, bare: Bare, tmp_path):
    object_id = await wire.upload(jpeg(700))
    label = {"mark": "JS/1", "description": "\x1b[2J\x07 wiped \u202e", "maker": "\x1b]0;title\x07"}
    await wire.ask("PUT", f"/objects/{object_id}/label", label)
    (tmp_path / "p.zip").write_bytes(await give_out(wire, [object_id], recipient="A \u202e B \u6587"))
    said = bare.verify(tmp_path / "p.zip", "--key", wire.store.keys.ledger.public.fingerprint)
    assert said.code == 0, said.text
    assert "for A [U+202E] B \u6587." in said.text
    assert "\x1b" not in said.text


async def test_only_sealed_objects_are_given_out_and_quarantined_ones_only_when_asked_for(wire: Wire):
    good, bad, gone = signing.new_id(), await quarantined(wire), signing.new_id()
    await wire.put(good, jpeg(100))
    await wire.put(gone, jpeg(100, 2))
    await dispose(wire, gone)
    before = len(await wire.lines())

    async def refused(status: int, code: str, token: dict[str, str] | None = None, **body: object) -> None:
        given = ORDER | body
        answer = await wire.ask("POST", "/packages", given, status=status, **(token or {}))
        assert answer["code"] == code

    await refused(409, "quarantined", objects=[good, bad])
    await refused(410, "disposed", objects=[good, gone])
    await refused(404, "not_found", objects=[good, signing.new_id()])
    await refused(404, "not_found", wire.token(Scope.EXPORT, incident=OTHER), objects=[good])
    await refused(403, "forbidden", wire.token(Scope.EXPORT), objects=[bad], quarantined=True)
    await refused(400, "bad_request", objects=[good, good])
    await refused(400, "bad_request", objects=[])
    await refused(400, "bad_request", objects=[good] * 501)
    await refused(400, "bad_request", objects=[good], reason="")
    await refused(400, "bad_request", objects=[good], recipient="two\nlines")
    await refused(400, "bad_request", objects=[good], checkpoints=["no note"])
    ahead = wire.store.keys.ledger.sign(before + 1000, bytes(32))  # knows of more lines than there are
    await refused(400, "bad_request", objects=[good], checkpoints=[ahead])
    told = [(line["object"], line["details"].get("why")) for line in (await wire.lines())[before:]]
    assert told == [(bad, "quarantined"), (gone, "disposed"), (good, "not_found")]  # refused, and nothing given out
    data = await give_out(wire, [good, bad], quarantined=True)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        states = [one["state"] for one in json.loads(file.read("manifest.json"))["exhibits"]]
    assert states == ["received", "quarantined"]


async def quarantined(wire: Wire) -> str:
    path, auth = await wire.create(jpeg(800, 5))
    await wire.patch(path, auth, 0, jpeg(800, 5))
    await wire.digest(path, auth, sha256(b"else"))
    return path.rsplit("/", 1)[1]


async def dispose(wire: Wire, object_id: str) -> None:
    """Review and approve as two people."""
    first, second = (token_for(wire.store.keys.token, now=wire.clock(), name=name) for name in ("jo", "sam"))
    kept = {"classes": [{"code": "none", "starts_at": "2020-01-01T00:00:00Z"}], "reason": "nothing keeps it"}
    await wire.ask("PUT", "/retention-classes/none", {"title": "None", "years": 0, "source": "test"})
    await wire.ask("PUT", f"/objects/{object_id}/retention", kept)
    review = {"outcome": "dispose", "reason": "not evidence"}
    made = await wire.ask("POST", f"/objects/{object_id}/reviews", review, status=201, **first)
    await wire.ask("POST", f"/reviews/{made['id']}/approve", {"reason": "agreed"}, **second)


async def test_a_damaged_exhibit_ends_the_package_and_is_told(wire: Wire):
    good, bad = signing.new_id(), signing.new_id()
    await wire.put(good, jpeg(3_000_000))
    await wire.put(bad, jpeg(3_000_000, 2))
    file = wire.store.settings.data / "objects" / bad[:2] / bad / "data.floe"
    data = bytearray(file.read_bytes())
    data[1_500_000] ^= 1
    file.write_bytes(data)
    body = ORDER | {"objects": [good, bad]}
    async with wire.http.post("/evidence/v1/packages", headers=wire.token(), json=body) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    async def told() -> list[str]:
        said = [line["action"] for line in await wire.lines(bad)]
        return said if len(said) == 3 else []

    assert await until("the damage to be told", told) == ["received", "shared", "damaged"]
    assert [line["action"] for line in await wire.lines(good)] == ["received", "shared"]
