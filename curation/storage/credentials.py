"""Finds credentials, endpoint and region in this machine's AWS configuration.

Secrets come from the environment, a profile, or the machine's role, and never leave this process.
"""

import os
from typing import Any

from curation.errors import InputError
from curation.storage.settings import StorageConfig
from curation.uris import uri_scheme

S3_PROTOCOLS = ("s3", "s3a")

# Settings that another process passed to this one: their endpoint was reached there.
_inherited: set[StorageConfig] = set()


def inherit_settings(settings: StorageConfig) -> None:
    """Record that another process uses these settings already.

    Their endpoint is therefore right. If it does not answer, it is down.
    """
    _inherited.add(settings)


def are_inherited(settings: StorageConfig) -> bool:
    """Whether another process was recorded as using these settings."""
    return settings in _inherited


def check_profile(settings: StorageConfig) -> None:
    """Raise InputError if this machine has no profile of the configured name."""
    if settings.profile is None:
        return
    import botocore.session

    known = botocore.session.Session().available_profiles
    if settings.profile not in known:
        raise InputError(
            f"storage.profile: no profile {settings.profile!r} in this machine's AWS "
            f"configuration; found {', '.join(known) or 'none'}"
        )


def open_session(settings: StorageConfig) -> Any:
    """Open a botocore session with this machine's environment, profiles and roles."""
    import botocore.session

    return botocore.session.Session(profile=settings.profile)


def find_credentials(session: Any) -> Any:
    """Return botocore's credentials. Raises NoCredentialsError if the machine has none."""
    from botocore.exceptions import NoCredentialsError

    if (credentials := session.get_credentials()) is None:
        raise NoCredentialsError()
    return credentials


def endpoints_of_environment() -> tuple[str | None, str | None]:
    """Return the endpoints that the environment sets for S3, and for all AWS services."""
    return os.environ.get("AWS_ENDPOINT_URL_S3"), os.environ.get("AWS_ENDPOINT_URL")


def native_client_options(session: Any, settings: StorageConfig) -> dict[str, str]:
    """Return options for the native clients (obstore, Delta Lake).

    With these options they use the same S3 as s3fs.
    """
    options: dict[str, str] = {}
    region = settings.region or session.get_config_variable("region")
    if region:
        options["AWS_REGION"] = region
    if endpoint := _endpoint_url(session, settings):
        options["AWS_ENDPOINT_URL"] = endpoint
        options["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
    if settings.requester_pays:
        options["AWS_REQUEST_PAYER"] = "true"
    if settings.anonymous:
        options["AWS_SKIP_SIGNATURE"] = "true"
    return options


def endpoint_name(settings: StorageConfig) -> str:
    """Return the endpoint's URL for messages, or a name for AWS's own endpoint."""
    return _endpoint_url(open_session(settings), settings) or "S3 of AWS, its default endpoint"


def _endpoint_url(session: Any, settings: StorageConfig) -> str | None:
    of_s3, of_all = endpoints_of_environment()
    configured = session.get_scoped_config().get("endpoint_url")
    return settings.endpoint_url or of_s3 or of_all or configured


def delta_client_options(uri: str, settings: StorageConfig) -> dict[str, str]:
    """Return options of Delta Lake's client, for this process only: they may contain secrets."""
    if uri_scheme(uri) not in S3_PROTOCOLS:
        return {}
    session = open_session(settings)
    options = {
        "conditional_put": "etag",
        "max_retries": "100",
        "retry_timeout": f"{settings.run_retry_timeout_s * 1000:.0f}ms",
        **native_client_options(session, settings),
    }
    if settings.profile and not settings.anonymous:
        # Delta has no option for a profile of this machine.
        options |= _profile_keys(session, settings.profile)
    return options


def _profile_keys(session: Any, profile: str) -> dict[str, str]:
    """The keys of a profile as options of Delta; kept in memory only."""
    credentials = session.get_credentials()
    if credentials is None:
        raise InputError(f"storage.profile: no credentials in profile {profile!r}")
    keys = credentials.get_frozen_credentials()
    token = {"AWS_SESSION_TOKEN": keys.token} if keys.token else {}
    return {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        **token,
    }
