"""A certificate authority of a test's own, and a TLS front for a server that speaks plainly."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_PIECE_BYTES = 1 << 18


class Authority:
    """Issues certificates; `ca` is the file that whoever trusts it reads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"Test authority {folder.name}")
        self.ca = folder / "ca.pem"
        made = self._build(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.ca.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        )  # fmt: skip

    def issue(self, *hosts: str) -> Path:
        """Return a folder with cert.pem and key.pem for these hosts, by default this machine's names."""
        folder, key = self._folder / (hosts[0] if hosts else "here"), ec.generate_private_key(ec.SECP256R1())
        folder.mkdir()
        names = [x509.DNSName(host) for host in hosts or ["localhost"]]
        addresses = [] if hosts else [x509.IPAddress(ip_address("127.0.0.1"))]
        made = (
            self._build(_name("Test server"), key)
            .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "key.pem").write_bytes(secret)
        return folder


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def context_of(folder: Path) -> ssl.SSLContext:
    """Return what a server with this certificate listens with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextlib.contextmanager
def tls_front(port: int, certificate: Path) -> Iterator[int]:
    """Pass what comes over TLS on to a port of this machine; give the port to come to."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(_PIECE_BYTES):
                target.write(piece)
                await target.drain()
        except OSError:
            pass  # one side went away: so does the other
        finally:
            target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):  # at the end of the front
            await asyncio.gather(pump(reader, outer), pump(inner, writer))

    async def run() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context_of(certificate)) as server:
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
