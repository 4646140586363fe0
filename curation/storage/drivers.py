"""Opens the fsspec filesystem of a URI with the options that the storage settings give."""

from typing import Any, cast

import fsspec

from curation.errors import InputError
from curation.storage.credentials import S3_PROTOCOLS
from curation.storage.settings import StorageConfig
from curation.uris import uri_scheme

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


def open_filesystem(uri: str, settings: StorageConfig) -> tuple[Any, str]:
    """Return the filesystem of a remote URI, and the file's path in this filesystem.

    Raises InputError if the driver is unknown or not installed.
    """
    protocol = uri_scheme(uri)
    options = _driver_options(protocol, settings)
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
    s3.retries = 1  # One loop retries and counts: `call_with_retries`.
    return s3, uri.partition("://")[2]


def _driver_options(protocol: str, settings: StorageConfig) -> dict[str, Any]:
    if protocol in S3_PROTOCOLS:
        return _s3_options(settings)
    if protocol in ("gs", "gcs"):
        anonymous = {"token": "anon"} if settings.anonymous else {}
        return {"requester_pays": settings.requester_pays, **anonymous}
    if protocol in ("az", "abfs", "abfss") and settings.anonymous:
        return {"anon": True}
    return {}


def _s3_options(settings: StorageConfig) -> dict[str, Any]:
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
