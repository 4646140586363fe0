"""Shards become requests to vLLM and replies become shards, whatever order they come in.

vLLM is not at hand here. What stands in for it does what `ray.data.llm` does: it takes a row for
each request, and hands on the rows that are not requests.
"""

import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ray.data import Dataset

from curation.annotate import metrics
from curation.annotate.pools import build_pools
from curation.annotate.task import Task
from curation.annotate.vllm_workers import (
    ERROR_COLUMN,
    VllmRequestWorker,
    VllmResponseCollector,
    build_response_row,
)
from curation.annotate.workers import Row, ScoreWorker
from curation.cluster import graph, vllm_stage
from curation.cluster.ray_executor import IsolatedGraph
from curation.config.run import RunConfig
from curation.engine import driver, recovery
from curation.errors import InputError
from curation.ops.status import read_status
from curation.run import catalog_plan, layout
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.synth.corpus import write_corpus
from tests.fakes import CrashingGraph
from tests.support import tiny_captioners as tiny
from tests.support.runs import corpus_run

CLIPS, SHARD_CLIPS, CANDIDATES = 7, 3, 2


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven clips, the fourth and the whole last shard of which nobody can decode."""
    folder = tmp_path_factory.mktemp("sounds")
    write_corpus(str(folder), clips=CLIPS, seed=77)
    for place in (3, 6):
        sorted((folder / "audio").iterdir())[place].write_bytes(b"no sound")
    return folder


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.qwen2_audio(tmp_path_factory.mktemp("qwen2-audio"))


def vllm_run(sounds: Path, qwen: Path, folder: Path, **captioner: Any) -> RunConfig:
    section = {"kind": "vllm", "model": str(qwen), "candidates": CANDIDATES, "max_tokens": 8}
    return corpus_run(
        sounds,
        folder,
        cluster="ray",
        captioner={**section, **captioner},
        annotate={"placement": "separate", "shard_clips": SHARD_CLIPS},
    )


def respond(row: Row) -> Row:
    """As ray.data.llm: what vLLM wrote is a matter of the request's seed."""
    if row[ERROR_COLUMN]:
        return row
    seed = row["sampling_params"]["seed"]
    if seed % 5 == 0:
        return {**row, ERROR_COLUMN: "ValueError: The prompt: too long"}
    sound, rate_hz = row["multimodal_data"]["audio"]
    assert (sound.dtype, rate_hz) == ("float32", tiny.SAMPLE_RATE_HZ)
    tokens = [{11: {"logprob": -0.25, "rank": 1}}, {12: {"logprob": -0.75, "rank": 2}}]
    written = {"generated_text": f"a bell rings {seed} times", "logprobs": tokens}
    return {**build_response_row({**row, **written}), ERROR_COLUMN: ""}


def build_rows(config: RunConfig) -> dict[int, list[Row]]:
    """The rows of each shard, the shard's own first."""
    planned, _ = catalog_plan.create_plan(config)
    worker = VllmRequestWorker(config, metrics.InMemoryMeter)
    tasks = [Task(shard, planned.shard_size(shard)) for shard in range(planned.shards)]
    return {task.shard: list(worker({"task": task.to_json()})) for task in tasks}


def scored(config: RunConfig, shards: Sequence[Row]) -> pa.Table:
    worker = ScoreWorker(config, metrics.InMemoryMeter)
    assert [worker(row)["error"] for row in shards] == [""] * len(shards)
    return pa.concat_tables(
        run_evidence.read_evidence_shards(
            RunFolder.from_config(config),
            run_evidence.list_done_shards(RunFolder.from_config(config)),
        )
    )


@pytest.fixture(scope="module")
def rows(sounds: Path, qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    config = vllm_run(sounds, qwen, tmp_path_factory.mktemp("requests"))
    return {"config": config, "by_shard": build_rows(config)}


@pytest.fixture(scope="module")
def evidence(rows: dict[str, Any]) -> pa.Table:
    """Of a run whose rows came in the order of the plan."""
    collector = VllmResponseCollector(rows["config"], metrics.InMemoryMeter, engines=2)
    whole = [
        each
        for shard in rows["by_shard"].values()
        for row in shard
        for each in collector(respond(row))
    ]
    return scored(rows["config"], whole)


def test_every_decoded_clip_has_a_request_for_each_candidate(rows: dict[str, Any]) -> None:
    counts = {shard: len(each) - 1 for shard, each in rows["by_shard"].items()}
    assert counts == {0: 3 * CANDIDATES, 1: 2 * CANDIDATES, 2: 0}
    for own, *requests in rows["by_shard"].values():
        assert own["request_count"] == len(requests) and own[ERROR_COLUMN]
        assert not any(request[ERROR_COLUMN] for request in requests)
        assert len({request["sampling_params"]["seed"] for request in requests}) == len(requests)


def test_every_clip_has_one_row_in_the_plans_order(
    rows: dict[str, Any], evidence: pa.Table
) -> None:
    table = evidence.to_pylist()
    assert [row["clip_id"] for row in table] == sorted(row["clip_id"] for row in table)
    assert len(table) == CLIPS
    errors = [row["error"] for row in table]
    assert [error["stage"] for error in errors if error].count("decode") == 2
    refused = [error for error in errors if error and error["stage"] == "caption"]
    assert all(error["message"] == "The prompt: too long" for error in refused)
    for row in table:
        if row["error"] is None:
            assert len(row["candidates"]) == CANDIDATES
            assert {one["log_prob"] for one in row["candidates"]} == {-0.5}
            assert all(one["clap_score"] is not None for one in row["candidates"])
            assert row["guidance"]


def test_rows_in_any_order_and_twice_make_the_same_shards(
    rows: dict[str, Any], evidence: pa.Table, sounds: Path, qwen: Path, tmp_path: Path
) -> None:
    config = vllm_run(sounds, qwen, tmp_path)
    catalog_plan.create_plan(config)
    mixed = [respond(row) for shard in rows["by_shard"].values() for row in shard]
    again = [row for row in mixed if not row[ERROR_COLUMN]][:3]
    random.Random(3).shuffle(mixed)
    collector = VllmResponseCollector(config, metrics.InMemoryMeter, engines=2)
    whole = [each for row in [*again, *mixed] for each in collector(row)]
    assert sorted(json.loads(row["task"])["shard"] for row in whole) == [0, 1, 2]
    assert scored(config, whole).equals(evidence)


def test_a_shard_that_misses_a_row_is_not_written(rows: dict[str, Any]) -> None:
    collector = VllmResponseCollector(rows["config"], metrics.InMemoryMeter, engines=2)
    own, *requests = map(respond, rows["by_shard"][1])
    assert [collector(row) for row in (*requests, *requests[:-1])] == [[]] * (2 * len(requests) - 1)
    [whole] = collector(own)
    assert whole["task"] == own["task"] and collector(own) == []


def test_the_time_of_captioning_ends_with_the_last_reply(rows: dict[str, Any]) -> None:
    tally = metrics.InMemoryMeter()
    collector = VllmResponseCollector(rows["config"], lambda: tally, engines=2)
    [whole] = [each for row in rows["by_shard"][1] for each in collector(respond(row))]
    decode, caption = (run_evidence.WorkSpan(*span) for span in json.loads(whole["spans"]))
    assert (decode.pool, caption.pool, caption.worker) == ("decode", "caption", "vllm-1")
    assert decode.ended_s == caption.started_s <= caption.ended_s
    assert len(tally.values(metrics.STAGE_SECONDS, stage="caption")) == 1


def test_a_shard_that_cannot_be_read_is_an_error_and_has_no_requests(rows: dict[str, Any]) -> None:
    worker = VllmRequestWorker(rows["config"], metrics.InMemoryMeter)
    [own] = worker({"task": Task(99, 1).to_json()})
    [whole] = VllmResponseCollector(rows["config"], metrics.InMemoryMeter, engines=1)(own)
    assert "FileNotFoundError" in whole["error"] and own["request_count"] == 0


def _through(config: RunConfig, pool: Any, restarts: int, retries: int) -> Any:
    def processor(rows: Dataset) -> Dataset:
        return rows.map(respond)

    return processor


def test_a_run_by_ray_is_the_same_and_goes_on_where_it_stopped(
    local_ray: None,
    rows: dict[str, Any],
    evidence: pa.Table,
    sounds: Path,
    qwen: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm_stage, "build_vllm_processor", _through)
    catalog_plan.create_plan(vllm_run(sounds, qwen, tmp_path))
    done = Path(layout.shard_uri(str(tmp_path), 1))
    done.parent.mkdir()
    written = shutil.copy2(layout.shard_uri(rows["config"].run, 1), done).stat().st_mtime_ns
    moved = vllm_run(sounds, qwen, tmp_path, runtime_env={"env_vars": {"A": "1"}})
    counts = driver.annotate_run(moved, lambda done, of: None)
    assert counts.clips == CLIPS and done.stat().st_mtime_ns == written
    assert pa.concat_tables(
        run_evidence.read_evidence_shards(RunFolder.from_config(moved), [0, 1, 2])
    ).equals(evidence)
    assert read_status(RunFolder.from_config(moved)).complete


def test_where_vllm_is_not_installed_a_run_says_so(
    local_ray: None, sounds: Path, qwen: Path, tmp_path: Path
) -> None:
    config = vllm_run(sounds, qwen, tmp_path)
    catalog_plan.create_plan(config)
    with pytest.raises(InputError, match="vLLM is not installed in the environment of the workers"):
        driver.annotate_run(config, lambda done, of: None)


def test_the_stage_holds_what_its_pool_says_and_dies_a_bounded_number_of_times(
    local_ray: None, sounds: Path, qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_stage, "require_vllm", lambda captioner: None)
    config = vllm_run(sounds, qwen, tmp_path, runtime_env={"env_vars": {"A": "1"}})
    section = {"actors": [2, 4], "cpus": 3, "gpus": 2, "node_resource": "vllm"}
    settings = config.annotate.model_validate(
        {"placement": "separate", "pools": {"captioners": section}}
    )
    made = vllm_stage.build_vllm_processor(config, build_pools(settings)[1], restarts=5, retries=6)
    stage = made.get_stage_by_name("vLLMEngineStage")
    held = stage.map_batches_kwargs
    assert (held["num_cpus"], held["num_gpus"]) == (3, 2)
    assert held["resources"] == {"vllm": 0.001}
    assert (held["max_restarts"], held["max_task_retries"]) == (5, 6)
    assert held["runtime_env"] == {"env_vars": {"A": "1"}}
    assert (held["compute"].min_size, held["compute"].max_size) == (2, 4)
    engine = stage.fn_constructor_kwargs["engine_kwargs"]
    assert engine["tensor_parallel_size"] == 2 and engine["dtype"] == "bfloat16"
    assert stage.fn_constructor_kwargs["model"] == str(qwen)
    assert made.list_stage_names() == ["vLLMEngineStage"]


def test_a_clip_that_kills_vllm_is_found_by_graphs_of_one_task(
    sounds: Path, qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = CrashingGraph(crashing_clip=2)
    monkeypatch.setattr(graph, "run_tasks", crashing)
    isolated = IsolatedGraph(vllm_run(sounds, qwen, tmp_path))
    result = recovery.finish_shard(RunFolder(str(tmp_path)), isolated, Task(0, 4), Counter())
    assert (result.task, result.error) == (Task(0, 4), "")
    assert crashing.tasks[-1] == Task(0, 4, crashing_clips=(2,))
