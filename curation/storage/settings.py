"""The `storage:` section of a YAML, with the settings of object storage. No I/O."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from curation.section import Section
from curation.storage.retry import READ_RETRY_TIMEOUT_S, RUN_TIMEOUT_FACTOR


class StorageConfig(Section):
    """Settings for access to object storage. They contain no secrets: see docs/storage.md."""

    endpoint_url: str | None = Field(
        None,
        description="URL of an S3 other than AWS's, without credentials; null: AWS_ENDPOINT_URL.",
    )
    profile: str | None = Field(
        None, description="Profile of the AWS configuration, on every machine; null: AWS_PROFILE."
    )
    region: str | None = Field(None, description="AWS region; null: AWS_DEFAULT_REGION.")
    anonymous: bool = Field(False, description="Send unsigned requests: public buckets only.")
    requester_pays: bool = Field(
        False, description="Pay for requests to buckets that require the requester to pay."
    )
    timeout_s: float = Field(
        20.0, gt=0, description="A request that receives nothing for this long is retried."
    )
    read_retry_timeout_s: float = Field(
        READ_RETRY_TIMEOUT_S,
        ge=0,
        description="A clip whose audio cannot be read for this long becomes an error row; all "
        "other requests are retried five times as long.",
    )
    readers: int = Field(16, ge=1, description="Threads that read audio ahead, per worker.")
    read_ahead_mb: int = Field(
        256,
        ge=1,
        description="Upper bound, in MiB, of the encoded audio that a worker has read and not "
        "decoded; a larger file becomes an error row. Cached row groups of Parquet "
        "catalogs come on top.",
    )

    @field_validator("endpoint_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        # The URL is left out of the messages: it may hold a secret.
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            valid = False
        if not valid:
            raise ValueError("expected http://host:port or https://host")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "a URL without user, password, query or fragment is expected; credentials come "
                "from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile"
            )
        return url

    @property
    def run_retry_timeout_s(self) -> float:
        """Retry timeout in seconds of requests on which a whole shard or run depends."""
        return self.read_retry_timeout_s * RUN_TIMEOUT_FACTOR
