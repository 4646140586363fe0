"""Object storage as the `storage:` section of a YAML describes it: drivers, S3 requests, Delta.

Only names and numbers stand in the section. Secrets come from the environment, a profile, or the
machine's role, and stay in the process.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import fsspec
from obstore.store import S3Store
from pydantic import Field, field_validator

from curation.errors import InputError
from curation.section import Section
from curation.storage import s3_reader
from curation.storage.retry import retrying

T = TypeVar("T")

S3_PROTOCOLS = ("s3", "s3a")
_DRIVERS = {
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "hf": "huggingface_hub",
    "s3": "s3fs",
    "s3a": "s3fs",
}
_CONNECTIONS = 64
_opening = threading.Lock()
_readers: dict[tuple[Any, ...], S3Store] = {}
# Writes, listings and the plan concern a whole shard or run, a read but its clip.
_WRITE_PATIENCE = 5


class StorageConfig(Section):
    """How object storage is reached and read. No secrets: see docs/storage.md."""

    endpoint_url: str | None = Field(
        None,
        description="URL of an S3 other than AWS's, without credentials; null: AWS_ENDPOINT_URL.",
    )
    profile: str | None = Field(
        None, description="Profile of the AWS configuration, on every machine; null: AWS_PROFILE."
    )
    region: str | None = Field(None, description="AWS region; null: AWS_DEFAULT_REGION.")
    anonymous: bool = Field(False, description="Sign nothing: public buckets only.")
    requester_pays: bool = Field(False, description="Pay for reading buckets that ask for it.")
    timeout_s: float = Field(
        20.0, gt=0, description="An answer, or the rest of one, that stalls this long is retried."
    )
    retry_s: float = Field(
        60.0,
        ge=0,
        description="A clip whose audio cannot be read for this long is an error row; all else is "
        "tried five times as long.",
    )
    readers: int = Field(16, ge=1, description="Threads that read audio ahead, per actor.")
    read_ahead_mb: int = Field(
        256,
        ge=1,
        description="What an actor holds of audio read and not decoded, in MiB, never exceeded; a "
        "larger file is an error row.",
    )

    @field_validator("endpoint_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        # The URL itself is in no message: it may hold what must not be printed.
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            named = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            named = False
        if not named:
            raise ValueError("expected http://host:port or https://host")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "a URL without user, password, query or fragment is expected; credentials come "
                "from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile"
            )
        return url

    @property
    def write_retry_s(self) -> float:
        return self.retry_s * _WRITE_PATIENCE


class FileInfo(NamedTuple):
    uri: str
    size_bytes: int


def protocol_of(uri: str) -> str:
    """The scheme of a URI, empty for a local path.

    Raises InputError where the URI holds a password.
    """
    scheme, divider, rest = uri.partition("://")
    if not divider:
        return ""
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and ":" in user:
        raise InputError(
            f"{scheme}://: the URI holds a password, which would be written into the run; "
            "credentials come from the environment or a profile"
        )
    return scheme


def open_filesystem(uri: str, settings: StorageConfig) -> tuple[Any, str]:
    """The filesystem of a remote URI, and the path by which it knows it.

    Raises InputError where its driver is not installed.
    """
    protocol = protocol_of(uri)
    options = _options(protocol, settings)
    try:
        if protocol not in S3_PROTOCOLS:
            return cast(tuple[Any, str], fsspec.core.url_to_fs(uri, **options))
        # Not by its URL: fsspec would read "::" in a key as a chain of filesystems.
        s3 = fsspec.filesystem(protocol, **options)
    except ImportError as error:
        package = _DRIVERS.get(protocol, f"fsspec's driver of {protocol}")
        raise InputError(
            f"{uri}: {protocol}:// needs the package {package}; install it on every machine of "
            f"the run: pip install {package}"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{uri}: no storage is called {protocol}://; expected s3, gs, az, hf or a local path"
        ) from error
    s3.retries = 1  # One loop retries and counts: `retrying`.
    return s3, uri.partition("://")[2]


def delta_options(uri: str, settings: StorageConfig) -> dict[str, str]:
    """Options of the Delta reader and writer, for this process alone: they may hold secrets."""
    if protocol_of(uri) not in S3_PROTOCOLS:
        return {}
    session = _session(settings)
    options = {
        "conditional_put": "etag",
        "max_retries": "100",
        "retry_timeout": f"{settings.write_retry_s * 1000:.0f}ms",
        **_native_options(session, settings),
    }
    if settings.profile and not settings.anonymous:
        # Delta does not know this machine's profiles by an option.
        options |= _keys(session, settings.profile)
    return options


def need_profile(settings: StorageConfig) -> None:
    """Raises InputError where the machine has no profile of the name that is asked for."""
    if settings.profile is None:
        return
    import botocore.session

    known = botocore.session.Session().available_profiles
    if settings.profile not in known:
        raise InputError(
            f"storage.profile: no profile {settings.profile!r} in this machine's AWS "
            f"configuration; found {', '.join(known) or 'none'}"
        )


class S3:
    """The few S3 requests that the engine makes, each retried and counted by `retrying`.

    Reading is what a run does most: it goes through `s3_read`, all else through s3fs.
    """

    def __init__(self, filesystem: Any, settings: StorageConfig) -> None:
        self._filesystem = filesystem
        self._settings = settings

    def get(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        reserve: Callable[[int], None] | None = None,
        patience_s: float | None = None,
        etag: str | None = None,
    ) -> bytes:
        """An object, or a range of it; `reserve` hears its size before its body is read."""
        bucket, key, _ = self._filesystem.split_path(path)
        if end is not None and end <= (start or 0):
            return b""
        return self._asking(
            path,
            lambda: s3_reader.get(self._reader(bucket), key, start, end, etag, reserve),
            patience_s,
        )

    def put(self, path: str, data: bytes, **options: Any) -> None:
        """As fsspec's `pipe_file`, in one request up to 100 MB."""
        self._asking(path, lambda: self._filesystem.pipe_file(path, data, **options))

    def head(self, path: str) -> tuple[int, str | None]:
        """Size and tag of an object. Raises FileNotFoundError."""
        bucket, key, _ = self._filesystem.split_path(path)
        return self._asking(path, lambda: s3_reader.head(self._reader(bucket), key))

    def exists(self, path: str) -> bool:
        """Whether there is such an object, or any below it as a folder."""
        bucket, key, _ = self._filesystem.split_path(path)
        if key.rstrip("/"):
            try:
                self._call(path, "head_object", Bucket=bucket, Key=key)
                return True
            except FileNotFoundError:
                pass
        prefix = f"{key.rstrip('/')}/" if key else ""
        try:
            page = self._call(path, "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
        except FileNotFoundError:
            return False
        return bool(page.get("Contents")) or not prefix

    def list(self, path: str) -> Iterator[FileInfo]:
        """The objects below a folder, page by page, in the order of S3, which is that of paths."""
        bucket, key, _ = self._filesystem.split_path(path)
        asked: dict[str, Any] = {"Bucket": bucket}
        if key:
            asked["Prefix"] = f"{key.rstrip('/')}/"
        while True:
            try:
                page = self._call(path, "list_objects_v2", **asked)
            except FileNotFoundError:  # no such bucket
                return
            for found in page.get("Contents", ()):
                # A key that ends so is the mark of an empty folder, as consoles make them.
                if not found["Key"].endswith("/"):
                    yield FileInfo(f"s3://{bucket}/{found['Key']}", int(found["Size"]))
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def _reader(self, bucket: str) -> S3Store:
        """The bucket's native client, one for all threads of this process."""
        settings = self._settings
        named = (os.environ.get("AWS_ENDPOINT_URL_S3"), os.environ.get("AWS_ENDPOINT_URL"))
        with _opening:
            if (store := _readers.get((bucket, settings, named))) is None:
                session = _session(settings)
                credentials = None if settings.anonymous else _credentials(session)
                options = _native_options(session, settings)
                if "AWS_ENDPOINT_URL" not in options:
                    options["AWS_REGION"] = self.region(bucket)
                store = s3_reader.open_bucket(bucket, options, credentials, settings.timeout_s)
                _readers[bucket, settings, named] = store
        return store

    def region(self, bucket: str) -> str:
        """Where AWS has a bucket, which it also tells those whom it lets see nothing of it."""
        try:
            answer = self._filesystem.call_s3("head_bucket", Bucket=bucket)
        except PermissionError as error:
            answer = getattr(error.__cause__, "response", {})
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(headers.get("x-amz-bucket-region", "us-east-1"))

    def _call(self, path: str, method: str, **asked: Any) -> dict[str, Any]:
        return self._asking(
            path, lambda: cast(dict[str, Any], self._filesystem.call_s3(method, **asked))
        )

    def _asking(self, path: str, work: Callable[[], T], patience_s: float | None = None) -> T:
        from botocore import exceptions as boto

        uri = f"s3://{path}"
        try:
            patience_s = self._settings.write_retry_s if patience_s is None else patience_s
            return retrying(uri, patience_s, work)
        except (boto.NoCredentialsError, boto.PartialCredentialsError) as error:
            raise InputError(
                f"{uri}: {error}; give credentials by the environment (AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY) or storage.profile, or set storage.anonymous: true"
            ) from error
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{uri}: no such object or bucket ({error})") from error
        except PermissionError as error:
            raise PermissionError(f"{uri}: access denied ({error})") from error


class S3File(io.RawIOBase):
    """An object as a seekable file: each read is one range of it, and retried as such."""

    def __init__(self, s3: S3, path: str) -> None:
        self._s3 = s3
        self._path = path
        self._size, self._etag = s3.head(path)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        data = self._s3.get(self._path, self._position, end, etag=self._etag)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _options(protocol: str, settings: StorageConfig) -> dict[str, Any]:
    if protocol in S3_PROTOCOLS:
        options: dict[str, Any] = {
            "anon": settings.anonymous,
            "requester_pays": settings.requester_pays,
            "use_listings_cache": False,
            "config_kwargs": {
                "connect_timeout": settings.timeout_s,
                "read_timeout": settings.timeout_s,
                "max_pool_connections": _CONNECTIONS,
                "retries": {"mode": "standard", "total_max_attempts": 1},
            },
        }
        if settings.endpoint_url:
            options["endpoint_url"] = settings.endpoint_url
        if settings.profile:
            options["profile"] = settings.profile
        if settings.region:
            options["client_kwargs"] = {"region_name": settings.region}
        return options
    if protocol in ("gs", "gcs"):
        anonymous = {"token": "anon"} if settings.anonymous else {}
        return {"requester_pays": settings.requester_pays, **anonymous}
    if protocol in ("az", "abfs", "abfss") and settings.anonymous:
        return {"anon": True}
    return {}


def _session(settings: StorageConfig) -> Any:
    """Botocore's view of this machine: its environment, profiles and roles."""
    import botocore.session

    return botocore.session.Session(profile=settings.profile)


def _native_options(session: Any, settings: StorageConfig) -> dict[str, str]:
    """How the native clients, ours and Delta's, reach the S3 that s3fs reaches."""
    options: dict[str, str] = {}
    region = settings.region or session.get_config_variable("region")
    if region:
        options["AWS_REGION"] = region
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    endpoint = settings.endpoint_url or named or session.get_scoped_config().get("endpoint_url")
    if endpoint:
        options["AWS_ENDPOINT_URL"] = endpoint
        options["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
    if settings.requester_pays:
        options["AWS_REQUEST_PAYER"] = "true"
    if settings.anonymous:
        options["AWS_SKIP_SIGNATURE"] = "true"
    return options


def _credentials(session: Any) -> Any:
    from botocore.exceptions import NoCredentialsError

    if (found := session.get_credentials()) is None:
        raise NoCredentialsError()
    return found


def _keys(session: Any, profile: str) -> dict[str, str]:
    """The keys of a profile as Delta is told them; in memory alone."""
    found = session.get_credentials()
    if found is None:
        raise InputError(f"storage.profile: no credentials in profile {profile!r}")
    keys = found.get_frozen_credentials()
    token = {"AWS_SESSION_TOKEN": keys.token} if keys.token else {}
    return {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        **token,
    }
