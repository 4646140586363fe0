"""The shipped reference models open, are small, and recognise sounds."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from curation.demo.grading import grade_caption
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.reference import reference_model_dir
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.schema import Failure, Tag
from curation.synth.corpus import scene_tags
from curation.synth.mixing import render_clip
from curation.synth.scenes import Scene

CLIPS = 12


@pytest.fixture(scope="module")
def encoded_sound() -> list[tuple[np.ndarray, Scene]]:
    return [render_clip(5, index) for index in range(CLIPS)]


def test_small_and_complete() -> None:
    sizes = []
    for kind in ("captioner", "clap"):
        folder = Path(reference_model_dir(kind))  # type: ignore[arg-type]
        sizes += [file.stat().st_size for file in folder.iterdir()]
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["settings"]["corpus"]["held_out_seed"] == 7
    assert sum(sizes) < 4e6


def test_captioner_names_its_tags_and_the_sound(
    encoded_sound: list[tuple[np.ndarray, Scene]],
) -> None:
    captioner = TagGuidedAdapter()
    captioner.setup()
    tags = [[Tag(mid, "") for mid in scene_tags(scene)] for _, scene in encoded_sound]
    results = captioner.caption([sound for sound, _ in encoded_sound], tags, list(range(CLIPS)))
    right: Counter[bool] = Counter()
    for result, (_, scene) in zip(results, encoded_sound, strict=True):
        assert not isinstance(result, Failure)
        assert len(result) <= 4
        right[grade_caption(result[0].caption, scene).classes_right] += 1
    assert right[True] >= CLIPS / 2, right


def test_scorer_separates_true_from_false(encoded_sound: list[tuple[np.ndarray, Scene]]) -> None:
    scorer = DualEncoderScorer()
    scorer.setup()
    audio = np.stack(
        [e for e in scorer.embed_audio([s for s, _ in encoded_sound]) if not isinstance(e, Failure)]
    )
    text = scorer.embed_text([scene.captions[0] for _, scene in encoded_sound])
    scores = audio @ text.T
    true, false = np.diag(scores), scores[~np.eye(CLIPS, dtype=bool)]
    assert np.median(true) > np.quantile(false, 0.9)
