"""Keys, tokens and digests: the one place of this package that handles secrets.

The key folder is apart from the data folder and must be backed up apart: whoever has both can write valid join links.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from video_server.core.errors import CannotStart

if TYPE_CHECKING:
    from cryptography import x509

_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXYZ"  # no vowels, no look-alikes: nothing offensive, readable over the phone
_LINK_KEY_BYTES = 32
_TOKEN_BYTES = 16  # 128 bits


@dataclass(frozen=True)
class KeyRing:
    """The secrets of a running server. `link` makes join tokens: change it and every open link dies."""

    link: bytes

    def link_token(self, appointment_id: str, generation: int) -> str:
        """Return the join token: first 128 bits of HMAC-SHA256(link key, id ‖ generation), 22 base64url characters.

        The same input gives the same token, so that a reminder can write a link again that the table holds only as
        a digest.
        """
        return self._token("join", appointment_id, generation)

    def guest_token(self, guest_id: str, generation: int) -> str:
        """Return the token of a guest's invitation, made alike; neither kind is ever good for the other."""
        return self._token("guest", guest_id, generation)

    def device_mark(self, device_id: str, username: str) -> str:
        """Return what says that this account was signed in to in this browser, made alike; it opens nothing."""
        return self._token("device", f"{device_id}\x00{digest(username)}", 1)

    def is_device_mark(self, mark: str, device_id: str, username: str) -> bool:
        """Say whether a mark is this browser's for this account, in a time that tells nothing."""
        return hmac.compare_digest(self.device_mark(device_id, username).encode(), mark.encode())

    def _token(self, kind: str, id_: str, generation: int) -> str:
        message = f"{kind}\x00{id_}\x00{generation}".encode()
        digest = hmac.new(self.link, message, hashlib.sha256).digest()[:_TOKEN_BYTES]
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def is_link_token(self, token: str, appointment_id: str, generation: int) -> bool:
        """Say whether this is the appointment's token, in a time that tells nothing."""
        return hmac.compare_digest(self.link_token(appointment_id, generation).encode(), token.encode())

    def is_guest_token(self, token: str, guest_id: str, generation: int) -> bool:
        """Say whether this is the invitation's token, in a time that tells nothing."""
        return hmac.compare_digest(self.guest_token(guest_id, generation).encode(), token.encode())


def load_keys(folder: Path, *, create: bool) -> KeyRing:
    """Read the key folder; with `create`, make what is missing (mode 0600, flushed to disk).

    Raises CannotStart when a key is missing, readable by others, or damaged.
    """
    path = folder / "link.key"
    try:
        if create and not path.exists():
            _create_key(path, _LINK_KEY_BYTES)
        if path.stat().st_mode & 0o077:
            raise CannotStart(f"The key {path} can be read by other accounts: run 'chmod 600 {path}'.")
        key = path.read_bytes()
    except OSError as problem:
        raise CannotStart(f"The key {path} cannot be read ({problem.strerror}): restore it from its backup.") from None
    if len(key) != _LINK_KEY_BYTES:
        raise CannotStart(f"The key {path} is damaged: restore it from its backup.")
    return KeyRing(link=key)


@dataclass(frozen=True)
class EvidenceAccess:
    """What the evidence store shares with us: the key that signs grants and its events, and a token for its API."""

    grant_key: bytes = field(repr=False)
    token: str = field(repr=False)


def load_evidence_access(folder: Path) -> EvidenceAccess:
    """Read what `evidence-store init --share` laid into the key folder. Raises CannotStart."""
    found = []
    for name in ("grant.key", "evidence.token"):
        path = folder / name
        try:
            if path.stat().st_mode & 0o077:
                raise CannotStart(f"The key {path} can be read by other accounts: run 'chmod 600 {path}'.")
            found.append(path.read_bytes())
        except OSError as problem:
            raise CannotStart(
                f"The key {path} cannot be read ({problem.strerror}): run 'evidence-store init --share {folder}'."
            ) from None
    grant_key, token = found
    if len(grant_key) != _LINK_KEY_BYTES or not token.strip():
        raise CannotStart(f"grant.key or evidence.token in {folder} is damaged: restore it from its backup.")
    return EvidenceAccess(grant_key, token.decode("ascii", "replace").strip())


def refuse_open(path: Path, what: str) -> None:
    """Refuse a file of secrets that every account of this machine can look into. Raises CannotStart, OSError."""
    if path.stat().st_mode & 0o007:
        raise CannotStart(f"{what} {path} can be read by other accounts: run 'chmod o-rwx {path}'.")


def _create_key(path: Path, size: int) -> None:
    _create_secret(path, secrets.token_bytes(size))


def _create_secret(path: Path, secret: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(f".{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(part, path)  # two first starts at once: one key wins and both use it
    except FileExistsError:
        pass
    finally:
        part.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def new_id() -> str:
    """Return a new random id, 128 bits as 32 hex digits; fit for a URL that needs a guard anyway."""
    return secrets.token_hex(16)


def new_secret() -> str:
    """Return a new 256-bit secret for a cookie or a password, base64url."""
    return secrets.token_urlsafe(32)


def new_mark() -> str:
    """Return a short random mark for one request or fault; it guards nothing."""
    return secrets.token_hex(4)


def new_code(length: int) -> str:
    """Return a random code a person can say on the phone."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_password() -> str:
    """Return a new random password that can be read aloud and typed: 20 characters in groups, 95 bits."""
    return "-".join(new_code(5).lower() for _ in range(4))


def turn_password(secret: str, username: str) -> str:
    """Return the password of a time-limited TURN user name, base64 of HMAC-SHA1 (coturn's use-auth-secret).

    A TURN server knows this one form (draft-uberti-behave-turn-rest-00 section 2.2); SHA-1 is fit for HMAC.
    """
    return base64.b64encode(hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()).decode()


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret as hex; tables keep this, never the secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 as hex: names exactly what somebody was shown."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_bytes(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes as hex."""
    return hashlib.sha256(content).hexdigest()


def derive_id(*parts: str | int) -> str:
    """Return an id, 32 hex digits, that follows from its parts: whoever makes it again makes the same."""
    return hashlib.sha256("\x00".join(map(str, parts)).encode()).hexdigest()[:32]


def choose(options: Sequence[str]) -> str:
    """Return one of the options, each as likely as the next and nobody able to foresee it."""
    return secrets.choice(options)


def make_certificate(folder: Path, *, hosts: Sequence[str], now: datetime) -> None:
    """Make a self-signed certificate (cert.pem, key.pem) for `hosts`, names and addresses; demo only.

    One that covers every host and is not about to expire is kept, so that a phone has to accept it only once.
    Raises CannotStart when the folder cannot be written.
    """
    from cryptography import x509  # late: only a demo over TLS needs it
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    names = [_general_name(host) for host in dict.fromkeys(hosts)]
    if _certificate_serves(folder, names, now=now):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Video appointments demo")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))  # browsers refuse more than 398 days
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(folder / "key.pem", pem)
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    except OSError as problem:
        raise CannotStart(f"The folder {folder} cannot be written ({problem.strerror}).") from None


def write_secret(path: Path, secret: bytes) -> None:
    """Write a file that only this account can read, in place of an older one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(path)


def _general_name(host: str) -> "x509.DNSName | x509.IPAddress":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _certificate_serves(folder: Path, names: "Sequence[x509.DNSName | x509.IPAddress]", *, now: datetime) -> bool:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        covered = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    lasts = certificate.not_valid_after_utc - now > timedelta(days=7)
    return lasts and set(names) <= covered and (folder / "key.pem").is_file()


@dataclass(frozen=True)
class SigningIdentity:
    """The key and certificate that documents are signed with, as DER; `is_demo` must be marked on the document."""

    key_der: bytes = field(repr=False)
    certificate_der: bytes
    chain_der: tuple[bytes, ...] = ()
    is_demo: bool = False


def load_signing_identity(path: Path, *, password: str = "") -> SigningIdentity:
    """Read a signing key with its certificate: a PKCS#12 file, or PEM holding the key, its certificate, then the chain.

    Raises   CannotStart when it cannot be read, is damaged, or key and certificate do not belong together
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    secret = password.encode() or None
    try:
        refuse_open(path, "The signing key")
        content = path.read_bytes()
        if b"-----BEGIN" in content:
            key: Any = serialization.load_pem_private_key(content, secret)
            certificate, *chain = x509.load_pem_x509_certificates(content)
        else:
            bundle = pkcs12.load_pkcs12(content, secret)
            if bundle.key is None or bundle.cert is None:
                raise ValueError
            key, certificate = bundle.key, bundle.cert.certificate
            chain = [extra.certificate for extra in bundle.additional_certs]
    except OSError as problem:
        raise CannotStart(f"The signing key {path} cannot be read ({problem.strerror}).") from None
    except (ValueError, TypeError):
        raise CannotStart(
            f"The signing key {path} is damaged, not PKCS#12 or PEM, lacks its certificate, or has another password."
        ) from None
    if key.public_key() != certificate.public_key():
        raise CannotStart(f"In {path} the certificate does not belong to the key.")
    as_der = serialization.Encoding.DER
    return SigningIdentity(
        key_der=key.private_bytes(as_der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate_der=certificate.public_bytes(as_der),
        chain_der=tuple(one.public_bytes(as_der) for one in chain),
    )


def load_demo_signing_identity(folder: Path, *, now: datetime) -> SigningIdentity:
    """Read the demo's signing key, made on first use; its subject says DEMO. Raises CannotStart."""
    path = folder / "demo-signing.pem"
    try:
        if not path.exists():
            _create_secret(path, _make_demo_signing(now))
    except OSError as problem:
        raise CannotStart(f"The folder {folder} cannot be written ({problem.strerror}).") from None
    return replace(load_signing_identity(path), is_demo=True)


def _make_demo_signing(now: datetime) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "DEMO signature, not evidence"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "DEMO"),
        ]
    )
    usage = dict.fromkeys(
        (
            "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
            "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, content_commitment=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem + certificate.public_bytes(serialization.Encoding.PEM)
