"""Log-mel features are computed once a clip, for all models that take them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation.annotate.batching import OomThreshold
from curation.annotate.captioning import caption_clips, clip_seed
from curation.annotate.features import add_features
from curation.annotate.scoring import score_clips
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.networks.log_mel import LogMel
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.schema import Failure
from tests.fakes import FixedScorer
from tests.support.clips import loaded_clip, silent_clip
from tests.support.in_process import annotate_in_process
from tests.support.runs import corpus_run

RATE_HZ = 16_000


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of clips of each call of a log-mel front end."""
    counts: list[int] = []
    forward = LogMel.forward

    def counted(front_end: LogMel, waveforms: torch.Tensor, *others: Any) -> torch.Tensor:
        counts.append(len(waveforms))
        return forward(front_end, waveforms, *others)

    monkeypatch.setattr(LogMel, "forward", counted)
    return counts


@pytest.mark.parametrize(
    "sections",
    [{}, {"tags": {"verify": {"min_score": 0.0}}}, {"adaptive": {"first": 1, "enough_score": 2.0}}],
    ids=["plain", "verified tags", "adaptive"],
)
def test_a_run_computes_them_once_a_clip(
    corpus: Path, tmp_path: Path, computed: list[int], sections: dict[str, Any]
) -> None:
    rows = annotate_in_process(corpus_run(corpus, tmp_path, **sections))
    assert sum(computed) == sum(outcome == "ok" for outcome in rows["outcome"].to_pylist()) > 0


def test_a_stage_of_one_model_needs_no_other(computed: list[int]) -> None:
    """Captions and scores are those of models that share nothing, bit for bit."""
    sound = np.random.default_rng(0).integers(-9000, 9000, RATE_HZ, np.int16)
    clip = loaded_clip("a", {RATE_HZ: sound})
    writer, scorer = TagGuidedAdapter(), DualEncoderScorer()
    [captioned] = caption_clips(writer, [clip], seed=0)
    [scored] = score_clips(scorer, [captioned])
    assert sum(computed) == 1
    [apart] = score_clips(scorer, [replace(captioned, features={})])
    assert sum(computed) == 2
    assert apart.candidates == scored.candidates
    np.testing.assert_array_equal(apart.embedding, scored.embedding)
    [direct] = writer.caption([clip.waveform(RATE_HZ)], [[]], [clip_seed(0, clip.clip_id)])
    assert not isinstance(direct, Failure)
    assert [each.caption for each in captioned.candidates] == list(
        dict.fromkeys(each.caption for each in direct)
    )


def test_a_model_that_takes_waveforms_gets_them() -> None:
    batch = [silent_clip("a", 1.0)]
    assert add_features(FixedScorer(), batch, "score", OomThreshold()) is batch


def test_they_leave_with_the_audio() -> None:
    [with_features] = add_features(
        TagGuidedAdapter(),
        [loaded_clip("a", {RATE_HZ: np.ones(RATE_HZ, np.int16)})],
        "caption",
        OomThreshold(),
    )
    assert len(with_features.features) == 1
    assert not with_features.without_audio().features
