"""Sealed objects in a bucket (S3), moved by obstore.

    <prefix>objects/ab/<id>/key.json    put first, if absent: whose it is, owns the id
    <prefix>objects/ab/<id>/data.floe   put next; appears whole. Both are there, or the object is not sealed
    <prefix>probe/<id>                  written and removed at the start, to try create-if-absent

A node's locks and uploads stay on its own disk. What is put is read back and compared by SHA-256 before anything is
said of it; the bytes on the node's disk go only after the ledger's line. A wrapped key is made for one arrival alone,
so whoever finds another's key under the id has lost, and whoever finds its own goes on where it was killed.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import S3Store

from evidence_store.backend import DATA, KEY, MOST_KEY_BYTES, Backend, OpenFile, Place, Sealed
from evidence_store.backend.bucket import ANSWER_SECONDS, CONNECT_SECONDS, TRIES, Address, Bucket, failed
from evidence_store.errors import CannotStart
from evidence_store.model import checked_file
from evidence_store.plural import counted
from evidence_store.sealing import signing
from evidence_store.sealing.floe import HEADER_BYTES

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig, S3Config

_PART_BYTES = 5 << 20
"""The least that S3 takes, for three are in memory at one time; 20 GB are 3,815 parts, of 10,000 that S3 allows."""
_PARTS_AT_ONCE = 3
_READ_BYTES = 4 << 20
_PROBE = "probe"


class S3Backend(Backend):
    """A bucket, and the folder of the node."""

    def __init__(self, root: Path, address: Address) -> None:
        super().__init__(root)
        self._address, self._bucket = address, Bucket(address)
        config: S3Config = {
            "region": address.region,
            "access_key_id": address.key_id,
            "secret_access_key": address.secret,
            "virtual_hosted_style_request": not address.endpoint,
            "disable_bulk_delete": True,  # one request for each, which every server knows
            "checksum_algorithm": "sha256",  # of each request, which a bucket with object lock asks for
        }
        if address.endpoint:
            config["endpoint"] = address.endpoint
        client: ClientConfig = {
            "allow_http": address.endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=ANSWER_SECONDS),
        }
        if address.ca is not None:
            client["root_certificate"] = address.ca.read_bytes()
        retry: RetryConfig = {"max_retries": TRIES - 1, "retry_timeout": timedelta(seconds=ANSWER_SECONDS)}
        self._store = S3Store(address.name, config=config, client_options=client, retry_config=retry)

    def prepare(self) -> None:
        """Make the node's folders and prove create-if-absent with two puts of one fresh name. Raises CannotStart."""
        super().prepare()
        probe = f"{self._address.prefix}{_PROBE}/{signing.new_id()}"
        try:
            self._put_new(probe, b"first")
        except FileNotFoundError:
            raise CannotStart(f"The bucket {self._address.where} is not there: make it, or see EVIDENCE_S3_…") from None
        try:
            with contextlib.suppress(FileExistsError):
                self._put_new(probe, b"second")
                raise CannotStart(
                    f"The bucket {self._address.where} replaces what it was told to keep (If-None-Match is ignored), "
                    "so it cannot hold evidence: use a server that knows conditional writes."
                )
        finally:
            self._delete(probe)

    @contextlib.contextmanager
    def _answered(self) -> Iterator[None]:
        """Turn obstore's complaints into this interface's."""
        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise FileExistsError(None, "another is in the bucket already") from None
        except NotFoundError as problem:
            if "NoSuchBucket" in str(problem):  # says nothing about an object
                raise failed(self._address, "NoSuchBucket") from None
            raise FileNotFoundError(None, "it is not in the bucket") from None
        except BaseError as problem:
            raise failed(self._address, str(problem)) from None

    def _name(self, object_id: str, part: str) -> str:
        return f"{self._address.prefix}objects/{checked_file(object_id)[:2]}/{object_id}/{part}"

    def _put_new(self, name: str, data: bytes) -> None:
        with self._answered():
            obstore.put(self._store, name, data, mode="create", use_multipart=False)

    # --- putting

    def publish(self, name: str, object_id: str) -> None:
        """Put key and bytes into the bucket and compare what it gives back; see `Backend`."""
        source = self.incoming(name) / "object"
        try:
            key = (source / KEY).read_bytes()
        except FileNotFoundError:  # cleared after the ledger's line, or lost
            self.read_key(object_id)
            self.open(object_id).close()
            return
        try:
            self._put_new(self._name(object_id, KEY), key)
        except FileExistsError:
            if self.read_key(object_id) != key:
                raise
        self._send(source / DATA, object_id)

    def adopt(self, folder: Path, object_id: str) -> None:
        """Put an object of a backup into the bucket; see `Backend`."""
        key = (folder / KEY).read_bytes()
        with self._answered():
            obstore.put(self._store, self._name(object_id, KEY), key, use_multipart=False)
        self._send(folder / DATA, object_id)

    def _send(self, path: Path, object_id: str) -> None:
        """Bring a file's bytes into the bucket, unless they are there; in constant memory."""
        file, name = OpenFile(path), self._name(object_id, DATA)
        try:
            digest = _digest_of(file)
        finally:
            file.close()
        for again in range(3):
            if again:
                self._upload(path, name)
            with contextlib.suppress(FileNotFoundError), contextlib.closing(self.open(object_id)) as there:
                if there.size_bytes == file.size_bytes and _digest_of(there) == digest:
                    return
        raise failed(self._address, "AnotherDigest")

    def _upload(self, path: Path, name: str) -> None:
        large = path.stat().st_size > _PART_BYTES
        if large:
            self._bucket.abort_uploads(name)  # a kill's, for the object's lock is ours
        with self._answered():
            obstore.put(
                self._store, name, path, use_multipart=large, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )

    def replace_key(self, object_id: str, wrapped: bytes) -> None:
        """Put another wrapping in place of the one that is there now, and of no other; see `Backend`."""
        name = self._name(object_id, KEY)
        with self._answered():
            there = obstore.head(self._store, name)
        retained = self._bucket.find_retention(name) if self._bucket.offers().locks else None
        try:
            with self._answered():
                obstore.put(self._store, name, wrapped, mode={"e_tag": there["e_tag"]}, use_multipart=False)
        except FileExistsError:
            if self.read_key(object_id) != wrapped:  # else our own put, whose answer was lost
                raise
        if self.read_key(object_id) != wrapped:
            raise failed(self._address, "AnotherKey")
        if retained is not None:
            self._bucket.retain(name, retained)

    # --- reading

    def open(self, object_id: str) -> Sealed:
        """Open an object's sealed bytes; see `Backend`."""
        return _Object(self, self._name(object_id, DATA))

    def get(self, name: str, start: int, stop: int) -> tuple[bytes, int]:
        """Return a part of something in the bucket, and the size of all of it."""
        with self._answered():
            try:
                got = obstore.get(self._store, name, options={"range": (start, stop)})
            except BaseError:
                if obstore.head(self._store, name)["size"] > start:
                    raise
                return b"", 0  # no range fits what is empty
            return _take(got, stop - start), got.meta["size"]

    def read_key(self, object_id: str) -> bytes:
        """Return an object's wrapped key; see `Backend`."""
        with self._answered():
            return _take(obstore.get(self._store, self._name(object_id, KEY)), MOST_KEY_BYTES)

    def list_objects(self) -> Iterator[str]:
        """Yield the ids of all objects whose bytes are there."""
        with self._answered():
            for page in obstore.list(self._store, f"{self._address.prefix}objects/"):
                for one in page:
                    folder, _, part = one["path"].rpartition("/")
                    if part == DATA:
                        yield folder.rpartition("/")[2]

    # --- keeping and destroying

    def retain(self, object_id: str, until: datetime) -> None:
        """Lock key and bytes in the bucket until then, where it offers that; see `Backend`."""
        if self._bucket.offers().locks:
            for part in (KEY, DATA):
                self._bucket.retain(self._name(object_id, part), until)

    def destroy(self, object_id: str) -> None:
        """Delete key, then bytes, in all their versions; see `Backend`."""
        for part in (KEY, DATA):
            self._bucket.abort_uploads(self._name(object_id, part))
            self._delete(self._name(object_id, part))
        if self.keeps_any(object_id):
            raise failed(self._address, "NotDeleted")

    def _delete(self, name: str) -> None:
        if self._bucket.offers().versions:
            self._bucket.delete_versions(name)
            return
        with contextlib.suppress(FileNotFoundError), self._answered():
            obstore.delete(self._store, name)

    def keeps_any(self, object_id: str) -> bool:
        """Say whether anything of an object, any version of it, is still there."""
        names = [self._name(object_id, part) for part in (KEY, DATA)]
        if self._bucket.offers().versions:
            return any(self._bucket.list_versions(name) for name in names)
        for name in names:
            with contextlib.suppress(FileNotFoundError), self._answered():
                obstore.head(self._store, name)
                return True
        return False

    def describe(self) -> Place:
        """Say where sealed objects lie and what the bucket offers."""
        offers = self._bucket.offers()
        good = [f"Sealed objects lie in the bucket {self._address.where}, which keeps what is there when told to."]
        notes, bad = [], []
        if offers.versions:
            good.append("The bucket keeps versions; a disposal deletes all of them.")
        elif offers.versions is None:
            notes.append("The bucket does not say whether it keeps versions: a disposal may leave older ones.")
        if offers.locks:
            good.append("The bucket offers object lock: it refuses to delete an object while its retention runs.")
        else:
            notes.append("The bucket offers no object lock: whoever holds its key can delete from it.")
        if offers.default_days:
            days = counted(offers.default_days, "day")
            bad.append(
                f"The bucket locks everything for {days} by itself, whatever an object's retention is: take its "
                "default retention away, or disposals fail until then."
            )
        return Place(good, notes, bad)


class _Object:
    """One object in the bucket. Its beginning and its size come with one request."""

    def __init__(self, backend: S3Backend, name: str) -> None:
        self._backend, self._name = backend, name
        self._head, self.size_bytes = backend.get(name, 0, HEADER_BYTES)

    def read_at(self, start: int, length: int) -> bytes:
        """Return the bytes from `start`, at most `length`, fewer only at the end."""
        stop = min(start + length, self.size_bytes)
        if stop <= len(self._head):
            return self._head[start:stop]
        return self._backend.get(self._name, start, stop)[0] if start < stop else b""

    def read_into(self, out: bytearray, start: int) -> int:
        """Fill `out` with the bytes from `start`; return how many there were, fewer only at the end."""
        found = self.read_at(start, len(out))
        out[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Nothing is held."""


def _take(got: "GetResult", most: int) -> bytes:
    """Return what an answer brings, at most so many bytes, whatever its server goes on sending."""
    found = bytearray()
    for piece in got.stream(min_chunk_size=most):
        found += piece
        if len(found) >= most:
            break
    return bytes(found[:most])


def _digest_of(sealed: Sealed) -> str:
    digest = signing.new_sha256()
    for start in range(0, sealed.size_bytes, _READ_BYTES):
        digest.update(sealed.read_at(start, _READ_BYTES))
    return digest.hexdigest()
