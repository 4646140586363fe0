"""Models of every kind through the whole engine: two workers, from directories.

The models are tiny and random, of the very classes that the large ones have, and come through
`from_pretrained`: their captions are meaningless, what becomes of them is not. The sounds are
procedural; each test runs over recordings too where ../shared/data is there.
"""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.engine import driver
from curation.models.checks.parts import model_sections
from curation.ops import verify
from curation.run import catalog_plan, evidence
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import require_run_record
from tests.support import tiny_captioners, tiny_remote_code, tiny_scorers, tiny_taggers
from tests.support.in_process import annotate_in_process

CLIPS = 40
# What a random captioner may write that is no caption.
NO_CAPTION = {"empty", "label_echo", "repetition", "too_long"}

Catalog = dict[str, Any]
Rows = list[dict[str, Any]]


@pytest.fixture(params=["procedural", "recordings"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    """Forty clips: the procedural corpus, or the first of ESC-10's recordings."""
    if request.param == "procedural":
        corpus = request.getfixturevalue("corpus")
        segments, audio = str(corpus / "segments_noisy.csv"), str(corpus / "audio")
        return {"kind": "audioset", "segments": segments, "audio": audio}
    recordings = request.getfixturevalue("shared_data") / "esc10"
    lines = (recordings / "clips.csv").read_text().splitlines()
    metadata = tmp_path / "clips.csv"
    metadata.write_text("\n".join(lines[: 1 + CLIPS]) + "\n")
    return {
        "kind": "folder",
        "audio": str(recordings / "audio"),
        "metadata": str(metadata),
        "tags": "audioset_mids",
    }


def run_models(catalog: Catalog, folder: Path, least_ok: int = CLIPS, **models: Any) -> Rows:
    """Annotate by two workers, and require what holds for every model; the captioned rows.

    Every clip has a row, at least `least_ok` have captions, and the others failed by what the
    captioner wrote; each row is the one that a single worker without Ray writes.
    """
    data = {"catalog": catalog, "annotate": {"shard_clips": CLIPS // 2, "actors": 2}, **models}
    config = parse_run_config({"run": str(folder / "run"), **data}, "test")
    catalog_plan.create_plan(config)
    counts = driver.annotate_run(config, lambda done, total: None)
    assert counts.clips == CLIPS
    assert verify.verify_run(RunFolder.from_config(config)) == []
    assert require_run_record(RunFolder.from_config(config)).models.keys() == set(
        model_sections(config)
    )
    table = pa.concat_tables(evidence.read_evidence_shards(RunFolder.from_config(config), [0, 1]))
    alone = parse_run_config({"run": str(folder / "alone"), **data}, "test")
    assert table.equals(annotate_in_process(alone))
    ok, failed = [], []
    for row in table.to_pylist():
        (ok if row["outcome"] == "ok" else failed).append(row)
    assert least_ok <= counts.ok == len(ok)
    for row in failed:
        assert row["error"]["stage"] == "caption" and row["error"]["type"] in NO_CAPTION, row
        assert "the model wrote: " in row["error"]["message"] and row["candidates"] == []
    return ok


def test_a_language_model_is_guided_by_verified_tags_and_scored_twice(
    catalog: Catalog, tmp_path: Path
) -> None:
    tiny_captioners.qwen2_audio(tmp_path / "qwen2")
    tiny_scorers.clap(tmp_path / "fused", fused=True)
    tiny_scorers.pe_audio(tmp_path / "pe")
    tiny_taggers.ast(tmp_path / "ast")
    exact = {"dtype": "float32"}
    rows = run_models(
        catalog,
        tmp_path,
        least_ok=30,
        captioner={"kind": "audio_llm", "model": str(tmp_path / "qwen2"), **exact},
        scorer={"kind": "clap", "model": str(tmp_path / "fused")},
        second_scorer={"kind": "pe_audio", "model": str(tmp_path / "pe"), **exact},
        tags={
            "use": "both",
            "tagger": {"model": str(tmp_path / "ast"), "top_k": 2, "threshold": 0.0, **exact},
            "verify": {"min_score": 0.0},
        },
    )
    for row in rows:
        assert [tag["origin"] for tag in row["tags"]][-2:].count("predicted") >= 1
        assert len(row["tag_scores"]) == len(row["tags"])
        assert len(row["audio_embedding"]) == 8
        for candidate in row["candidates"]:
            assert candidate["method"] == "sample" and candidate["log_prob"] < 0
            assert -1.01 <= min(candidate["clap_score"], candidate["second_score"])
            assert max(candidate["clap_score"], candidate["second_score"]) <= 1.01


def test_a_speech_to_text_model_captions_untagged_for_an_unfused_clap(
    catalog: Catalog, tmp_path: Path
) -> None:
    tiny_captioners.whisper(tmp_path / "whisper")
    tiny_scorers.clap(tmp_path / "unfused", fused=False)
    rows = run_models(
        catalog,
        tmp_path,
        least_ok=20,
        captioner={
            "kind": "encoder_decoder",
            "model": str(tmp_path / "whisper"),
            "dtype": "float32",
        },
        scorer={"kind": "clap", "model": str(tmp_path / "unfused")},
    )
    assert all(row["guidance"] == [] and row["tags"] for row in rows)
    # A random model's beam mostly says one word again and again, which is no caption.
    written = [candidate for row in rows for candidate in row["candidates"]]
    assert {candidate["method"] for candidate in written} <= {"beam", "sample"}
    assert all(candidate["log_prob"] < 0 for candidate in written)
    assert all(abs(candidate["clap_score"]) < 1.01 for candidate in written)
    assert all(candidate["second_score"] is None for candidate in written)
    assert all(row["tag_scores"] is None and row["scorer_agreement"] is None for row in rows)


def test_workers_caption_by_code_that_the_model_brings(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first is for the workers, the second for the process of the test.
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    tiny_remote_code.remote_code(tmp_path / "own", tmp_path / "words")
    rows = run_models(
        catalog,
        tmp_path,
        captioner={
            "kind": "remote_code",
            "model": str(tmp_path / "own"),
            "tokenizer": str(tmp_path / "words"),
            "trust_remote_code": True,
            "revision": "read",
        },
    )
    written = [row["candidates"] for row in rows]
    assert {candidate["method"] for row in written for candidate in row} == {"beam", "sample"}
    assert len({candidate["caption"] for row in written for candidate in row}) > CLIPS
    assert all(candidate["log_prob"] is None for row in written for candidate in row)
    # The code was copied to where the workers import it from, and not beside its weights.
    copied = list(Path(os.environ["HF_MODULES_CACHE"]).rglob("own_captioner.py"))
    assert {path.read_text() for path in copied} == {tiny_remote_code.CODE}
