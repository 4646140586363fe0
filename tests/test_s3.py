"""The engine on object storage: a catalog, a run folder and a table in a bucket."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import yaml

from curation import sink, storage, table
from curation.config import RunConfig
from curation.run import table_uri
from tests.conftest import S3_SECRET, corpus_run


def ran(config: RunConfig, folder: Path) -> RunConfig:
    """Run and verify a configuration by the commands, in processes that see the environment."""
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    for command in ("run", "verify"):
        arguments = [Path(sys.executable).parent / "tagscribe", command, path, "--quiet"]
        subprocess.run(arguments, check=True, timeout=300)
    return config


def test_a_run_in_a_bucket_says_what_a_local_run_says(
    corpus: Path, tmp_path: Path, s3_folder: str
) -> None:
    for path in corpus.rglob("*.*"):
        storage.put(f"{s3_folder}/corpus/{path.relative_to(corpus)}", path.read_bytes())
    catalog = {
        "kind": "audioset",
        "segments": f"{s3_folder}/corpus/segments_noisy.csv",
        "audio": f"{s3_folder}/corpus/audio",
    }
    select = {"keep_top": 0.5}
    local = ran(corpus_run(corpus, tmp_path / "run", select=select), tmp_path)
    remote = ran(
        corpus_run(corpus, tmp_path, select=select, catalog=catalog).model_copy(
            update={"run": f"{s3_folder}/run"}
        ),
        tmp_path,
    )
    there, here = (
        pa.concat_tables(sink.read_shards(each.run, [0, 1, 2, 3])) for each in (remote, local)
    )
    assert there.drop_columns("uri").equals(here.drop_columns("uri"))
    assert all(uri.startswith(s3_folder) for uri in there["uri"].to_pylist())
    pairs = table.read(table_uri(remote.run))
    assert pairs["caption"].equals(table.read(table_uri(local.run))["caption"])
    for file in storage.list_files(remote.run):
        assert S3_SECRET.encode() not in storage.read_bytes(file.uri), file.uri
