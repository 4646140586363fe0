"""The S3 requests of the engine, each retried and counted.

The native client of `s3_reader` reads objects. If it refuses an object's key, `s3_odd_keys` reads
the object. s3fs makes all other requests.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from obstore.store import S3Store

from curation.errors import InputError
from curation.storage import credentials, s3_reader
from curation.storage.local import FileInfo
from curation.storage.retry import Endpoint, call_with_retries
from curation.storage.s3_odd_keys import get_odd_object, head_odd_object, is_odd_key
from curation.storage.settings import StorageConfig

T = TypeVar("T")

# Native clients hold connections, so each is opened once: by bucket, settings and endpoints.
_readers: dict[tuple[str, StorageConfig, tuple[str | None, str | None]], S3Store] = {}
_opening = threading.Lock()
_endpoints: dict[tuple[StorageConfig, tuple[str | None, str | None]], Endpoint] = {}


class S3Client:
    """Reads, writes and lists objects by the paths that s3fs uses, `bucket/key`."""

    def __init__(self, filesystem: Any, settings: StorageConfig) -> None:
        self._filesystem = filesystem
        self._settings = settings

    def get(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        reserve: Callable[[int], None] | None = None,
        timeout_s: float | None = None,
        etag: str | None = None,
    ) -> bytes:
        """Read an object, or a range of it; `reserve` receives the size before the body is read.

        Args:
            timeout_s: how long faults are retried; None for `run_retry_timeout_s`.
            etag: the expected version; an object of another version is an error.
        """
        bucket, key = self._split(path)
        if end is not None and end <= (start or 0):
            return b""

        def get() -> bytes:
            if is_odd_key(key):
                return get_odd_object(self._filesystem, bucket, key, start, end, etag, reserve)
            return s3_reader.get_object(self._reader(bucket), key, start, end, etag, reserve)

        return self._retry(path, get, timeout_s)

    def put(self, path: str, data: bytes, **options: Any) -> None:
        """Write an object as fsspec's `pipe_file` does, in one request up to 100 MB."""
        self._retry(path, lambda: self._filesystem.pipe_file(path, data, **options))

    def head(self, path: str) -> tuple[int, str | None]:
        """Return the size and the tag of an object. Raises FileNotFoundError."""
        bucket, key = self._split(path)

        def head() -> tuple[int, str | None]:
            if is_odd_key(key):
                return head_odd_object(self._filesystem, bucket, key)
            return s3_reader.head_object(self._reader(bucket), key)

        return self._retry(path, head)

    def exists(self, path: str) -> bool:
        """Whether there is such an object, or a folder with objects."""
        bucket, key = self._split(path)
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

    def require_contact(self, path: str) -> None:
        """Make one request if the endpoint has not answered yet. Raises RetriesExhausted."""
        endpoint = self._endpoint()
        if endpoint and not endpoint.reached:
            self.exists(path)

    def list_objects(self, path: str) -> Iterator[FileInfo]:
        """List the objects below a folder, page by page, sorted by path as S3 does."""
        bucket, key = self._split(path)
        parameters: dict[str, Any] = {"Bucket": bucket}
        if key:
            parameters["Prefix"] = f"{key.rstrip('/')}/"
        while True:
            try:
                page = self._call(path, "list_objects_v2", **parameters)
            except FileNotFoundError:  # no such bucket
                return
            for entry in page.get("Contents", ()):
                # Consoles mark an empty folder by a key that ends in a slash.
                if not entry["Key"].endswith("/"):
                    yield FileInfo(f"s3://{bucket}/{entry['Key']}", int(entry["Size"]))
            if not page.get("IsTruncated"):
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    def _split(self, path: str) -> tuple[str, str]:
        """Bucket and key."""
        # A key may hold what s3fs reads as the version of an object.
        name, mark, rest = path.partition("?versionId=")
        bucket, key, _ = self._filesystem.split_path(name)
        return bucket, key + mark + rest

    def region(self, bucket: str) -> str:
        """Return the AWS region of a bucket; AWS also answers callers without access to it."""
        try:
            answer = self._filesystem.call_s3("head_bucket", Bucket=bucket)
        except PermissionError as error:
            answer = getattr(error.__cause__, "response", {})
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(headers.get("x-amz-bucket-region", "us-east-1"))

    def _reader(self, bucket: str) -> S3Store:
        """The bucket's native client, one for all threads of this process."""
        settings = self._settings
        key = (bucket, settings, credentials.endpoints_of_environment())
        with _opening:
            if (reader := _readers.get(key)) is None:
                session = credentials.open_session(settings)
                signer = None if settings.anonymous else credentials.find_credentials(session)
                options = credentials.native_client_options(session, settings)
                if "AWS_ENDPOINT_URL" not in options:
                    options["AWS_REGION"] = self.region(bucket)
                reader = s3_reader.open_bucket(bucket, options, signer, settings.timeout_s)
                _readers[key] = reader
        return reader

    def _endpoint(self) -> Endpoint | None:
        if credentials.are_inherited(self._settings):
            return None
        key = (self._settings, credentials.endpoints_of_environment())
        with _opening:
            if key not in _endpoints:
                _endpoints[key] = Endpoint(credentials.endpoint_name(self._settings))
            return _endpoints[key]

    def _call(self, path: str, method: str, **parameters: Any) -> dict[str, Any]:
        return self._retry(
            path, lambda: cast(dict[str, Any], self._filesystem.call_s3(method, **parameters))
        )

    def _retry(self, path: str, call: Callable[[], T], timeout_s: float | None = None) -> T:
        from botocore import exceptions as boto

        uri = f"s3://{path}"
        try:
            return call_with_retries(
                uri,
                self._settings.run_retry_timeout_s if timeout_s is None else timeout_s,
                call,
                self._endpoint(),
            )
        except (boto.NoCredentialsError, boto.PartialCredentialsError) as error:
            raise InputError(
                f"{uri}: {error}; give credentials by the environment (AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY) or storage.profile, or set storage.anonymous: true"
            ) from error
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{uri}: no such object or bucket ({error})") from error
        except PermissionError as error:
            raise PermissionError(f"{uri}: access denied ({error})") from error
