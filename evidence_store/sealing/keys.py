"""The key folder: what lies in it, who needs it, and how it is made.

sealing.pub     public; wraps the key of every sealed object        every node
opening/        private halves, <id>.key, or <id>.p11 when locked   nodes that read; back it up apart, keep it apart
                by a security module; all that opens evidence
grant.key       signs grants and events; shared with the web server every node, and the web server's key folder
bearer.key      signs the bearers of running uploads, and seals     every node
                what waits in the database
token.key       signs API tokens                                    every node
ledger.key      signs the ledger's checkpoints (Ed25519 seed)       every node
ledger.pub      the ledger's name and public key; give it to whoever is to check checkpoints without us
rows.sealed     there since what waits in the database is sealed; at a start without it all of that is, as it stands
ingest/         one private key per running upload, destroyed when the upload is sealed
"""

from dataclasses import dataclass, field
from pathlib import Path

from evidence_store.errors import CannotStart
from evidence_store.model import checked_file
from evidence_store.sealing.files import create_mark, create_secret, destroy_secret, read_key
from evidence_store.sealing.hsm import Hsm
from evidence_store.sealing.notes import LedgerKey, VerifierKey, check_name, new_ledger_name
from evidence_store.sealing.ring import KeyRing, make_first_pair
from evidence_store.sealing.signing import new_key
from evidence_store.sealing.wrapping import PublicKey

_SECRETS = ("grant", "bearer", "token")
_WEB_FILE = "evidence.token"
_SECRET_BYTES = 32
_BEGUN = "rows.sealed"


@dataclass(frozen=True)
class Keys:
    """The keys of a running store; `ring` has those that seal and open objects."""

    ring: KeyRing = field(repr=False)
    grant: bytes = field(repr=False)
    bearer: bytes = field(repr=False)
    token: bytes = field(repr=False)
    ledger: LedgerKey
    folder: Path

    @property
    def sealing(self) -> PublicKey:
        """The public key to seal to now."""
        return self.ring.sealing

    @property
    def opening(self) -> KeyRing | None:
        """What unwraps the keys of sealed objects; None on a node that only receives."""
        return self.ring if self.ring.can_open else None

    @property
    def ingest(self) -> Path:
        """Where the keys of running uploads lie."""
        return self.folder / "ingest"

    @property
    def has_begun_seals(self) -> bool:
        """Say whether this node has sealed what waited for it in the database before there were seals."""
        return (self.folder / _BEGUN).exists()

    def begin_seals(self) -> None:
        """Remember that it has; flushed."""
        create_mark(self.folder / _BEGUN)

    def ingest_key(self, upload_id: str) -> Path:
        """Where the private key of one running upload lies. Raises Damaged for what is no id."""
        return self.ingest / f"{checked_file(upload_id)}.key"


def make_keys(folder: Path, *, share: Path | None = None, ledger_name: str = "", hsm: Hsm | None = None) -> None:
    """Make whatever is missing; `share` is the web server's key folder, where the same grant.key is put.

    Whoever starts first makes the grant key; two first starts at once end with one key that both use. The ledger keeps
    the name that it is given first (or one made from its key), since it stands in every checkpoint. With `hsm` the
    opening key is locked by it, and never lies on disk otherwise.
    Raises CannotStart when a folder cannot be written, or when both folders hold different grant keys.
    """
    try:
        for place in (folder, folder / "ingest", *([share] if share else [])):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if share is not None:
            _make_shared(share / "grant.key", folder / "grant.key")
        if not (folder / "bearer.key").exists():  # what was sealed by one that is lost waits for ever otherwise
            destroy_secret(folder / _BEGUN)
        for name in _SECRETS:
            create_secret(folder / f"{name}.key", new_key())
        _make_ledger_key(folder, ledger_name)
        if hsm is not None:
            hsm.make_key()
        if not (folder / "sealing.pub").exists():  # with it and without an opening key: a node that only receives
            (folder / "opening").mkdir(exist_ok=True, mode=0o700)
            make_first_pair(folder, hsm)
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


def read_shared_token(folder: Path) -> str:
    """Return the API token that lies in the web server's key folder; empty when there is none. Raises CannotStart."""
    try:
        return (folder / _WEB_FILE).read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as problem:
        raise CannotStart(f"The key folder {folder} cannot be read ({problem.strerror}).") from None


def share_token(folder: Path, token: str, *, in_place_of: str) -> None:
    """Lay an API token into the web server's key folder, in the place of one that is no good. Raises CannotStart."""
    try:
        if in_place_of and read_shared_token(folder) == in_place_of:
            destroy_secret(folder / _WEB_FILE)
        create_secret(folder / _WEB_FILE, token.encode())
    except OSError as problem:
        raise CannotStart(f"The key folder {folder} cannot be written ({problem.strerror}).") from None


def load_keys(folder: Path, hsm: Hsm | None = None) -> Keys:
    """Read the key folder; `hsm` unlocks opening keys that it locked.

    Raises CannotStart when a key is missing, readable by others, or damaged.
    """
    secrets = {name: read_key(folder / f"{name}.key", _SECRET_BYTES) for name in _SECRETS}
    (folder / "ingest").mkdir(exist_ok=True, mode=0o700)
    return Keys(ring=KeyRing(folder, hsm), ledger=_load_ledger_key(folder), folder=folder, **secrets)


def _load_ledger_key(folder: Path) -> LedgerKey:
    seed = read_key(folder / "ledger.key", _SECRET_BYTES)
    try:
        public = VerifierKey.parse(read_key(folder / "ledger.pub").decode("ascii"))
    except ValueError:
        raise CannotStart(f"The key {folder}/ledger.pub is damaged: restore it from its backup.") from None
    key = LedgerKey(seed, public.name)
    if key.public != public:
        raise CannotStart(f"{folder}/ledger.key does not belong to ledger.pub: restore both from one backup.")
    return key
