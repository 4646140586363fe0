"""Object storage that misbehaves, and how it is reached: faults are retried, counted, bounded."""

import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
import s3fs

from curation import table
from curation.errors import InputError
from curation.run import config_file
from curation.storage import retry, s3
from curation.storage.files import Storage
from curation.storage.settings import StorageConfig
from curation.uris import uri_scheme
from tests.config.test_run_yaml import MINIMAL
from tests.support.fault_proxy import Disturbed, Rates, disturbing
from tests.support.moto_server import S3_SECRET
from tests.support.rados_gateway import ACCESS_KEY, Gateway


def reach(proxy: Disturbed, **settings: object) -> Storage:
    values = {"timeout_s": 1.0, "read_retry_timeout_s": 30.0, **settings}
    return Storage(StorageConfig(endpoint_url=proxy.url, **values))


# --- faults


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("slow_down", {"throttled"}),
        ("reset", {"connection"}),
        ("lost", {"connection"}),
        ("cut", {"truncated", "connection"}),
        ("stall", {"timeout", "connection"}),
    ],
)
def test_every_request_comes_right_through_faults_and_they_are_counted(
    s3_server: str, s3_folder: str, fault: str, kinds: set[str]
) -> None:
    with disturbing(s3_server, Rates(**{fault: 0.3}), seed=5, stall_s=1.0) as proxy:
        storage = reach(proxy, timeout_s=0.5 if fault == "stall" else 5.0)
        uris = [f"{s3_folder}/a/{index}.bin" for index in range(3)]
        with retry.count_faults() as faults:
            for index, uri in enumerate(uris):
                data = b"%d" % index * 100_000
                assert storage.put_new(uri, data) is True, "a lost answer is no other's file"
                assert storage.put_new(uri, b"other") is False
                assert storage.read_bytes(uri) == data
                assert storage.read_bytes(uri, 10, 20) == data[10:20]
                assert storage.exists(uri) and not storage.exists(uri + "x")
                with storage.open_input(uri) as file:
                    assert file.read() == data
            assert [file.uri for file in storage.list_files(s3_folder)] == uris
            storage.put(uris[0], b"new")
            storage.delete(uris[1])
            storage.delete_tree(f"{s3_folder}/a")
            assert list(storage.list_files(s3_folder)) == []
        done = proxy.counts()
    assert set(faults) <= kinds and faults, faults
    # Of the others some are repeated by the HTTP client itself, or do no harm: an answer without a
    # body cannot be cut.
    if fault == "slow_down":
        assert faults["throttled"] == done[fault]


def test_the_table_is_committed_and_read_through_faults(s3_server: str, s3_folder: str) -> None:
    rows = pa.table({"clip_id": ["a", "b"], "rank": pa.array([1, 1], pa.int32())})
    rates = Rates(slow_down=0.1, reset=0.1, lost=0.1, cut=0.1)
    with disturbing(s3_server, rates, seed=2) as proxy:
        storage = reach(proxy)
        for index in range(3):
            lineage = {"made": index}
            version = table.commit_table(
                storage, f"{s3_folder}/t", rows.schema, rows.to_batches, lineage
            )
            assert (version.version, version.lineage) == (index, lineage)
            assert table.read_pairs(storage, f"{s3_folder}/t").equals(rows)
        done = proxy.counts()
        assert all(done[fault] for fault in ("slow_down", "reset", "lost", "cut")), done


def test_what_keeps_failing_is_given_up_after_its_time(s3_server: str, s3_folder: str) -> None:
    storage = Storage()
    storage.put(f"{s3_folder}/broken.wav", b"x")
    storage.put(f"{s3_folder}/whole.wav", b"y")
    with disturbing(s3_server, Rates(), broken="broken") as proxy:
        storage = reach(proxy, read_retry_timeout_s=1.0)
        before = retry.fault_totals().get(retry.GIVEN_UP, 0)
        with pytest.raises(
            retry.RetriesExhausted, match="broken.wav: throttled.* 1 s: .*reduce"
        ) as raised:
            storage.read_audio_bytes(f"{s3_folder}/broken.wav", lambda size: None)
        assert raised.value.kind == "throttled" and isinstance(raised.value, OSError)
        assert retry.fault_totals()[retry.GIVEN_UP] == before + 1
        assert 3 <= proxy.counts()["slow_down"] <= 40, "tried again, and backed off between"
        assert storage.read_bytes(f"{s3_folder}/whole.wav") == b"y"


def test_a_write_is_retried_longer_than_a_read(s3_server: str, s3_folder: str) -> None:
    with disturbing(s3_server, Rates(), broken="broken") as proxy:
        storage = reach(proxy, read_retry_timeout_s=0.4)
        with pytest.raises(retry.RetriesExhausted, match="for 0.4 s"):
            storage.read_audio_bytes(f"{s3_folder}/broken", lambda size: None)
        with pytest.raises(retry.RetriesExhausted, match="for 2 s"):
            storage.put_new(f"{s3_folder}/broken", b"x")


def test_a_server_that_comes_back_was_only_away(rados_gateway: Gateway, rados_folder: str) -> None:
    storage = Storage()
    storage.put(f"{rados_folder}/a", b"x")
    rados_gateway.stop()
    with ThreadPoolExecutor(2) as threads, retry.count_faults():
        reading = threads.submit(storage.read_bytes, f"{rados_folder}/a")
        writing = threads.submit(storage.put_new, f"{rados_folder}/b", b"y")
        time.sleep(1.0)
        assert not reading.done() and not writing.done()
        rados_gateway.start()
        assert reading.result() == b"x" and writing.result() is True
    assert storage.read_bytes(f"{rados_folder}/b") == b"y"


@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid:9000"])
def test_an_endpoint_that_never_answered_is_given_up_at_once_and_named(
    host: str, s3_folder: str, tmp_path: Path
) -> None:
    storage = Storage(StorageConfig(endpoint_url=f"http://{host}"))
    calls: list[Callable[[], object]] = [
        lambda: storage.read_bytes(f"{s3_folder}/a"),
        lambda: storage.put(f"{s3_folder}/a", b"x"),
        lambda: list(storage.list_files(s3_folder)),
        lambda: table.read_pairs(storage, f"{s3_folder}/t"),
    ]
    with ThreadPoolExecutor(len(calls)) as threads:
        raised = [each.exception() for each in [threads.submit(call) for call in calls]]
    for error in raised:
        assert isinstance(error, retry.RetriesExhausted) and error.kind == "connection"
        assert f"no connection to http://{host} (" in str(error)
        assert "storage.endpoint_url" in str(error)


def test_storage_that_another_process_uses_is_waited_for(s3_folder: str) -> None:
    settings = StorageConfig(endpoint_url="http://127.0.0.1:9", read_retry_timeout_s=1.7)
    handed = pickle.loads(pickle.dumps(Storage(settings)))
    with pytest.raises(retry.RetriesExhausted, match="connection, again and again for 8.5 s"):
        handed.read_bytes(f"{s3_folder}/a")


def test_what_will_be_the_same_next_time_is_not_retried(s3_folder: str) -> None:
    storage = Storage()
    with retry.count_faults() as faults:
        with pytest.raises(FileNotFoundError):
            storage.read_bytes(f"{s3_folder}/nothing")
        with pytest.raises(FileNotFoundError):
            storage.read_bytes("s3://no-such-bucket-there/nothing")
        assert storage.put_new(f"{s3_folder}/a", b"x") and not storage.put_new(
            f"{s3_folder}/a", b""
        )
    assert not faults


def test_the_waits_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", waits.append)

    def work() -> None:
        if len(waits) % 10 < 9:
            raise ConnectionResetError
        waits.append(0)

    for _ in range(40):
        retry.call_with_retries("a", 1000.0, work)
    rounds = [waits[start : start + 9] for start in range(0, 400, 10)]
    for attempt in range(9):
        drawn = [each[attempt] for each in rounds]
        limit_s = min(retry.BACKOFF_MAX_S, retry.BACKOFF_S * 2**attempt)
        assert 0 <= min(drawn) < 0.3 * limit_s and 0.7 * limit_s < max(drawn) <= limit_s


# --- listing


def test_the_wait_is_bounded_after_thousands_of_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", waits.append)

    def fail() -> None:
        if len(waits) < 3000:
            raise ConnectionResetError

    retry.call_with_retries("a", 1e9, fail)
    assert len(waits) == 3000 and 9.0 < max(waits) <= retry.BACKOFF_MAX_S


def test_a_listing_is_requested_page_by_page(s3_server: str, s3_folder: str) -> None:
    storage = Storage()
    names = [f"{s3_folder}/many/{index:04d}" for index in range(1100)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda uri: storage.put(uri, b""), names))
    with disturbing(s3_server, Rates()) as proxy:
        storage = reach(proxy)
        listing = storage.list_files(f"{s3_folder}/many")
        assert next(listing).uri == names[0]
        assert proxy.counts()["requests"] == 1
        assert [file.uri for file in listing] == names[1:]
        assert proxy.counts()["requests"] == 2


# --- how it is reached


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that knows of no credentials and no endpoint."""
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_profile_and_an_endpoint_are_all_that_a_run_names(
    rados_gateway: Gateway,
    rados_folder: str,
    no_environment: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = Storage(StorageConfig(endpoint_url=rados_gateway.url))
    with pytest.raises(InputError, match="credentials.*storage.profile"):
        storage.read_bytes(f"{rados_folder}/a")
    with pytest.raises(InputError, match="no profile 'curator'.*found none"):
        Storage(StorageConfig(profile="curator"))
    keys = tmp_path / "credentials"
    keys.write_text(
        f"[curator]\naws_access_key_id = {ACCESS_KEY}\n"
        f"aws_secret_access_key = {rados_gateway.secret}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    storage = Storage(
        StorageConfig(endpoint_url=rados_gateway.url, profile="curator", region="us-east-1")
    )
    storage.put(f"{rados_folder}/a", b"x")
    assert storage.read_bytes(f"{rados_folder}/a") == b"x"
    rows = pa.table({"clip_id": ["a"], "rank": pa.array([1], pa.int32())})
    table.commit_table(storage, f"{rados_folder}/t", rows.schema, rows.to_batches, {})
    assert table.read_pairs(storage, f"{rados_folder}/t").equals(rows)


def test_an_anonymous_reader_reads_what_is_public_and_nothing_else(
    rados_gateway: Gateway, rados_folder: str, request: pytest.FixtureRequest
) -> None:
    owner = s3fs.S3FileSystem()
    owner.pipe_file(f"{rados_folder}/public", b"x", ACL="public-read")
    owner.pipe_file(f"{rados_folder}/private", b"y")
    request.getfixturevalue("no_environment")
    storage = Storage(StorageConfig(endpoint_url=rados_gateway.url, anonymous=True))
    assert storage.read_bytes(f"{rados_folder}/public") == b"x"
    with pytest.raises(PermissionError, match=f"{rados_folder}/private: access denied"):
        storage.read_bytes(f"{rados_folder}/private")


def test_the_region_of_a_bucket_is_requested_from_aws(s3_server: str, s3_folder: str) -> None:
    bucket = f"{s3_folder.removeprefix('s3://')}-far"
    there = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
    filesystem = s3fs.S3FileSystem()
    filesystem.call_s3("create_bucket", Bucket=bucket, **there)
    assert s3.S3Client(filesystem, StorageConfig()).region(bucket) == "eu-central-1"


ODD_KEYS = [
    "a//b", "a/./b", "a/../b", "/a", "./a", "..a", "a\\b", "a\tb", "\x01x", "a/\x7fz", " a b ",
    "e\u0301", "\u00e9\u2603", "a%2Fb", "a?b#c", "a+b", "a::b", "a?versionId=3",
    "{a}^b~[c]|`<>\"", ".hidden",
]  # fmt: skip


@pytest.mark.parametrize("place", ["s3_folder", "rados_folder"])
def test_an_object_is_listed_and_read_whatever_its_key(
    place: str, request: pytest.FixtureRequest
) -> None:
    folder, storage = request.getfixturevalue(place), Storage()
    owner = s3fs.S3FileSystem()
    for key in ODD_KEYS:
        owner.call_s3("put_object", Bucket=folder[5:], Key=key, Body=key.encode())
    listed = [file.uri.removeprefix(f"{folder}/") for file in storage.list_files(folder)]
    assert sorted(listed) == sorted(ODD_KEYS)
    sizes: list[int] = []
    for key in ODD_KEYS:
        uri, data = f"{folder}/{key}", key.encode()
        assert storage.exists(uri)
        assert storage.read_bytes(uri) == storage.read_audio_bytes(uri, sizes.append) == data
        assert storage.read_bytes(uri, 1, 3) == data[1:3]
        with storage.open_input(uri) as file:
            assert file.read() == data
        with pytest.raises(FileNotFoundError):
            storage.read_bytes(f"{uri}-other")
    assert sizes == [len(key.encode()) for key in ODD_KEYS]


def test_an_odd_key_is_read_through_faults(s3_server: str, s3_folder: str) -> None:
    s3fs.S3FileSystem().call_s3("put_object", Bucket=s3_folder[5:], Key="a//b", Body=b"x" * 9999)
    rates = Rates(slow_down=0.2, reset=0.2, lost=0.1, cut=0.2)
    with disturbing(s3_server, rates, seed=4) as proxy:
        storage = reach(proxy)
        for _ in range(10):
            assert storage.read_bytes(f"{s3_folder}/a//b") == b"x" * 9999
        assert proxy.counts()["cut"]


def test_a_wrong_secret_is_refused(rados_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(PermissionError, match="access denied"):
        storage.read_bytes(f"{rados_folder}/a")


def test_who_pays_is_said_in_every_request(s3_server: str, s3_folder: str) -> None:
    with disturbing(s3_server, Rates()) as proxy:
        storage = reach(proxy, requester_pays=True)
        storage.put(f"{s3_folder}/a", b"x")
        storage.read_bytes(f"{s3_folder}/a")
        list(storage.list_files(s3_folder))
        counts = proxy.counts()
        assert counts["requester pays"] == counts["requests"] == 3


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"endpoint_url": f"http://me:{S3_SECRET}@host:9000"}, "without user, password"),
        ({"endpoint_url": f"https://host?key={S3_SECRET}"}, "without user, password"),
        ({"endpoint_url": "host:9000"}, "http://host:port"),
        ({"secret_access_key": S3_SECRET}, "unknown key 'storage.secret_access_key'"),
        ({"read_ahead_mb": 0}, "greater than or equal to 1"),
    ],
)
def test_a_section_that_cannot_be_is_refused_and_no_secret_is_repeated(
    section: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        config_file.parse_run_config({**MINIMAL, "storage": section}, "run.yaml")
    assert S3_SECRET not in str(raised.value)


def test_a_password_in_a_path_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="holds a password") as raised:
        config_file.parse_run_config(
            {**MINIMAL, "run": f"s3://me:{S3_SECRET}@bucket/run"}, "run.yaml"
        )
    assert S3_SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("gs://bucket/a", "gs:// needs the package gcsfs; install it .*: pip install gcsfs"),
        ("az://container/a", "az:// needs the package adlfs"),
        ("tape://a/b", "no storage is called tape://; expected s3, gs, az, hf or a local path"),
    ],
)
def test_a_storage_without_its_driver_is_named(
    uri: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage()
    # Whatever is installed here: as if these two were not.
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    monkeypatch.setitem(__import__("sys").modules, "adlfs", None)
    with pytest.raises(InputError, match=message):
        storage.read_bytes(uri)


def test_the_hub_has_its_driver() -> None:
    storage = Storage()
    _, path = storage.resolve_remote("hf://datasets/owner/name/data/a.parquet")
    assert path == "datasets/owner/name/data/a.parquet"


def test_where_storage_is_does_not_change_what_a_run_says() -> None:
    section = {"endpoint_url": "http://127.0.0.1:9000", "read_retry_timeout_s": 5}
    placed = config_file.parse_run_config({**MINIMAL, "storage": section}, "a")
    assert placed.storage.endpoint_url == section["endpoint_url"]
    assert (
        placed.evidence_settings() == config_file.parse_run_config(MINIMAL, "b").evidence_settings()
    )


def test_delta_gets_no_options_for_a_local_table(tmp_path: Path) -> None:
    storage = Storage()
    assert storage.delta_options(str(tmp_path)) is None


def test_an_answer_of_any_driver_has_a_kind() -> None:
    class Answered(OSError):
        def __init__(self, **fields: object) -> None:
            self.__dict__.update(fields)

    of: Callable[[BaseException], str | None] = retry.classify_fault
    assert of(Answered(code=429)) == of(Answered(status_code=503)) == "throttled"
    assert of(Answered(status_code=500)) == "server"
    assert of(Answered(code=404)) is None and of(OSError("disk full")) is None
    assert of(FileNotFoundError()) is None
    assert uri_scheme("abfs://container@account/a") == "abfs"
