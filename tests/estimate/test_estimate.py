"""The estimate: what is drawn, what is measured, and the arithmetic from sample to run."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation.config.run import RunConfig
from curation.errors import InputError
from curation.estimate import estimate, sample
from curation.run import catalog_plan, evidence, plan
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder, table_uri
from curation.run.record import require_run_record
from tests.support.processes import run_tagscribe
from tests.support.runs import corpus_run, planned_run

PLANNED = plan.Plan(clips=100_000, missing=20_000, shards=196, shard_clips=512, hash="")


def taken(**changes: object) -> sample.MeasuredSample:
    """200 clips of 10 s: 10 ms of decoding, 40 ms of captioning and 10 ms of scoring each."""
    measured = sample.MeasuredSample(
        clips=200,
        ok=190,
        accepted=95,
        pairs=95,
        duration_s=np.full(200, 10.0),
        decode_s=np.full(200, 0.010),
        tag_s=np.empty(0),
        caption_s=np.full(20, 0.4),
        score_s=np.full(20, 0.1),
        row_bytes=np.full(200, 1000),
        pool_s={"fused": 10.0},
        evidence_bytes=200 * 500,
        footer_bytes=6000,
        table_bytes=95 * 300,
        setup_s=5.0,
        cpus=64,
        gpus=8.0,
        hardware="a GPU",
    )
    return dataclasses.replace(measured, **changes)


def configured(**sections: object) -> RunConfig:
    return parse_run_config(
        {"run": "x", "catalog": {"kind": "folder", "audio": "y"}, **sections}, "test"
    )


def test_the_sum_over_a_run_is_that_of_its_sample() -> None:
    config = configured(
        annotate={"gpus_per_actor": 0.5, "actors": 16},
        prices={"gpu_hour": 2.0, "storage_gb_month": 0.1, "reads_1000": 0.01, "writes_1000": 0.1},
        select={"top_fraction": 0.5},
    )
    estimated = estimate.estimate_run(config, PLANNED, taken())
    wall_s = 80_000 * 0.05 / 16
    assert estimated.wall_s.value == pytest.approx(wall_s)
    assert estimated.gpu_hours.value == pytest.approx(wall_s * 8 / 3600)
    assert estimated.cpu_hours.value == 0
    assert estimated.audio_hours.value == pytest.approx(80_000 * 10 / 3600)
    assert estimated.ok_share.value == 0.95
    assert estimated.yield_share.value == pytest.approx(0.95 * 0.5 * 0.8)
    evidence = 80_000 * 500 + 196 * 6000
    assert estimated.evidence_bytes.value == pytest.approx(evidence)
    table = 100_000 * estimated.yield_share.value * 300
    assert estimated.table_bytes.value == pytest.approx(table)
    assert estimated.dollars is not None and estimated.storage_dollars_month is not None
    requests = 80 * 0.01 + 0.196 * 0.1
    assert estimated.dollars.value == pytest.approx(wall_s * 8 * 2.0 / 3600 + requests)
    assert estimated.storage_dollars_month.value == pytest.approx((evidence + table) * 1e-9 * 0.1)


def test_bars_are_as_wide_as_the_sample_is_scattered() -> None:
    config = configured(annotate={"gpus_per_actor": 1})
    even = estimate.estimate_run(config, PLANNED, taken())
    assert even.audio_hours.low == pytest.approx(even.audio_hours.high)
    lengths = np.r_[np.full(100, 5.0), np.full(100, 15.0)]
    scattered = estimate.estimate_run(config, PLANNED, taken(duration_s=lengths))
    reach = 1.96 * 5.0 / np.sqrt(200) * 80_000 / 3600
    hours = scattered.audio_hours
    assert hours.value == pytest.approx(even.audio_hours.value)
    assert (hours.high - hours.low) / 2 == pytest.approx(reach, rel=0.1)
    # Wilson's interval of 190 of 200.
    assert (even.ok_share.low, even.ok_share.high) == pytest.approx((0.9104, 0.9726), abs=1e-3)


def test_cores_bound_a_run_that_decodes_much() -> None:
    config = configured(annotate={"gpus_per_actor": 0.5, "actors": 16})
    estimated = estimate.estimate_run(config, PLANNED, taken(cpus=2))
    assert estimated.wall_s.value == pytest.approx(80_000 * 0.010 / 2)


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_tagging_counts_with_the_models(seconds: float) -> None:
    config = configured(annotate={"gpus_per_actor": 0, "actors": 1})
    estimated = estimate.estimate_run(config, PLANNED, taken(tag_s=np.full(20, seconds), cpus=1))
    assert estimated.wall_s.value == pytest.approx(80_000 * (0.060 + seconds / 10))
    assert f"{(0.050 + seconds / 10) * 1000:.1f} ms of the models" in estimated.advice[0]


def test_a_second_threshold_makes_the_yield_a_matter_of_chance() -> None:
    ranked = estimate.estimate_run(configured(select={"top_fraction": 0.5}), PLANNED, taken())
    vetoed = configured(select={"top_fraction": 0.5, "min_second_score": 0.2})
    share = estimate.estimate_run(vetoed, PLANNED, taken(accepted=40)).yield_share
    assert ranked.yield_share.value == pytest.approx(0.95 * 0.5 * 0.8)
    assert share.value == pytest.approx(40 / 200 * 0.8)


def test_without_prices_there_are_no_dollars() -> None:
    estimated = estimate.estimate_run(configured(), PLANNED, taken())
    assert estimated.dollars is None and estimated.storage_dollars_month is None
    assert not any("dollars" in row[0] for row in estimated.to_rows())


def test_decoding_threads_are_recommended_where_models_would_wait() -> None:
    config = configured(annotate={"gpus_per_actor": 1})
    estimated = estimate.estimate_run(config, PLANNED, taken(decode_s=np.full(200, 0.210)))
    assert estimated.sizes == {"fused": 8}
    assert estimated.recommended == {"actors": 8, "decode_threads": 5}
    assert any("decode_threads: 5 instead of 2" in sentence for sentence in estimated.advice)


SEPARATE = {"decode": 4.0, "caption": 20.0, "score": 5.0}


def test_pools_are_sized_around_the_captioners() -> None:
    config = configured(
        annotate={"placement": "separate", "gpus_per_actor": 1, "pools": {"captioners": 10}}
    )
    estimated = estimate.estimate_run(config, PLANNED, taken(pool_s=SEPARATE))
    # Ten captioners do 100 clips/s, a decoder 50, a scorer 40.
    assert estimated.recommended == {"captioners": 10, "decoders": 2, "scorers": 3}
    assert estimated.wall_s.value == pytest.approx(80_000 / 40)
    assert any("captioners wait 60% of their time" in sentence for sentence in estimated.advice)


def test_the_yamls_own_sizes_are_kept() -> None:
    pools = {"decoders": 4, "captioners": 10, "scorers": 1}
    config = configured(annotate={"placement": "separate", "gpus_per_actor": 1, "pools": pools})
    estimated = estimate.estimate_run(config, PLANNED, taken(pool_s=SEPARATE))
    assert estimated.recommended == sizes_by_key(pools) and estimated.sizes["decode"] == 4
    assert any("3 would keep up; with 1" in sentence for sentence in estimated.advice)
    assert sum("own number" in sentence for sentence in estimated.advice) == 2


def sizes_by_key(pools: dict[str, int]) -> dict[str, int]:
    return {name: pools[name] for name in ("captioners", "decoders", "scorers")}


def test_a_sample_is_drawn_at_random_of_what_is_there(tmp_path: Path) -> None:
    config = planned_run(tmp_path, clips=40_000, shard_clips=512)
    few, again = (sample.draw_clips(RunFolder.from_config(config), 50, seed=1) for _ in range(2))
    assert few.equals(again)
    ids = few["clip_id"].to_pylist()
    assert len(set(ids)) == 50 and ids == sorted(ids)
    assert min(ids) < "clip05000" and max(ids) > "clip35000"
    assert not few.equals(sample.draw_clips(RunFolder.from_config(config), 50, seed=2))
    assert sample.draw_clips(RunFolder.from_config(config), 50_000, seed=1).num_rows == 40_000


@pytest.mark.parametrize("placement", ["fused", "separate"])
def test_a_sample_goes_through_the_whole_engine(
    placement: str, corpus: Path, undisturbed: RunConfig, tmp_path: Path
) -> None:
    config = corpus_run(
        corpus,
        tmp_path / "run",
        annotate={"shard_clips": 10, "placement": placement},
        select={"top_fraction": 0.5},
    )
    catalog_plan.create_plan(config)
    taken = sample.measure_run(config, 20)
    assert (taken.clips, taken.ok, taken.accepted, taken.pairs) == (20, 20, 10, 10)
    # Each clip of the sample brought the row that the whole run has of it.
    whole = RunFolder.from_config(undisturbed)
    shards = evidence.list_done_shards(whole)
    run = pa.concat_tables(evidence.read_evidence_shards(whole, shards))
    drawn = sample.draw_clips(RunFolder.from_config(config), 20, config.seed)["clip_id"]
    rows = run.filter(pc.is_in(run["clip_id"], drawn))
    assert taken.duration_s.tolist() == rows["duration_s"].to_pylist()
    assert taken.row_bytes.sum() == pytest.approx(rows.nbytes, rel=0.05)
    evidence.write_evidence_shard(RunFolder(str(tmp_path / "same")), 0, rows)
    # The last bits of an embedding may differ between processes.
    same_bytes = bytes_before_footer(tmp_path / "same" / "evidence")
    assert taken.evidence_bytes == pytest.approx(same_bytes, rel=0.001)
    # The run's table has 20 pairs, which share what each column needs once.
    pair_bytes = bytes_before_footer(Path(table_uri(undisturbed.run))) / 20
    assert pair_bytes < taken.table_bytes / taken.pairs < 2 * pair_bytes
    # One time a clip in decoding, one a batch in each model, within that of their pools.
    assert len(taken.decode_s) == 20 and (taken.decode_s > 0).all()
    assert 1 <= len(taken.caption_s) == len(taken.score_s) <= 20
    assert 0 < taken.caption_s.sum() < taken.pool_s.get("caption", taken.pool_s.get("fused"))
    assert 0 < taken.score_s.sum() < taken.pool_s.get("score", taken.pool_s.get("fused"))
    assert set(taken.pool_s) == (
        {"fused"} if placement == "fused" else {"decode", "caption", "score"}
    )
    # Nothing of it is left in the run.
    assert sorted(path.name for path in Path(config.run).iterdir()) == ["plan", "run.json"]


def bytes_before_footer(folder: Path) -> int:
    """Of the one Parquet file in a folder."""
    [path] = folder.glob("*.parquet")
    return path.stat().st_size - pq.read_metadata(path).serialized_size


def test_a_plan_without_audio_cannot_be_measured(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    catalog = {
        "kind": "audioset",
        "segments": str(corpus / "segments.csv"),
        "audio": str(tmp_path / "empty"),
    }
    config = corpus_run(corpus, tmp_path / "run", catalog=catalog)
    catalog_plan.create_plan(config)
    assert require_run_record(RunFolder.from_config(config)).missing == 40
    with pytest.raises(InputError, match="no planned clip has audio"):
        sample.measure_run(config, 20)


def test_the_command_prints_the_estimate(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        f"run: {tmp_path}/run\nprices: {{cpu_hour: 0.05}}\ncatalog: {{kind: audioset, "
        f"segments: {corpus}/segments_noisy.csv, audio: {corpus}/audio}}\n"
    )
    ended = run_tagscribe("plan", path, "--sample", 10)
    assert ended.returncode == 0, ended.stderr
    assert "Estimate from 10 clips measured on" in ended.stdout
    for name in ("hours of audio", "wall time", "evidence", "dollars, to run"):
        assert name in ended.stdout
    assert "An actor alone does" in ended.stdout
    assert "Estimate" not in run_tagscribe("plan", path, "--sample", 0).stdout
