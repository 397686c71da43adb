"""The sealing key of now, and every opening key that this node holds; both follow the key folder while the store runs.

sealing.pub          the public half that new objects are sealed to; read again when it changes
opening/<id>.key     private halves, each under the id of its public half; more than one after a rotation
opening/<id>.p11     the same, locked by a security module
"""

import os
from pathlib import Path

from evidence_store.errors import CannotStart
from evidence_store.sealing.files import create_secret, destroy_secret, read_key
from evidence_store.sealing.floe import Forged
from evidence_store.sealing.hsm import Hsm
from evidence_store.sealing.wrapping import PRIVATE_BYTES, PUBLIC_BYTES, PrivateKey, PublicKey, sealing_key_of


class KeyRing:
    """Wraps to the sealing key and unwraps with whichever opening key it takes. `hsm` unlocks those that are locked."""

    def __init__(self, folder: Path, hsm: Hsm | None = None) -> None:
        """Read the folder. Raises CannotStart when a key is missing or damaged, or none opens what is sealed now."""
        self._folder, self._hsm = folder, hsm
        self._opening: dict[str, PrivateKey] = {}
        self._read_at: tuple[int, int] | None = None
        self._sealing = self.sealing
        self._load()
        if self._opening and self._sealing.id not in self._opening:
            raise CannotStart(f"No key in {folder}/opening belongs to sealing.pub: restore both from one backup.")

    @property
    def sealing(self) -> PublicKey:
        """The key to seal to now."""
        path = self._folder / "sealing.pub"
        try:
            found = path.stat()
        except OSError:
            found = None
        stamp = (found.st_ino, found.st_mtime_ns) if found else None
        if stamp is None or stamp != self._read_at:
            self._sealing, self._read_at = PublicKey(read_key(path, PUBLIC_BYTES)), stamp
        return self._sealing

    @property
    def can_open(self) -> bool:
        """Say whether this node holds an opening key at all."""
        return bool(self._opening)

    @property
    def opening_ids(self) -> list[str]:
        """The ids of all opening keys in the folder."""
        return sorted({path.stem for path in (self._folder / "opening").iterdir() if path.suffix in {".key", ".p11"}})

    def unwrap(self, object_id: str, purpose: str, key_file: bytes) -> bytes:
        """Return an object's key. Raises Forged when the file was changed, is another's, or needs a key not held."""
        key_id = sealing_key_of(key_file)
        if key_id not in self._opening:
            self._load()
        if key_id not in self._opening:
            raise Forged("the key file does not belong to an opening key of this store")
        return self._opening[key_id].unwrap(object_id, purpose, key_file)

    def add_opening_key(self) -> str:
        """Make a new pair, keep its opening half (locked, when there is a module) and return its id."""
        pair = PrivateKey.generate()
        key_id = pair.public.id
        if self._hsm is None:
            create_secret(self._folder / "opening" / f"{key_id}.key", pair.raw)
        else:
            create_secret(self._folder / "opening" / f"{key_id}.p11", self._hsm.lock(key_id, pair.raw))
        self._load()
        return key_id

    def seal_to(self, key_id: str) -> None:
        """Seal to this key from now on, here and in every process that uses the folder. Raises CannotStart."""
        self._load()  # another process may have made it
        if key_id not in self._opening:
            raise CannotStart(
                f"The opening key {key_id}, which was being rotated to, is not in {self._folder}/opening."
            )
        public = self._opening[key_id].public
        if public != self.sealing:
            part = self._folder / ".sealing.pub.part"
            destroy_secret(part)
            create_secret(part, public.raw)
            os.replace(part, self._folder / "sealing.pub")

    def destroy_opening_key(self, key_id: str) -> None:
        """Destroy an opening key: what is wrapped to it opens no more. Raises ValueError for the one in use."""
        if key_id == self.sealing.id:
            raise ValueError("this key is in use")
        self._opening.pop(key_id, None)
        for suffix in (".key", ".p11"):
            destroy_secret(self._folder / "opening" / f"{key_id}{suffix}")

    def _load(self) -> None:
        folder = self._folder / "opening"
        for path in sorted(folder.iterdir()) if folder.exists() else []:
            if path.stem in self._opening or path.suffix not in {".key", ".p11"} or path.name.startswith("."):
                continue
            key = PrivateKey(self._raw(path))
            if key.public.id != path.stem:
                raise CannotStart(f"The key {path} is damaged: restore it from its backup.")
            self._opening[path.stem] = key

    def _raw(self, path: Path) -> bytes:
        if path.suffix == ".key":
            return read_key(path, PRIVATE_BYTES)
        if self._hsm is None:
            raise CannotStart(f"The key {path} is locked by a security module: set EVIDENCE_PKCS11 and its token.")
        raw = self._hsm.unlock(path.stem, read_key(path))
        if len(raw) != PRIVATE_BYTES:
            raise CannotStart(f"The key {path} is damaged: restore it from its backup.")
        return raw


def make_first_pair(folder: Path, hsm: Hsm | None) -> None:
    """Make the first opening key and its sealing.pub; two starts at once, or one after a crash, end with one."""
    pair = PrivateKey.generate()
    key_id = pair.public.id
    name, secret = (f"{key_id}.key", pair.raw) if hsm is None else (f"{key_id}.p11", hsm.lock(key_id, pair.raw))
    create_secret(folder / "opening" / name, secret)
    create_secret(folder / "sealing.pub", pair.public.raw)
