"""The engine on object storage: a catalog, a run folder and a table in a bucket."""

from pathlib import Path

import pyarrow as pa

from curation import table
from curation.config.run import RunConfig
from curation.ops import status, verify
from curation.run import evidence
from curation.run.layout import RunFolder, table_uri
from curation.select import apply
from curation.storage.files import Storage
from curation.storage.settings import StorageConfig
from tests.support import in_process
from tests.support.fault_proxy import Rates, disturbing
from tests.support.rados_gateway import RADOS_SECRET
from tests.support.runs import corpus_run

SELECT = {"top_fraction": 0.5}


def ran(config: RunConfig) -> RunConfig:
    """Run a configuration in this process, and verify it; `test_security` has the command do it."""
    in_process.annotate_in_process(config)
    apply.select_pairs(config)
    assert verify.verify_run(RunFolder(config.run)) == []
    return config


def evidence_of(config: RunConfig) -> pa.Table:
    """All evidence but where the audio lies."""
    shards = evidence.list_done_shards(RunFolder(config.run))
    return pa.concat_tables(
        evidence.read_evidence_shards(RunFolder(config.run), shards)
    ).drop_columns("uri")


def run_in(bucket: str, corpus: Path, **sections: object) -> RunConfig:
    """The same run with all of it in a bucket; the corpus is put there."""
    for path in corpus.rglob("*.*"):
        Storage().put(f"{bucket}/corpus/{path.relative_to(corpus)}", path.read_bytes())
    catalog = {
        "kind": "audioset",
        "segments": f"{bucket}/corpus/segments_noisy.csv",
        "audio": f"{bucket}/corpus/audio",
    }
    # One actor: each more loads the models anew.
    annotate = {"shard_clips": 10, "actors": 1}
    config = corpus_run(
        corpus, Path("/"), select=SELECT, catalog=catalog, annotate=annotate, **sections
    )
    return config.model_copy(update={"run": f"{bucket}/run"})


def test_a_run_in_a_bucket_says_what_a_local_run_says(
    corpus: Path, rados_folder: str, undisturbed: RunConfig
) -> None:
    remote = ran(run_in(rados_folder, corpus))
    assert evidence_of(remote).equals(evidence_of(undisturbed))
    uris = pa.concat_tables(evidence.read_evidence_shards(RunFolder(remote.run), [0, 1, 2, 3]))[
        "uri"
    ].to_pylist()
    assert all(uri.startswith(rados_folder) for uri in uris)
    pairs = table.read_pairs(Storage(), table_uri(remote.run))
    assert pairs["caption"].equals(
        table.read_pairs(Storage(), table_uri(undisturbed.run))["caption"]
    )
    for file in Storage().list_files(remote.run):
        assert RADOS_SECRET.encode() not in Storage().read_bytes(file.uri), file.uri


def test_a_run_through_faults_has_equal_rows_and_counts_them(
    corpus: Path, s3_server: str, s3_folder: str, undisturbed: RunConfig
) -> None:
    # Of forty sounds hardly ever all escape a fault of a sixth.
    rates = Rates(slow_down=0.16, reset=0.04, lost=0.04, cut=0.16, stall=0.01)
    with disturbing(s3_server, rates, seed=11, stall_s=3.0) as proxy:
        section = {"endpoint_url": proxy.url, "timeout_s": 2.0}
        remote = ran(run_in(s3_folder, corpus, storage=section))
        done = proxy.counts()
    assert all(done[fault] for fault in ("slow_down", "reset", "lost", "cut")), done
    assert evidence_of(remote).equals(evidence_of(undisturbed))
    pairs = table.read_pairs(Storage(), table_uri(remote.run))
    assert pairs["caption"].equals(
        table.read_pairs(Storage(), table_uri(undisturbed.run))["caption"]
    )
    faults = status.read_status(RunFolder(remote.run)).counts.faults
    assert {"throttled", "truncated"} <= set(faults), faults
    assert sum(faults.values()) <= done.total() - done["requests"]


def test_audio_that_never_comes_is_one_error_row(
    corpus: Path, s3_server: str, s3_folder: str
) -> None:
    config = run_in(s3_folder, corpus)
    (broken,) = [
        file.uri for file in list(Storage().list_files(f"{s3_folder}/corpus/audio"))[17:18]
    ]
    with disturbing(s3_server, Rates(), broken=broken.rpartition("/")[2]) as proxy:
        section = StorageConfig(endpoint_url=proxy.url, read_retry_timeout_s=1.0)
        ran(config.model_copy(update={"storage": section}))
    rows = pa.concat_tables(
        evidence.read_evidence_shards(RunFolder(config.run), [0, 1, 2, 3])
    ).to_pylist()
    (failed,) = [row for row in rows if row["outcome"] == "error"]
    assert failed["uri"] == broken
    assert (failed["error"]["stage"], failed["error"]["type"]) == ("read", "throttled")
    assert len(rows) == 40 and status.read_status(RunFolder(config.run)).counts.errors == {
        "read/throttled": 1
    }
    assert status.read_status(RunFolder(config.run)).counts.faults["given_up"] == 1
