"""Signed statements reach the evidence store whatever dies when: one object each, and never `signed` without it."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evidence_store.client import StoreClient
from evidence_store.errors import StoreError
from tests.conftest import AddStaff, HeldClock
from tests.evidence_support import until
from tests.ports import find_free_port
from tests.statements_support import Desk, FolderStore, open_desk
from video_server.accounts.model import Role
from video_server.audit import service as audit
from video_server.core import keys
from video_server.core.database import Database
from video_server.statements import sealing, shown, signing, storage
from video_server.statements.model import State, Statement
from video_server.statements.sealing import LEASE, seal_due, wait_before_try
from video_server.statements.signature import Signature
from video_server.tasks import service as tasks

KILLS = 20
SEED = 20260302


@pytest.fixture
async def desk(database, settings, key_ring, clock: HeldClock, add_staff: AddStaff) -> Desk:
    return await open_desk(database, settings, key_ring, clock, await add_staff("smith", Role.OFFICER))


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


async def state_of(desk: Desk, statement: Statement) -> State:
    return (await desk.view(statement)).statement.state


async def sealed_deeds(desk: Desk) -> int:
    async with desk.database.read() as db:
        entries = await audit.list_for(db, f"appointment:{desk.appointment.id}", limit=5_000)
    return [entry.action for entry in entries].count("statements.sealed")


async def test_after_the_acknowledgement_it_is_signed_and_the_copy_is_what_was_sealed(desk, store):
    statement = await desk.sign(await desk.ready())
    assert await seal_due(desk.database, store, clock=desk.clock) == 1
    async with desk.database.read() as db:
        signed = await shown.get(db, desk.appointment.id, statement.id)
        name, pdf = await signing.get_copy(db, signed)
    assert (signed.state, signed.sealed_at) == (State.SIGNED, desk.clock())
    assert name == "statement-1.pdf"
    assert store.objects == {keys.derive_id("statement", statement.id, statement.version): pdf}
    assert await seal_due(desk.database, store, clock=desk.clock) == 0
    assert await sealed_deeds(desk) == 1


async def test_while_the_store_is_down_it_stays_sealing_and_completes_by_itself_later(desk, store):
    statement = await desk.sign(await desk.ready())
    store.down = True
    for _ in range(5):
        assert await seal_due(desk.database, store, clock=desk.clock) == 0
        assert await state_of(desk, statement) is State.SEALING
        desk.clock.move(minutes=1)
    store.down = False
    assert await seal_due(desk.database, store, clock=desk.clock) == 1
    assert await state_of(desk, statement) is State.SIGNED
    assert len(store.objects) == 1


async def test_tries_become_rarer_and_a_person_is_told_when_it_takes_long(desk, store):
    await desk.sign(await desk.ready())
    store.down = True
    for _ in range(30):
        await seal_due(desk.database, store, clock=desk.clock)
        desk.clock.move(seconds=1)
    assert store.puts == 5, "after 0, 1, 3, 7 and 15 seconds"
    async with desk.database.read() as db:
        assert await tasks.list_open(db) == []
    for _ in range(2):
        desk.clock.move(minutes=11)
        await seal_due(desk.database, store, clock=desk.clock)
    async with desk.database.read() as db:
        assert [task.kind for task in await tasks.list_open(db)] == ["statement_not_sealed"]


def test_the_wait_grows_to_a_minute_and_no_further():
    waits = [wait_before_try(attempts).total_seconds() for attempts in (1, 2, 3, 7, 50, 10**6)]
    assert waits == [1, 2, 4, 60, 60, 60]


async def test_an_id_that_stands_for_other_bytes_is_never_called_signed(desk, store):
    statement = await desk.sign(await desk.ready())
    (store.folder / keys.derive_id("statement", statement.id, statement.version)).write_bytes(b"something else")
    assert await seal_due(desk.database, store, clock=desk.clock) == 0
    assert await state_of(desk, statement) is State.SEALING
    async with desk.database.read() as db:
        assert [task.kind for task in await tasks.list_open(db)] == ["statement_not_sealed"]


async def test_a_store_that_acknowledges_other_bytes_is_not_believed(desk, store):
    class Forgetful(FolderStore):
        async def put_object(self, object_id, data, **named):
            return await super().put_object(object_id, data[:-1], **named)

    statement = await desk.sign(await desk.ready())
    await seal_due(desk.database, Forgetful(store.folder), clock=desk.clock)
    assert await state_of(desk, statement) is State.SEALING


async def test_two_workers_on_two_engines_seal_each_statement_once(desk, store, settings):
    for _ in range(3):
        await desk.sign(await desk.ready())
    other = Database(settings.database_url)
    try:
        counts = await asyncio.gather(
            seal_due(desk.database, store, clock=desk.clock), seal_due(other, store, clock=desk.clock)
        )
    finally:
        await other.dispose()
    assert sum(counts) == 3
    assert (store.puts, len(store.objects), await sealed_deeds(desk)) == (3, 3, 3)


async def test_what_a_dead_worker_had_claimed_is_taken_up_when_its_claim_runs_out(desk, store):
    statement = await desk.sign(await desk.ready())
    async with desk.database.begin() as db:
        claim = await storage.seals.claim_next(db, claim_id="dead", now=desk.clock(), until=desk.clock() + LEASE)
    await store.put_object(claim.object_id, claim.pdf, incident="", kind="", media_type="")  # and then it died
    assert await seal_due(desk.database, store, clock=desk.clock) == 0
    desk.clock.move(seconds=LEASE.total_seconds() + 1)
    assert await seal_due(desk.database, store, clock=desk.clock) == 1
    assert await state_of(desk, statement) is State.SIGNED
    assert len(store.objects) == 1


async def test_a_slow_worker_whose_claim_was_taken_over_changes_nothing_twice(desk, store):
    statement = await desk.sign(await desk.ready())
    async with desk.database.begin() as db:
        slow = await storage.seals.claim_next(db, claim_id="slow", now=desk.clock(), until=desk.clock() + LEASE)
    desk.clock.move(minutes=1)
    assert await seal_due(desk.database, store, clock=desk.clock) == 1
    assert await sealing._seal(desk.database, store, slow, clock=desk.clock) is False
    assert await state_of(desk, statement) is State.SIGNED
    assert await sealed_deeds(desk) == 1


# --- the real store ---


class RealStore:
    """The evidence store as a process of its own, that a test may kill and start again."""

    def __init__(self, folder: Path) -> None:
        port = find_free_port()
        self.where = f"http://127.0.0.1:{port}"
        self.folder = folder
        self.log = folder / "store.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "EVIDENCE_DATA": str(folder / "evidence"),
            "EVIDENCE_KEYS": str(folder / "evidence-keys"),
            "EVIDENCE_LISTEN": f"127.0.0.1:{port}",
        }
        self.process: asyncio.subprocess.Process | None = None

    async def run(self, *words: str) -> str:
        done = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from evidence_store.cli import main; main()",
            *words,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await done.communicate()
        assert done.returncode == 0
        return said.decode().strip()

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "from evidence_store.cli import main; main()",
                "serve",
                env=self.environment,
                stderr=log,
            )
        async with StoreClient(self.where, "") as client:

            async def answers() -> bool:
                assert self.process.returncode is None, self.log.read_text()
                try:
                    return not await client.ready()
                except StoreError:
                    return False

            await until("the store", answers)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@pytest.fixture
async def real_store(tmp_path: Path) -> AsyncIterator[RealStore]:
    store = RealStore(tmp_path / "store")
    store.folder.mkdir()
    await store.run("init")
    await store.start()
    yield store
    await store.kill()


@pytest.fixture
async def client(real_store: RealStore) -> AsyncIterator[StoreClient]:
    token = await real_store.run("token", "--scope", "seal", "--scope", "read")
    async with StoreClient(real_store.where, token) as client:
        yield client


async def fetch(client: StoreClient, object_id: str) -> bytes:
    async with client.open_content(object_id) as content:
        return b"".join([piece async for piece in content.pieces])


async def test_the_real_store_goes_down_and_up_again_and_gives_back_the_bytes(desk, real_store, client):
    statement = await desk.sign(await desk.ready())
    await real_store.kill()
    assert await seal_due(desk.database, client, clock=desk.clock) == 0
    assert await state_of(desk, statement) is State.SEALING
    await real_store.start()
    desk.clock.move(minutes=1)
    assert await seal_due(desk.database, client, clock=desk.clock) == 1
    async with desk.database.read() as db:
        _, pdf = await signing.get_copy(db, await shown.get(db, desk.appointment.id, statement.id))
    seen = await desk.view(statement)
    [stored] = (await client.list_objects(seen.reference)).objects
    assert (stored.id, stored.kind) == (keys.derive_id("statement", statement.id, statement.version), "statement")
    assert stored.officer == "1234"
    assert stored.sha256 == keys.digest_bytes(pdf)
    assert await fetch(client, stored.id) == pdf


async def test_a_worker_killed_at_random_points_leaves_one_object_each_and_none_signed_without(
    desk, real_store, client, settings
):
    chance = random.Random(SEED)
    now = replace(desk, clock=lambda: datetime.now(UTC))  # the killed workers live in real time
    token = client._token
    zygote = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.statements_worker", settings.database_url, real_store.where, token,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip

    async def start_worker() -> int:
        zygote.stdin.write(b"go\n")
        await zygote.stdin.drain()
        return int(await zygote.stdout.readline())

    signed: list[Statement] = []
    reference = ""
    try:
        for _ in range(KILLS):
            seen = await now.ready("It was dark.")
            reference = seen.reference
            worker = await start_worker()
            signed.append(await now.sign(seen, signature=Signature(typed="Jo Bloggs")))
            await asyncio.sleep(chance.uniform(0, 0.12))
            os.kill(worker, signal.SIGKILL)
            stored = {one.id for one in (await client.list_objects(reference)).objects}
            for statement in signed:
                if await state_of(desk, statement) is State.SIGNED:
                    assert keys.derive_id("statement", statement.id, statement.version) in stored

        async def all_signed() -> bool:
            return {await state_of(desk, one) for one in signed} == {State.SIGNED}

        worker = await start_worker()
        await until("every statement to be sealed", all_signed)
        os.kill(worker, signal.SIGKILL)
    finally:
        zygote.kill()
        await zygote.wait()
    assert {await state_of(desk, one) for one in signed} == {State.SIGNED}
    assert await sealed_deeds(desk) == KILLS
    stored = {one.id: one.sha256 for one in (await client.list_objects(reference)).objects}
    assert len(stored) == KILLS
    for statement in signed:
        async with desk.database.read() as db:
            pdf = await storage.seals.find_pdf(db, statement.id)
        assert stored[keys.derive_id("statement", statement.id, statement.version)] == keys.digest_bytes(pdf)
