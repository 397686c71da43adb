"""A bucket beyond its objects: what it offers, every version it keeps, retention, uploads that were left half-way.

obstore, which moves the objects, does not speak of these; botocore does.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from evidence_store.errors import BackendFailed

T = TypeVar("T")
CONNECT_SECONDS = 5
ANSWER_SECONDS = 30
TRIES = 3
_MOST_PAGES = 1000
"""Of one key: a server that always says that there are more holds up nobody for ever."""
_NOT_OFFERED = {"NotImplemented", "MethodNotAllowed", "ObjectLockConfigurationNotFoundError", "InvalidBucketState"}
_NO_RETENTION = {"NoSuchObjectLockConfiguration", "InvalidRequest", "ObjectLockConfigurationNotFoundError"}
_GONE = {"NoSuchKey", "NoSuchUpload", "NoSuchVersion", "404"}


@dataclass(frozen=True)
class Address:
    """Where a bucket is and who we are there. `prefix` is empty or ends with a slash."""

    endpoint: str
    name: str
    region: str
    prefix: str
    key_id: str
    secret: str = field(repr=False)
    ca: Path | None = None

    @property
    def where(self) -> str:
        """Name the bucket for people."""
        return f"{self.name}/{self.prefix} at {self.endpoint or self.region}"


@dataclass(frozen=True)
class Offers:
    """What a bucket offers. None: it does not say. `default_days` is how long it locks everything by itself."""

    versions: bool | None
    locks: bool | None
    default_days: int


class Bucket:
    """One bucket. Every method is blocking, takes whole keys (prefix included) and raises BackendFailed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: Any = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=address.endpoint or None,
            region_name=address.region,
            aws_access_key_id=address.key_id,
            aws_secret_access_key=address.secret,
            verify=str(address.ca) if address.ca else None,
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                retries={"total_max_attempts": TRIES, "mode": "standard"},
                signature_version="s3v4",
                s3={"addressing_style": "path" if address.endpoint else "auto"},
                max_pool_connections=16,
            ),
        )

    def _ask(self, act: Callable[..., T], none_for: set[str], **what: Any) -> T | None:
        """Call the bucket; None when it answers with one of these codes."""
        try:
            return act(Bucket=self._address.name, **what)
        except ClientError as problem:
            code = str(problem.response.get("Error", {}).get("Code", "unknown"))
            if code in none_for:
                return None
            raise failed(self._address, code) from None
        except BotoCoreError as problem:
            raise failed(self._address, type(problem).__name__) from None

    def offers(self) -> Offers:
        """Ask what the bucket offers."""
        versioning = self._ask(self._client.get_bucket_versioning, _NOT_OFFERED)
        locking = self._ask(self._client.get_object_lock_configuration, _NOT_OFFERED)
        said = (locking or {}).get("ObjectLockConfiguration", {})
        default = said.get("Rule", {}).get("DefaultRetention", {})
        return Offers(
            versions=None if versioning is None else bool(versioning.get("Status")),  # suspended keeps old ones
            locks=said.get("ObjectLockEnabled") == "Enabled",
            default_days=default.get("Days", 0) + 365 * default.get("Years", 0),
        )

    def list_versions(self, key: str) -> list[str]:
        """Return the ids of everything kept under a key: versions and marks of deletion."""
        return [
            one["VersionId"]
            for page in self._pages(self._client.list_object_versions, ("KeyMarker", "VersionIdMarker"), key)
            for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if one["Key"] == key
        ]

    def delete_versions(self, key: str) -> None:
        """Delete everything kept under a key."""
        for version in self.list_versions(key):
            self._ask(self._client.delete_object, _GONE, Key=key, VersionId=version)

    def abort_uploads(self, key: str) -> None:
        """Drop the parts of uploads to a key that were left half-way."""
        for page in self._pages(self._client.list_multipart_uploads, ("KeyMarker", "UploadIdMarker"), key):
            for one in page.get("Uploads", []):
                if one["Key"] == key:
                    self._ask(self._client.abort_multipart_upload, _GONE, Key=key, UploadId=one["UploadId"])

    def _pages(self, act: Callable[..., Any], markers: tuple[str, str], prefix: str) -> Iterator[dict[str, Any]]:
        following: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            page = self._ask(act, _NOT_OFFERED, Prefix=prefix, **following) or {}
            yield page
            following = {name: page[f"Next{name}"] for name in markers if page.get(f"Next{name}")}
            if not page.get("IsTruncated") or not following:
                return
        raise failed(self._address, "TooManyPages")

    def find_retention(self, key: str) -> datetime | None:
        """Return until when the newest version under a key is locked."""
        said = self._ask(self._client.get_object_retention, _NO_RETENTION | _GONE, Key=key)
        until = (said or {}).get("Retention", {}).get("RetainUntilDate")
        return until.astimezone(UTC) if isinstance(until, datetime) else None

    def retain(self, key: str, until: datetime) -> None:
        """Lock the newest version under a key until then; a lock that lasts longer stays."""
        held = self.find_retention(key)
        if held is None or held < until:
            retention = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
            self._ask(self._client.put_object_retention, set(), Key=key, Retention=retention)


def failed(address: Address, text: str) -> BackendFailed:
    """Return the failure that an answer means: its code alone, for answers may quote what we signed."""
    found = re.search(r"<Code>(\w{1,60})</Code>", text) or re.search(r"status code: (\d{3} [A-Za-z ]{2,40})", text)
    code = found[1].strip() if found else text if re.fullmatch(r"\w{1,60}", text) else "no answer"
    return BackendFailed(f"The bucket {address.where} does not do as asked ({code}).")
