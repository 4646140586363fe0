"""The engine whole: every clip is accounted for, whatever runs it, and however often."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from curation import table
from curation.config.policy import Policy
from curation.config.run import RunConfig, TableConfig
from curation.engine import driver
from curation.errors import InputError
from curation.ops import verify
from curation.run import catalog_plan, evidence
from curation.run.layout import RunFolder, shard_uri, table_uri
from curation.run.record import read_run_record, require_run_record
from curation.select import apply
from curation.storage.files import Storage
from curation.synth.mixing import render_clip
from tests.support import in_process
from tests.support.processes import run_tagscribe
from tests.support.runs import copy_run, corpus_run, write_yaml


def silent(_done: int, _total: int) -> None:
    pass


def annotated(config: RunConfig) -> pa.Table:
    """Plan and annotate a run; all its evidence, in the order of the plan."""
    catalog_plan.create_plan(config)
    driver.annotate_run(config, silent)
    return evidence_of(config)


def evidence_of(config: RunConfig) -> pa.Table:
    return pa.concat_tables(
        evidence.read_evidence_shards(
            RunFolder.from_config(config), evidence.list_done_shards(RunFolder.from_config(config))
        )
    )


def test_every_clip_has_captions_scores_and_measurements(undisturbed: RunConfig) -> None:
    rows = evidence_of(undisturbed).to_pylist()
    assert len(rows) == 40
    for row in rows:
        assert row["outcome"] == "ok" and row["error"] is None
        assert 1 <= len(row["candidates"]) <= 4
        assert sum(c["method"] == "beam" for c in row["candidates"]) == 1
        assert len({c["caption"] for c in row["candidates"]}) == len(row["candidates"])
        assert all(-1.001 <= c["clap_score"] <= 1.001 for c in row["candidates"])
        assert all(c["log_prob"] < 0 for c in row["candidates"])
        assert row["rms_dbfs"] <= row["peak_dbfs"] <= 0.1
        assert np.linalg.norm(row["audio_embedding"]) == pytest.approx(1.0, abs=1e-2)
        assert len(row["audio_sha256"]) == 64


def test_a_run_keeps_its_promises(undisturbed: RunConfig) -> None:
    assert verify.verify_run(RunFolder.from_config(undisturbed)) == []


def test_the_record_names_models_and_versions(undisturbed: RunConfig) -> None:
    record = require_run_record(RunFolder.from_config(undisturbed))
    assert set(record.models) == {"captioner", "scorer"}
    assert record.models["captioner"]["model"] == record.models["scorer"]["model"] == "reference"
    assert len(record.models["captioner"]["weights_sha256"]) == 64
    assert record.versions["ray"].startswith("2.60")


def test_where_the_work_runs_changes_no_row(
    cluster: str, undisturbed: RunConfig, corpus: Path, tmp_path: Path
) -> None:
    section = {"shard_clips": 10, "actors": 2, "decode_threads": 1}
    config = corpus_run(corpus, tmp_path / "run", cluster=cluster, annotate=section)
    assert annotated(config).equals(evidence_of(undisturbed))


@pytest.mark.usefixtures("local_ray")
def test_separate_pools_change_no_row(undisturbed: RunConfig, corpus: Path, tmp_path: Path) -> None:
    pools = {"decoders": 2, "captioners": 1, "scorers": 1}
    section = {"shard_clips": 10, "placement": "separate", "pools": pools}
    config = corpus_run(corpus, tmp_path / "run", cluster="ray", annotate=section)
    assert annotated(config).equals(evidence_of(undisturbed))


@pytest.mark.parametrize(
    ("sections", "setting"),
    [
        ({"annotate": {"placement": "separate"}}, "annotate.placement: separate"),
        (
            {
                "captioner": {"kind": "vllm", "model": "some/model"},
                "annotate": {"placement": "separate"},
            },
            "captioner.kind: vllm",
        ),
    ],
    ids=["separate pools", "vLLM"],
)
def test_what_needs_ray_is_refused_without_it_and_names_the_line_to_change(
    sections: dict, setting: str, corpus: Path, tmp_path: Path
) -> None:
    yaml_file = write_yaml(corpus_run(corpus, tmp_path / "run", **sections), tmp_path)
    ended = run_tagscribe("run", yaml_file)
    assert ended.returncode == 1
    assert f"{setting} needs Ray" in ended.stderr and "set cluster: ray" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_does_only_what_is_missing_and_reports_progress(
    cluster: str, undisturbed: RunConfig, tmp_path: Path
) -> None:
    one_actor = undisturbed.annotate.model_copy(update={"actors": 1})
    changes = {"annotate": one_actor, "cluster": cluster}
    config = copy_run(undisturbed, tmp_path / "run").model_copy(update=changes)
    kept = Path(shard_uri(config.run, 2))
    written = kept.stat().st_mtime_ns
    for shard in (0, 3):
        Path(shard_uri(config.run, shard)).unlink()
    reported: list[tuple[int, int]] = []
    driver.annotate_run(config, lambda done, total: reported.append((done, total)))
    assert evidence_of(config).equals(evidence_of(undisturbed))
    assert kept.stat().st_mtime_ns == written
    assert reported == sorted(reported) and (reported[0], reported[-1]) == ((20, 40), (40, 40))
    assert {total for _, total in reported} == {40}


def test_guidance_reaches_the_captioner(
    undisturbed: RunConfig, corpus: Path, tmp_path: Path
) -> None:
    config = corpus_run(corpus, tmp_path / "run", captioner={"guidance": "none"})
    untagged = in_process.annotate_in_process(config)
    guided = evidence_of(undisturbed)
    assert all(row == [] for row in untagged["guidance"].to_pylist())
    assert untagged["tags"].equals(guided["tags"])
    assert not untagged["candidates"].equals(guided["candidates"])


# --- selection and the table


def test_selection_accepts_half_the_clips_best_captions(undisturbed: RunConfig) -> None:
    pairs = table.read_pairs(Storage(), table_uri(undisturbed.run))
    assert pairs.num_rows == 20
    best = {
        row["clip_id"]: max(c["clap_score"] for c in row["candidates"])
        for row in evidence_of(undisturbed).to_pylist()
    }
    for row in pairs.to_pylist():
        assert row["clap_score"] == best[row["clip_id"]]
        assert row["rank"] == 1
    dropped = set(best) - set(pairs["clip_id"].to_pylist())
    assert max(best[clip] for clip in dropped) <= min(pairs["clap_score"].to_pylist())


def test_a_new_policy_is_a_new_version_and_the_same_is_none(
    undisturbed: RunConfig, tmp_path: Path
) -> None:
    config = copy_run(undisturbed, tmp_path / "run").model_copy(update={"select": Policy()})
    first = apply.select_pairs(config)
    again = apply.select_pairs(config)
    other = config.model_copy(
        update={"select": config.select.model_copy(update={"max_per_clip": 2})}
    )
    second = apply.select_pairs(other)
    assert (first.version.version, again.version.version, second.version.version) == (0, 0, 1)
    assert table.read_pairs(Storage(), table_uri(config.run), version=0).num_rows == 40
    versions = table.list_table_versions(Storage(), table_uri(config.run))
    assert [v.rows for v in versions] == [40, second.version.rows]
    assert [v.lineage["policy"]["max_per_clip"] for v in versions] == [1, 2]
    assert verify.verify_run(RunFolder.from_config(config)) == []


def test_every_rejected_candidate_keeps_its_reason(undisturbed: RunConfig) -> None:
    latest = table.read_newest_version(Storage(), table_uri(undisturbed.run))
    assert latest is not None
    decisions = pa.parquet.read_table(
        f"{undisturbed.run}/decisions/{latest.lineage['selection']}.parquet"
    )
    candidates = sum(len(row) for row in evidence_of(undisturbed)["candidates"].to_pylist())
    assert decisions.num_rows == candidates
    counts = decisions["reason"].value_counts().to_pylist()
    reported = {entry["values"]: entry["counts"] for entry in counts}
    assert reported == {"accepted": 20, "below_threshold": 20, "not_best": candidates - 40}


def test_audio_can_be_embedded_in_the_table(undisturbed: RunConfig, tmp_path: Path) -> None:
    embedding = TableConfig(audio="embed", sample_rate_hz=16000)
    config = copy_run(undisturbed, tmp_path / "run").model_copy(update={"table": embedding})
    apply.select_pairs(config)
    row = table.read_pairs(Storage(), table_uri(config.run)).to_pylist()[0]
    path = tmp_path / row["audio"]["path"]
    path.write_bytes(row["audio"]["bytes"])
    decoded, rate = soundfile.read(path, dtype="float32")
    assert soundfile.info(path).subtype == "PCM_16" and rate == 16000
    assert len(decoded) / rate == pytest.approx(row["end_s"] - row["start_s"], abs=1e-3)
    source, source_rate = soundfile.read(row["uri"], dtype="float32")
    assert source_rate == rate
    np.testing.assert_allclose(decoded, source[: len(decoded)], atol=2 / 32767)


def test_a_clip_that_changed_since_is_not_embedded(corpus: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "corpus"
    shutil.copytree(corpus, sounds)
    config = corpus_run(sounds, tmp_path / "run", table={"audio": "embed"})
    clip = in_process.annotate_in_process(config).to_pylist()[5]
    Path(clip["uri"]).write_bytes(Path(clip["uri"]).read_bytes() + b"more")
    with pytest.raises(InputError, match=f"clip {clip['clip_id']}: .* has changed since"):
        apply.select_pairs(config)
    Path(clip["uri"]).unlink()
    with pytest.raises(InputError, match=f"clip {clip['clip_id']}: .* cannot be read any more"):
        apply.select_pairs(config)
    assert table.read_newest_version(Storage(), table_uri(config.run)) is None


def test_selecting_before_the_run_is_done_needs_a_word(
    undisturbed: RunConfig, tmp_path: Path
) -> None:
    config = copy_run(undisturbed, tmp_path / "run").model_copy(update={"select": Policy()})
    Path(shard_uri(config.run, 1)).unlink()
    with pytest.raises(InputError, match="3 of 4 shards have evidence"):
        apply.select_pairs(config)
    assert apply.select_pairs(config, partial=True).clips == 30


# --- bad input


def write_wav(path: Path, samples: np.ndarray, subtype: str = "FLOAT") -> None:
    soundfile.write(path, samples, 16000, subtype=subtype)


def test_bad_files_are_rows_and_good_ones_are_captioned(tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    waveform, _ = render_clip(1, 1)
    write_wav(sounds / "good.wav", waveform)
    write_wav(sounds / "silent.wav", np.zeros(32000))
    write_wav(sounds / "nan.wav", np.full(32000, np.nan))
    (sounds / "empty.wav").write_bytes(b"")
    (sounds / "text.wav").write_text("this is no sound\n" * 100)
    soundfile.write(tmp_path / "whole.ogg", waveform, 16000, format="OGG")
    data = (tmp_path / "whole.ogg").read_bytes()
    (sounds / "cut.ogg").write_bytes(data[: len(data) // 2])
    claims_ten_hours = bytearray((sounds / "good.wav").read_bytes())
    place = claims_ten_hours.index(b"data") + 4
    claims_ten_hours[place : place + 4] = (36000 * 16000 * 4).to_bytes(4, "little")
    (sounds / "hours.wav").write_bytes(claims_ten_hours)
    config = RunConfig.model_validate(
        {
            "run": str(tmp_path / "run"),
            "catalog": {"kind": "folder", "audio": str(sounds)},
            "annotate": {"actors": 1},
        }
    )
    ended = {}
    for row in in_process.annotate_in_process(config).to_pylist():
        error = row["error"] or {"type": "ok", "message": "", "stage": ""}
        ended[row["clip_id"]] = error["type"]
        assert row["outcome"] == ("ok" if error["type"] == "ok" else "error")
        assert error["type"] == "ok" or row["clip_id"] in error["message"], error
    assert ended == {
        "good": "ok",
        "silent": "silent",
        "nan": "not_finite",
        "empty": "empty_file",
        "text": "unknown_format",
        "cut": "truncated",
        "hours": "truncated",
    }
    assert verify.verify_run(RunFolder.from_config(config)) == []


def test_a_folder_of_another_run_is_refused(undisturbed: RunConfig) -> None:
    other = undisturbed.model_copy(update={"seed": 5})
    with pytest.raises(InputError, match="belongs to another run: seed: 0 there, 5 here"):
        driver.annotate_run(other, silent)
    with pytest.raises(InputError, match="belongs to another run"):
        catalog_plan.create_plan(other)


def test_a_folder_of_another_plan_is_refused(corpus: Path, tmp_path: Path) -> None:
    segments = tmp_path / "segments.csv"
    lines = (corpus / "segments.csv").read_text().splitlines(keepends=True)
    segments.write_text("".join(lines))
    catalog = {"kind": "audioset", "segments": str(segments), "audio": str(corpus / "audio")}
    config = corpus_run(corpus, tmp_path / "run", catalog=catalog)
    catalog_plan.create_plan(config)
    catalog_plan.create_plan(config)
    segments.write_text("".join(lines[:-1]))
    with pytest.raises(InputError, match="plan of another listing: 40 clips.*; 39 clips"):
        catalog_plan.create_plan(config)


# --- kills


def start_command(yaml_file: Path) -> subprocess.Popen[bytes]:
    """`tagscribe run` as a user starts it, in a process group of its own."""
    command = [Path(sys.executable).parent / "tagscribe", "run", str(yaml_file), "--quiet"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(command, env=environment, start_new_session=True)


@pytest.fixture(params=["local", "own_ray"])
def own_cluster(request: pytest.FixtureRequest) -> str:
    """The setting `cluster` of commands, each of which starts what it runs on."""
    if request.param == "local":
        return "local"
    request.getfixturevalue(request.param)
    return "ray"


def small_run(corpus: Path, folder: Path, cluster: str) -> RunConfig:
    """The undisturbed run anew, by one worker, as every worker takes a while to start."""
    annotate_section = {"shard_clips": 10, "actors": 1}
    return corpus_run(
        corpus,
        folder / "run",
        cluster=cluster,
        annotate=annotate_section,
        select={"top_fraction": 0.5},
    )


def kill_all(process: subprocess.Popen[bytes]) -> None:
    assert process.poll() is None, "it ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, "the run did not come so far in two minutes"
        time.sleep(0.02)


def test_a_killed_run_goes_on_to_the_same_rows(
    own_cluster: str, undisturbed: RunConfig, corpus: Path, tmp_path: Path
) -> None:
    """SIGKILL when it has planned, and after the first shard; then to the end."""
    config = small_run(corpus, tmp_path, own_cluster)
    folder = RunFolder.from_config(config)
    yaml_file = write_yaml(config, tmp_path)
    first = start_command(yaml_file)
    wait_until(lambda: read_run_record(folder) is not None, first)
    kill_all(first)
    assert evidence.list_done_shards(folder) == []
    second = start_command(yaml_file)
    wait_until(lambda: len(evidence.list_done_shards(folder)) >= 1, second)
    kill_all(second)
    done = {shard: mtime_ns(config, shard) for shard in evidence.list_done_shards(folder)}
    assert 1 <= len(done) < 4, "it was killed in the middle"
    assert start_command(yaml_file).wait(timeout=180) == 0
    assert {shard: mtime_ns(config, shard) for shard in done} == done
    assert evidence_of(config).equals(evidence_of(undisturbed))
    pairs, expected = (table.read_pairs(Storage(), table_uri(c.run)) for c in (config, undisturbed))
    columns = ["clip_id", "caption", "clap_score", "rank"]
    assert pairs.select(columns).equals(expected.select(columns))
    assert verify.verify_run(folder) == []


def mtime_ns(config: RunConfig, shard: int) -> int:
    return Path(shard_uri(config.run, shard)).stat().st_mtime_ns


def test_two_runs_of_one_folder_at_once_come_to_one_result(
    undisturbed: RunConfig, corpus: Path, tmp_path: Path
) -> None:
    config = small_run(corpus, tmp_path, "local")
    yaml_file = write_yaml(config, tmp_path)
    both = [start_command(yaml_file) for _ in range(2)]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    assert evidence_of(config).equals(evidence_of(undisturbed))
    assert table.read_pairs(Storage(), table_uri(config.run)).num_rows == 20
    assert verify.verify_run(RunFolder.from_config(config)) == []
