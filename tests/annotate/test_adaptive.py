"""Adaptive drawing: more candidates only where the first ones fall short, and no other ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from curation.annotate.metrics import FAILED_SECOND_DRAWS, InMemoryMeter
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.networks.tag_guided_captioner import GuidedEncoder
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.ops.status import read_status
from curation.report import page
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.select import apply
from tests.support.in_process import annotate_in_process
from tests.support.runs import corpus_run


@pytest.fixture(scope="module")
def fixed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The evidence of a run that draws every candidate for every clip."""
    return annotate_in_process(corpus_run(corpus, tmp_path_factory.mktemp("fixed")))


@pytest.fixture(scope="module")
def enough_score(fixed: pa.Table) -> float:
    """What half of the clips' first candidates reach."""
    return float(np.median([row[0]["clap_score"] for row in fixed["candidates"].to_pylist()]))


def adaptive_run(corpus: Path, folder: Path, first: int, enough_score: float) -> pa.Table:
    adaptive = {"first": first, "enough_score": enough_score}
    return annotate_in_process(corpus_run(corpus, folder, adaptive=adaptive))


def candidates(rows: pa.Table) -> list[list[dict[str, Any]]]:
    return rows["candidates"].to_pylist()


def captions(row: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(candidate["method"], candidate["caption"]) for candidate in row]


def best(row: list[dict[str, Any]]) -> float:
    return max(candidate["clap_score"] for candidate in row)


def test_only_clips_whose_first_candidate_falls_short_get_the_rest(
    corpus: Path, tmp_path: Path, fixed: pa.Table, enough_score: float
) -> None:
    drawn = candidates(adaptive_run(corpus, tmp_path, 1, enough_score))
    for row, whole in zip(drawn, candidates(fixed), strict=True):
        enough = whole[0]["clap_score"] >= enough_score
        assert captions(row) == captions(whole[:1] if enough else whole)
    assert {len(row) > 1 for row in drawn} == {True, False}


@pytest.mark.parametrize("first", [1, 2])
def test_candidates_are_the_first_of_those_that_a_fixed_number_gives(
    corpus: Path, tmp_path: Path, fixed: pa.Table, enough_score: float, first: int
) -> None:
    drawn = candidates(adaptive_run(corpus, tmp_path, first, enough_score))
    for row, whole in zip(drawn, candidates(fixed), strict=True):
        assert captions(row) == captions(whole[: len(row)])
        for key in ("log_prob", "clap_score"):
            expected = [candidate[key] for candidate in whole[: len(row)]]
            assert [candidate[key] for candidate in row] == pytest.approx(expected, abs=1e-5)
        assert len(row) == len(whole) or best(row) >= enough_score
        assert (best(row) >= enough_score) == (best(whole) >= enough_score)


def test_the_same_run_draws_the_same_rows(
    corpus: Path, tmp_path: Path, enough_score: float
) -> None:
    one, other = (adaptive_run(corpus, tmp_path / run, 2, enough_score) for run in ("a", "b"))
    assert one.equals(other)


def test_an_unreachable_score_draws_all_for_all(
    corpus: Path, tmp_path: Path, fixed: pa.Table
) -> None:
    drawn = candidates(adaptive_run(corpus, tmp_path, 1, 2.0))
    assert [captions(row) for row in drawn] == [captions(row) for row in candidates(fixed)]


def test_a_clip_with_two_draws_is_encoded_once(
    corpus: Path, tmp_path: Path, enough_score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded_counts: list[int] = []
    encode = GuidedEncoder.forward

    def counted(encoder: GuidedEncoder, features: torch.Tensor, *others: Any) -> Any:
        encoded_counts.append(len(features))
        return encode(encoder, features, *others)

    monkeypatch.setattr(GuidedEncoder, "forward", counted)
    drawn = candidates(adaptive_run(corpus, tmp_path, 1, enough_score))
    assert sum(encoded_counts) == sum(len(row) > 0 for row in drawn)
    assert sum(len(row) > 1 for row in drawn) > 0


@pytest.mark.parametrize("stage", ["caption", "score"])
def test_a_failing_second_draw_keeps_the_first_candidates(
    corpus: Path, tmp_path: Path, fixed: pa.Table, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, embed_text = TagGuidedAdapter.write, DualEncoderScorer.embed_text
    draws: list[int] = []

    def write_or_fail(adapter: Any, encodings: Any, seeds: Any, first: int, last: Any) -> Any:
        draws.append(first)
        if first and stage == "caption":
            raise RuntimeError("the second draw is too much")
        return write(adapter, encodings, seeds, first, last)

    def embed_or_fail(scorer: Any, captions: Any) -> Any:
        if draws[-1] and stage == "score":
            raise RuntimeError("the second draw cannot be scored")
        return embed_text(scorer, captions)

    monkeypatch.setattr(TagGuidedAdapter, "write", write_or_fail)
    monkeypatch.setattr(DualEncoderScorer, "embed_text", embed_or_fail)
    adaptive = {"first": 1, "enough_score": 2.0}
    config = corpus_run(corpus, tmp_path, adaptive=adaptive)
    tally = InMemoryMeter()
    rows = annotate_in_process(config, tally=tally)
    assert set(draws) == {0, 1}
    assert rows["outcome"].to_pylist() == ["ok"] * 40
    for row, whole in zip(candidates(rows), candidates(fixed), strict=True):
        assert captions(row) == captions(whole[:1])
        assert best(row) == pytest.approx(whole[0]["clap_score"], abs=1e-5)
    status = read_status(RunFolder.from_config(config))
    assert status.counts.failed_second_draws == {f"{stage}/RuntimeError": 40}
    assert status.to_fields()[f"second draw failed {stage}/RuntimeError"] == 40
    monkeypatch.undo()
    counted = tally.values(FAILED_SECOND_DRAWS, error=f"{stage}/RuntimeError")
    assert sum(counted) == 40
    apply.select_pairs(config)
    report = page.build_report(RunFolder.from_config(config), 1, lambda done, total: None)
    assert f"as the second one failed: {stage}/RuntimeError 40." in report.html


def test_adaptive_settings_belong_to_the_evidence() -> None:
    sections = {"run": "r", "catalog": {"kind": "folder", "audio": "a"}}
    plain = parse_run_config(sections, "test").evidence_settings()
    adaptive = parse_run_config({**sections, "adaptive": {"first": 1, "enough_score": 0.3}}, "test")
    assert adaptive.evidence_settings()["adaptive"] == {"first": 1, "enough_score": 0.3}
    assert plain["adaptive"] is None
