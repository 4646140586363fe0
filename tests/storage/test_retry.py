"""Faults of storage by their kind: those of the clients, without importing the clients for it."""

import subprocess
import sys
from concurrent.futures import Future

import aiohttp
import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from fsspec.exceptions import FSTimeoutError

from curation.storage.retry import RetriesExhausted, call_with_retries, classify_fault

URL = {"endpoint_url": "http://127.0.0.1:9", "error": "refused"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EOFError(), "truncated"),
        (aiohttp.ClientPayloadError(), "truncated"),
        (boto.ResponseStreamingError(error="cut"), "truncated"),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), "truncated"),
        (boto.FlexibleChecksumError(error_msg="differs"), "truncated"),
        (ResponseParserError("no XML"), "truncated"),
        (TimeoutError(), "timeout"),
        (FSTimeoutError(), "timeout"),
        (boto.ReadTimeoutError(**URL), "timeout"),
        (boto.ConnectTimeoutError(**URL), "timeout"),
        (ConnectionResetError(), "connection"),
        (boto.EndpointConnectionError(**URL), "connection"),
        (boto.ConnectionClosedError(**URL), "connection"),
        (boto.HTTPClientError(error="reset"), "connection"),
        (aiohttp.ServerDisconnectedError(), "connection"),
        (OSError("disk full"), None),
        (PermissionError(), None),
        (boto.NoCredentialsError(), None),
        (ValueError(), None),
    ],
)
def test_an_error_of_a_client_has_a_kind(error: Exception, kind: str | None) -> None:
    assert classify_fault(error) == kind
    raised = OSError("wrapped")
    raised.__cause__ = error
    assert classify_fault(raised) == kind


def test_a_fault_that_lasts_is_raised_with_its_kind() -> None:
    refused: Future[None] = Future()
    refused.set_exception(ConnectionRefusedError("no one listens"))
    with pytest.raises(RetriesExhausted, match="s3://b/k: connection, again and again") as caught:
        call_with_retries("s3://b/k", 0, refused.result)
    assert caught.value.kind == "connection"


def test_no_client_is_imported_to_classify_an_error_that_is_not_theirs() -> None:
    program = """
import sys
from curation.storage.retry import classify_fault
assert classify_fault(OSError("disk full")) is None
assert classify_fault(ConnectionResetError()) == "connection"
assert not {"aiohttp", "botocore", "fsspec"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
