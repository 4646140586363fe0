"""Models of every kind through the whole engine: real recordings, two actors, from directories.

The models are tiny and random, of the very classes that the large ones have, and come through
`from_pretrained`: what they say is nonsense, what becomes of it is not.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from curation.cluster import driver
from curation.config.run import RunConfig
from curation.models.checks.parts import sections_of
from curation.ops import verify
from curation.run import catalog_plan, evidence
from curation.run.config_file import parse_run_config
from curation.run.record import require_run_record
from tests.support import tiny_captioners, tiny_remote_code, tiny_scorers, tiny_taggers

CLIPS = 60
FEW_CLIPS = 12
# What a random captioner may write that is no caption.
NO_CAPTION = {"caption/empty", "caption/label_echo", "caption/repetition", "caption/too_long"}


def recordings(shared: Path, folder: Path, clips: int) -> Path:
    """A list of the first of ESC-10's recordings."""
    rows = (shared / "esc10" / "clips.csv").read_text().splitlines()
    path = folder / "clips.csv"
    path.write_text("\n".join(rows[: 1 + clips]) + "\n")
    return path


def annotated(
    shared: Path, folder: Path, clips: int = CLIPS, **models: Any
) -> tuple[RunConfig, evidence.ShardCounts]:
    catalog = {
        "kind": "folder",
        "audio": str(shared / "esc10" / "audio"),
        "metadata": str(recordings(shared, folder, clips)),
        "tags": "audioset_mids",
    }
    section = {"shard_clips": clips // 2, "actors": 2}
    data = {"run": str(folder / "run"), "catalog": catalog, "annotate": section, **models}
    config = parse_run_config(data, "test")
    catalog_plan.create_plan(config)
    return config, driver.annotate_run(config, lambda done, total: None)


def need_whole(
    config: RunConfig, counts: evidence.ShardCounts, clips: int = CLIPS
) -> list[dict[str, Any]]:
    """Every clip accounted for, and no fault but that of random words; the captioned rows."""
    assert counts.clips == clips and counts.ok > clips / 4
    assert set(counts.errors) <= NO_CAPTION, counts.errors
    assert verify.verify_run(config.run) == []
    assert require_run_record(config.run).models.keys() == set(sections_of(config))
    rows = [
        row
        for shard in (0, 1)
        for row in evidence.read_evidence_shard(config.run, shard).to_pylist()
    ]
    return [row for row in rows if row["outcome"] == "ok"]


@pytest.mark.usefixtures("local_ray")
def test_a_language_model_is_guided_by_verified_tags_and_scored_twice(
    shared_data: Path, tmp_path: Path
) -> None:
    tiny_captioners.qwen2_audio(tmp_path / "qwen2")
    tiny_scorers.clap(tmp_path / "fused", fused=True)
    tiny_scorers.pe_audio(tmp_path / "pe")
    tiny_taggers.ast(tmp_path / "ast")
    exact = {"dtype": "float32"}
    config, counts = annotated(
        shared_data,
        tmp_path,
        captioner={"kind": "audio_llm", "model": str(tmp_path / "qwen2"), **exact},
        scorer={"kind": "clap", "model": str(tmp_path / "fused")},
        second_scorer={"kind": "pe_audio", "model": str(tmp_path / "pe"), **exact},
        tags={
            "use": "both",
            "tagger": {"model": str(tmp_path / "ast"), "top_k": 2, "threshold": 0.0, **exact},
            "verify": {"min_score": 0.0},
        },
    )
    for row in need_whole(config, counts):
        assert [tag["origin"] for tag in row["tags"]][-2:].count("predicted") >= 1
        assert len(row["tag_scores"]) == len(row["tags"])
        assert len(row["audio_embedding"]) == 8
        for candidate in row["candidates"]:
            assert candidate["method"] == "sample" and candidate["log_prob"] < 0
            assert -1.01 <= min(candidate["clap_score"], candidate["second_score"])
            assert max(candidate["clap_score"], candidate["second_score"]) <= 1.01


@pytest.mark.usefixtures("local_ray")
def test_a_speech_to_text_model_captions_untagged_for_an_unfused_clap(
    shared_data: Path, tmp_path: Path
) -> None:
    tiny_captioners.whisper(tmp_path / "whisper")
    tiny_scorers.clap(tmp_path / "unfused", fused=False)
    config, counts = annotated(
        shared_data,
        tmp_path,
        captioner={
            "kind": "encoder_decoder",
            "model": str(tmp_path / "whisper"),
            "dtype": "float32",
        },
        scorer={"kind": "clap", "model": str(tmp_path / "unfused")},
    )
    rows = need_whole(config, counts)
    assert all(row["guidance"] == [] and row["tags"] for row in rows)
    # A random model's beam mostly says one word again and again, which is no caption.
    written = [candidate for row in rows for candidate in row["candidates"]]
    assert {candidate["method"] for candidate in written} <= {"beam", "sample"}
    assert all(candidate["log_prob"] < 0 for candidate in written)
    assert all(abs(candidate["clap_score"]) < 1.01 for candidate in written)
    assert all(candidate["second_score"] is None for candidate in written)
    assert all(row["tag_scores"] is None and row["scorer_agreement"] is None for row in rows)


@pytest.mark.usefixtures("local_ray")
def test_workers_caption_by_code_that_the_model_brings(shared_data: Path, tmp_path: Path) -> None:
    tiny_remote_code.remote_code(tmp_path / "own", tmp_path / "words")
    config, counts = annotated(
        shared_data,
        tmp_path,
        FEW_CLIPS,
        captioner={
            "kind": "remote_code",
            "model": str(tmp_path / "own"),
            "tokenizer": str(tmp_path / "words"),
            "trust_remote_code": True,
            "revision": "read",
        },
    )
    written = [row["candidates"] for row in need_whole(config, counts, FEW_CLIPS)]
    assert {candidate["method"] for row in written for candidate in row} == {"beam", "sample"}
    assert len({candidate["caption"] for row in written for candidate in row}) > FEW_CLIPS
    assert all(candidate["log_prob"] is None for row in written for candidate in row)
    # The code was copied to where the workers import it from, and not beside its weights.
    [copied] = Path(os.environ["HF_MODULES_CACHE"]).rglob("own_captioner.py")
    assert copied.read_text() == tiny_remote_code.CODE
