"""The key folder: what lies in it, who needs it, and how it is made.

sealing.pub     public; wraps the key of every sealed object        every node
opening.key     private half; the only thing that opens evidence    nodes that read; back it up apart, keep it apart
grant.key       signs grants and events; shared with the web server every node, and the web server's key folder
bearer.key      signs the bearers of running uploads                every node
token.key       signs API tokens                                    every node
ledger.key      signs the ledger's checkpoints (Ed25519 seed)       every node
ledger.pub      the ledger's name and public key; give it to whoever is to check checkpoints without us
ingest/         one private key per running upload, destroyed when the upload is sealed
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from evidence_store.errors import CannotStart
from evidence_store.sealing.notes import LedgerKey, VerifierKey, check_name, new_ledger_name
from evidence_store.sealing.signing import new_key
from evidence_store.sealing.wrapping import PRIVATE_BYTES, PUBLIC_BYTES, PrivateKey, PublicKey

_SECRETS = ("grant", "bearer", "token")
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Keys:
    """The keys of a running store. `opening` is None on a node that only receives."""

    sealing: PublicKey
    opening: PrivateKey | None = field(repr=False)
    grant: bytes = field(repr=False)
    bearer: bytes = field(repr=False)
    token: bytes = field(repr=False)
    ledger: LedgerKey
    folder: Path

    @property
    def ingest(self) -> Path:
        """Where the keys of running uploads lie."""
        return self.folder / "ingest"


def make_keys(folder: Path, *, share: Path | None = None, ledger_name: str = "") -> None:
    """Make whatever is missing; `share` is the web server's key folder, where the same grant.key is put.

    Whoever starts first makes the grant key; two first starts at once end with one key that both use. The ledger keeps
    the name that it is given first (or one made from its key), since it stands in every checkpoint.
    Raises CannotStart when a folder cannot be written, or when both folders hold different grant keys.
    """
    try:
        for place in (folder, folder / "ingest", *([share] if share else [])):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if share is not None:
            _make_shared(share / "grant.key", folder / "grant.key")
        for name in _SECRETS:
            create_secret(folder / f"{name}.key", new_key())
        _make_ledger_key(folder, ledger_name)
        if not (folder / "sealing.pub").exists():  # with it and without opening.key: a node that only receives
            create_secret(folder / "opening.key", PrivateKey.generate().raw)
            create_secret(folder / "sealing.pub", PrivateKey((folder / "opening.key").read_bytes()).public.raw)
    except OSError as problem:
        raise CannotStart(f"The key folder {problem.filename} cannot be written ({problem.strerror}).") from None


def _make_ledger_key(folder: Path, name: str) -> None:
    create_secret(folder / "ledger.key", new_key())
    seed = (folder / "ledger.key").read_bytes()
    try:
        key = LedgerKey(seed, check_name(name or new_ledger_name(seed)))
    except ValueError as problem:
        raise CannotStart(str(problem)) from None
    create_secret(folder / "ledger.pub", f"{key.public}\n".encode())
    if name and _load_ledger_key(folder).name != name:
        raise CannotStart(f"The ledger has another name already, in {folder}/ledger.pub; it stands in its checkpoints.")


def _make_shared(theirs: Path, ours: Path) -> None:
    if not theirs.exists() and not ours.exists():
        create_secret(ours, new_key())
    if not theirs.exists():
        create_secret(theirs, ours.read_bytes())
    create_secret(ours, theirs.read_bytes())
    if ours.read_bytes() != theirs.read_bytes():
        raise CannotStart(f"{ours} and {theirs} are different grant keys: delete the one that is not in use.")


def share_token(folder: Path, token: str, *, is_good: Callable[[str], bool]) -> None:
    """Lay an API token into the web server's key folder, unless one that is good lies there. Raises CannotStart."""
    path = folder / "evidence.token"
    try:
        if path.exists() and not is_good(path.read_text("ascii", "replace").strip()):
            destroy_secret(path)
        create_secret(path, token.encode())
    except OSError as problem:
        raise CannotStart(f"The key folder {folder} cannot be written ({problem.strerror}).") from None


def load_keys(folder: Path) -> Keys:
    """Read the key folder. Raises CannotStart when a key is missing, readable by others, or damaged."""
    secrets = {name: _read(folder / f"{name}.key", _SECRET_BYTES) for name in _SECRETS}
    sealing = PublicKey(_read(folder / "sealing.pub", PUBLIC_BYTES))
    opening = PrivateKey(_read(folder / "opening.key", PRIVATE_BYTES)) if (folder / "opening.key").exists() else None
    if opening is not None and opening.public != sealing:
        raise CannotStart(f"{folder}/opening.key does not belong to sealing.pub: restore both from one backup.")
    (folder / "ingest").mkdir(exist_ok=True, mode=0o700)
    return Keys(sealing=sealing, opening=opening, ledger=_load_ledger_key(folder), folder=folder, **secrets)


def _load_ledger_key(folder: Path) -> LedgerKey:
    seed = _read(folder / "ledger.key", _SECRET_BYTES)
    try:
        public = VerifierKey.parse(_read(folder / "ledger.pub").decode("ascii"))
    except ValueError:
        raise CannotStart(f"The key {folder}/ledger.pub is damaged: restore it from its backup.") from None
    key = LedgerKey(seed, public.name)
    if key.public != public:
        raise CannotStart(f"{folder}/ledger.key does not belong to ledger.pub: restore both from one backup.")
    return key


def create_secret(path: Path, secret: bytes) -> None:
    """Write a file that only this account can read, flushed, unless it exists already (then it stays as it is)."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()
    _flush_folder(path.parent)


def destroy_secret(path: Path) -> None:
    """Overwrite and remove a key file; an absent one is fine. On flash the overwriting is a courtesy, no promise."""
    try:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return
    _flush_folder(path.parent)


def _read(path: Path, size: int | None = None) -> bytes:
    try:
        if path.suffix == ".key" and path.stat().st_mode & 0o077:
            raise CannotStart(f"The key {path} can be read by other accounts: run 'chmod 600 {path}'.")
        key = path.read_bytes()
    except OSError as problem:
        raise CannotStart(
            f"The key {path} cannot be read ({problem.strerror}): run 'evidence-store init', or restore its backup."
        ) from None
    if size is not None and len(key) != size:
        raise CannotStart(f"The key {path} is damaged: restore it from its backup.")
    return key


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
