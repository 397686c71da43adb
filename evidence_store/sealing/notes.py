"""Signed notes and checkpoints: c2sp.org/signed-note and c2sp.org/tlog-checkpoint, with Ed25519 (RFC 8032).

<origin>                             the ledger's name, also the name of its key
<size>                               how many entries, decimal
<base64 root>                        RFC 9162 root of the tree of that size
<empty line>
— <origin> <base64(key id (4) ‖ Ed25519 signature (64) of the lines above, without the empty one)>

key id        first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)
verifier key  <name>+<key id, hex>+<base64(0x01 ‖ public key)>      what others check checkpoints with
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence_store.sealing.signing import NotGenuine, sha256

_ED25519 = b"\x01"
_DASH = "\u2014"
_MAX_NOTE_CHARS = 100_000
_NAME = re.compile(r"[!-*,-~]{1,200}")
"""ASCII that is visible, without the plus sign that ends a name."""
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Checkpoint:
    """The ledger at one size. `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """Return what is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True)
class VerifierKey:
    """The public half of a ledger's key with its name: `ledger.pub`."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read the text form. Raises ValueError."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError("not a verifier key") from None
        key = cls(check_name(name), raw[1:])
        if raw[:1] != _ED25519 or len(raw) != 33 or key_id != key.id.hex():
            raise ValueError("not a verifier key")
        return key

    @cached_property
    def id(self) -> bytes:
        """The four bytes that name the key in a signature line."""
        return bytes.fromhex(self.fingerprint)[:4]

    @property
    def fingerprint(self) -> str:
        """What people compare the key by, on paper or by telephone: 64 hex digits, of which the id is the first 8."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).hex()

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def open(self, note: str) -> Checkpoint:
        """Return the checkpoint that a note carries, signed by this key. Raises NotGenuine."""
        return self._parse(self.open_text(note))

    def open_text(self, note: str) -> str:
        """Return the text of a note that this key signed. Raises NotGenuine.

        Other signatures (of witnesses) may stand beside ours and are not looked at.
        """
        text, blank, signatures = note.rpartition("\n\n")
        if len(note) > _MAX_NOTE_CHARS or not blank or not note.endswith("\n"):
            raise NotGenuine
        text += "\n"
        ours = [self._signature_in(line) for line in signatures.splitlines()]
        found = [signature for signature in ours if signature is not None]
        if len(found) != 1:
            raise NotGenuine
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(found[0], text.encode())
        except (InvalidSignature, UnicodeEncodeError):
            raise NotGenuine from None
        return text

    def _signature_in(self, line: str) -> bytes | None:
        dash, name, encoded = (*line.split(" "), "", "", "")[:3]
        if line.count(" ") != 2 or dash != _DASH:
            raise NotGenuine
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise NotGenuine from None
        if base64.b64encode(raw).decode() != encoded:  # else the same signature could be written in other ways
            raise NotGenuine
        return raw[4:] if name == self.name and raw[:4] == self.id else None

    def _parse(self, text: str) -> Checkpoint:
        lines = text.split("\n")
        if len(lines) != 4 or lines[0] != self.name or not _SIZE.fullmatch(lines[1]):
            raise NotGenuine
        try:
            root = base64.b64decode(lines[2], validate=True)
        except (binascii.Error, ValueError):
            raise NotGenuine from None
        checkpoint = Checkpoint(lines[0], int(lines[1]), root)
        if len(root) != 32 or checkpoint.text != text:
            raise NotGenuine
        return checkpoint


@dataclass
class LedgerKey:
    """Signs the ledger's checkpoints: `ledger.key`, an Ed25519 seed of 32 bytes, under the name in `ledger.pub`."""

    seed: bytes = field(repr=False)
    name: str
    _opened: tuple[str, Checkpoint] | None = field(default=None, repr=False)

    @cached_property
    def public(self) -> VerifierKey:
        """What others check with."""
        return VerifierKey(self.name, self._private.public_key().public_bytes_raw())

    def sign(self, size: int, root: bytes) -> str:
        """Return the signed note of a checkpoint."""
        checkpoint = Checkpoint(self.name, size, root)
        note = self.sign_note(checkpoint.text)
        self._opened = (note, checkpoint)
        return note

    def sign_note(self, text: str) -> str:
        """Return lines as a signed note; those of a checkpoint are three, so other notes have another number."""
        signature = self._private.sign(text.encode())
        return f"{text}\n{_DASH} {self.name} {base64.b64encode(self.public.id + signature).decode()}\n"

    def open(self, note: str) -> Checkpoint:
        """Return the checkpoint of a note that this key signed; the last one is remembered. Raises NotGenuine."""
        if self._opened is None or self._opened[0] != note:
            self._opened = (note, self.public.open(note))
        return self._opened[1]

    @cached_property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def new_ledger_name(seed: bytes) -> str:
    """Return a name for the ledger of this key that no other has."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return f"evidence-store/{sha256(public).hex()[:16]}"


def check_name(name: str) -> str:
    """Return a name fit for a ledger. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "A ledger's name is 1 to 200 visible ASCII characters without + and spaces, such as a host and path."
        )
    return name
