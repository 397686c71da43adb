"""kill -9 at random moments of ingest, sealing, disposal and rotation, on one store that goes on through all of them.

The suite makes a dozen; `make drills` (DRILL_KILLS=100) the hundred. A round's moment is drawn from its seed, scaled
to how long the deed takes here, and comes sooner after each that came too late, so that kills fall inside on any
machine.
"""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from evidence_store.backend.bucket import Address
from evidence_store.sealing import signing
from tests.evidence.conftest import INCIDENT, SEGMENT, Process, forking, jpeg, sha256
from tests.evidence.test_kills import _LOST, _PATCH, _slowly, content_of, create
from tests.product import until

KILLS = int(os.environ.get("DRILL_KILLS", "12"))
"""On a folder; on a bucket a third of them."""
REASON = {"reason": "Case closed"}


@dataclass
class Drill:
    """A store, and all that it has acknowledged."""

    process: Process
    rng: random.Random
    kept: dict[str, bytes] = field(default_factory=dict)
    """Objects that must read back."""
    gone: set[str] = field(default_factory=set)
    """Objects that must never read again."""
    inside: int = 0
    """Kills that fell before the deed was answered."""
    haste: float = 1.0
    """How much of the time that a deed takes a kill may wait."""

    def ask(self, method: str, path: str, body: object = None, name: str = "ann") -> requests.Response:
        url, token = f"{self.process.url}/evidence/v1{path}", self.process.token(name=name)
        return requests.request(method, url, json=body, headers=token, timeout=300)

    def put(self, object_id: str, data: bytes) -> requests.Response:
        headers = self.process.token() | {
            "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Content-Type": "image/jpeg",
            "Evidence-Sha256": sha256(data),
        }  # fmt: skip
        return requests.put(
            f"{self.process.url}/evidence/v1/objects/{object_id}", data=data, headers=headers, timeout=300
        )

    def killed_during(self, act: Callable[[], requests.Response | None], seconds: float) -> requests.Response | None:
        """Do something and kill the store meanwhile; return the answer, if one came, with the store running again."""
        killer, answer = threading.Timer(self.rng.uniform(0, seconds * self.haste), self.process.kill), None
        killer.start()
        with contextlib.suppress(*_LOST):
            answer = act()
        killer.join()
        self.process.start()
        self.inside += answer is None
        self.haste = 1.0 if answer is None else self.haste / 2
        return answer

    def ingest(self) -> None:
        """Kill in the middle of a PATCH: what was told before is there, and the upload goes on."""
        data = jpeg(2 * SEGMENT + self.rng.randrange(SEGMENT), self.rng.randrange(1 << 30))
        url, bearer = create(self.process, data)
        stands, size = 0, len(data) // 3

        def patch(end: int) -> requests.Response:
            headers = bearer | _PATCH | {"Upload-Offset": str(stands)}
            return requests.patch(url, data=_slowly(data[stands:end], self.rng), headers=headers, timeout=300)

        began = time.monotonic()
        stands = int(patch(size).headers["Upload-Offset"])
        took = time.monotonic() - began
        answer = self.killed_during(lambda: patch(2 * size), took)
        stands = 2 * size if answer is not None and answer.status_code == 204 else stands
        told = int(requests.head(url, headers=bearer | _PATCH, timeout=300).headers["Upload-Offset"])
        assert told >= stands
        stands = told
        assert patch(len(data)).status_code == 204
        said = requests.post(f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300)
        assert said.json()["state"] == "received", said.text
        self.kept[url.rsplit("/", 1)[1]] = data

    def sealing(self) -> None:
        """Kill around the answer that an object is sealed, by tus or by PUT: it is sealed whole, or can be again."""
        data = jpeg(self.rng.randrange(1000, 2 * SEGMENT), self.rng.randrange(1 << 30))
        began = time.monotonic()
        first = signing.new_id()
        assert self.put(first, data).status_code == 201
        self.kept[first] = data
        took = time.monotonic() - began
        if self.rng.random() < 0.5:
            object_id = signing.new_id()
            answer = self.killed_during(lambda: self.put(object_id, data), took)
            acknowledged = answer is not None and answer.status_code == 201
            again = lambda: self.put(object_id, data)  # noqa: E731
        else:
            url, bearer = create(self.process, data)
            object_id, headers = url.rsplit("/", 1)[1], bearer | _PATCH | {"Upload-Offset": "0"}
            assert requests.patch(url, data=data, headers=headers, timeout=300).status_code == 204
            again = lambda: requests.post(  # noqa: E731
                f"{url}/digest", json={"sha256": sha256(data)}, headers=bearer, timeout=300
            )
            answer = self.killed_during(again, took)
            acknowledged = answer is not None and answer.status_code == 200
        there = self.ask("GET", f"/objects/{object_id}")
        assert there.status_code == 200 or not acknowledged
        if there.status_code == 200 and there.json()["state"] == "received":
            assert content_of(self.process, object_id) == data
        said = again()
        assert said.json()["state"] == "received", said.text
        self.kept[object_id] = data

    def disposal(self) -> None:
        """Kill around the second person's approval: once answered it happens, and nothing opens half-way."""
        object_id, data = signing.new_id(), jpeg(self.rng.randrange(1000, 300_000), self.rng.randrange(1 << 30))
        assert self.put(object_id, data).status_code == 201
        given = {"classes": [{"code": "other", "starts_at": "2010-01-01T00:00:00Z"}], **REASON}
        assert self.ask("PUT", f"/objects/{object_id}/retention", given).status_code == 200
        made = self.ask("POST", f"/objects/{object_id}/reviews", {"outcome": "dispose", **REASON})
        approve = f"/reviews/{made.json()['id']}/approve"
        answer = self.killed_during(lambda: self.ask("POST", approve, REASON, name="bob"), 0.1)
        approved = answer is not None and answer.status_code == 200
        state = self.ask("GET", f"/objects/{object_id}").json()["state"]
        assert state in {"disposing", "disposed"} or not approved
        if state == "received":
            assert content_of(self.process, object_id) == data
            assert self.ask("POST", approve, REASON, name="bob").status_code == 200
        until(lambda: self.ask("GET", f"/objects/{object_id}").json()["state"] == "disposed", "the disposal's end")
        self.gone.add(object_id)

    def rotation(self) -> None:
        """Kill a rotation, and the store with it: every object opens before, in between and when it is done."""
        while len(self.kept) < 3:
            object_id, data = signing.new_id(), jpeg(2000, len(self.kept))
            assert self.put(object_id, data).status_code == 201
            self.kept[object_id] = data
        rotating = self.process.also(rotate="yes")
        time.sleep(self.rng.uniform(0, 0.4))  # a moment to kill it in, no wait for anything
        Process.end(rotating)
        self.process.kill()
        self.process.start()
        for object_id, data in self.rng.sample(sorted(self.kept.items()), 3):
            assert content_of(self.process, object_id) == data
        finishing = self.process.also(rotate="yes")
        until(lambda: not Process.lives(finishing), "the rotation's end")

    def check(self) -> None:
        """Hold everything acknowledged against the store, which is to be whole."""
        data = self.process.folder / "data"
        until(lambda: not list((self.process.folder / "keys" / "ingest").iterdir()), "the ingest keys' end")
        until(lambda: not list((data / "incoming").iterdir()), "the leftovers' end")
        for object_id, kept in self.kept.items():
            assert content_of(self.process, object_id) == kept
        for object_id in self.gone:
            assert self.ask("GET", f"/objects/{object_id}/content").status_code == 410
        verified = self.process.verify()
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_nothing_acknowledged_is_lost_and_nothing_half_sealed_by_kills_anywhere(
    place: str, tmp_path: Path, fork_store: Callable[[dict[str, str]], int], request: pytest.FixtureRequest
):
    process, kills = Process(tmp_path / "store", fork_store), KILLS if place == "folder" else KILLS // 3
    if place == "bucket":
        address = request.getfixturevalue("seaweed").address(f"{signing.new_id()}/")
        process.settings |= lay_secret(address, tmp_path)
    process.start()
    try:
        drill, made = Drill(process, random.Random(0)), 0
        deeds = (drill.ingest, drill.sealing, drill.disposal, drill.rotation)
        for seed in range(3 * kills):
            if seed >= kills and drill.inside:
                break
            made += 1
            drill.rng = random.Random(seed)
            deeds[seed % len(deeds)]()
        drill.check()
    finally:
        process.kill()
    before = f"{drill.inside} before the answer, rotation's apart"
    print(f"{made} kills on a {place} ({before}): {len(drill.kept)} objects kept, {len(drill.gone)} gone, 0 lost")
    assert drill.inside, "no kill fell into anything: the moments prove nothing"


@pytest.mark.parametrize("deed", ["ingest", "sealing"])
def test_a_store_that_acknowledges_too_early_is_found_out(deed: str, tmp_path: Path):
    with forking(DRILL_TOO_EARLY="1") as start:
        process = Process(tmp_path / "store", start)
        process.start()
        try:
            assert any(_finds(Drill(process, random.Random(seed)), deed) for seed in range(60)), "it got away with it"
        finally:
            process.kill()


def _finds(drill: Drill, deed: str) -> bool:
    """Say whether a deed with a kill in it finds something lost that was acknowledged."""
    try:
        getattr(drill, deed)()
    except (AssertionError, KeyError):  # another state, or a refusal where an offset was promised
        return True
    return False


def lay_secret(address: Address, folder: Path) -> dict[str, str]:
    """Return the settings of a store on this bucket, its secret in a file."""
    secret = folder / "s3.secret"
    secret.write_text(address.secret)
    secret.chmod(0o600)
    return {
        "s3_bucket": address.name, "s3_endpoint": address.endpoint, "s3_prefix": address.prefix,
        "s3_key_id": address.key_id, "s3_secret_file": str(secret),
    }  # fmt: skip
