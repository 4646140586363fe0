"""mteb takes the encoder for one of its own, and ranks by it as we do; needs mteb installed."""

import sys
from typing import Any

import numpy as np
import pytest

from curation.errors import InputError
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.synth.mixing import render_clip
from training.evaluate.maeb import MaebEncoder


def test_without_mteb_the_error_says_what_to_install(
    reference: DualEncoderScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the import system does where a package is not installed.
    for name in [name for name in sys.modules if name.partition(".")[0] == "mteb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(InputError, match="mteb.* is not installed: pip install 'mteb>=2.8'"):
        MaebEncoder(reference)


@pytest.fixture
def encoder(reference: DualEncoderScorer) -> MaebEncoder:
    pytest.importorskip("mteb", reason="mteb is no dependency: pip install 'mteb>=2.8'")
    return MaebEncoder(reference)


def test_the_encoder_fulfils_the_protocol(
    encoder: MaebEncoder, reference: DualEncoderScorer
) -> None:
    from mteb.models import EncoderProtocol

    assert isinstance(encoder, EncoderProtocol)
    meta = encoder.mteb_model_meta
    assert meta.name == "tagscribe/reference"
    assert meta.revision == reference.identity["weights_sha256"]


def test_a_task_in_memory_is_scored_as_by_hand(
    encoder: MaebEncoder, reference: DualEncoderScorer
) -> None:
    import mteb
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.abstasks.zeroshot_classification import AbsTaskZeroShotClassification

    prompts = ["a dog barking", "rain falling"]
    rendered = [render_clip(5, index, 22050)[0] for index in range(6)]
    sounds = [{"array": sound, "sampling_rate": 22050} for sound in rendered]
    labels = [0, 1, 0, 1, 0, 1]

    class InMemory(AbsTaskZeroShotClassification):
        metadata = TaskMetadata(
            name="InMemoryZeroshot",
            description="Six procedural sounds.",
            type="AudioZeroshotClassification",
            category="a2t",
            modalities=["audio", "text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="accuracy",
            dataset={"path": "in/memory", "revision": "1"},
        )
        input_column_name = "audio"
        label_column_name = "label"

        def load_data(self, **_: Any) -> None:
            rows = {"audio": sounds, "label": labels}
            self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
            self.data_loaded = True

        def get_candidate_labels(self) -> list[str]:
            return prompts

    result = mteb.evaluate(encoder, InMemory(), cache=None, show_progress_bar=False)
    [scores] = result.task_results[0].scores["test"]
    loader = [{"audio": [sound]} for sound in sounds]
    audio = encoder.encode(
        loader, task_metadata=InMemory.metadata, hf_split="test", hf_subset="default"
    )
    named = (audio @ reference.embed_text(prompts).T).argmax(axis=1)
    assert scores["accuracy"] == pytest.approx(np.mean(named == labels))
