"""The adapter of AudioSet taggers: the classes that a classifier of transformers hears in clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curation.errors import InputError
from curation.models import files
from curation.models.adapter import Adapter
from curation.models.config import Dtype
from curation.schema import Failure, Tag
from curation.tags import ontology

if TYPE_CHECKING:
    from curation.taggers.classifier import Classifier

_FRONT_END = "preprocessor_config.json"
_EXPECTED = "an audio classifier as transformers writes it, such as AST"
_NAMED_LABELS = 3


@dataclass(frozen=True)
class AudioSetTagger(Adapter):
    """Fulfils `Tagger` with any audio classifier of transformers over AudioSet's classes.

    AudioSet's classes do not exclude each other, so each has a confidence of its own: the sigmoid
    of the model's output (where transformers' pipeline takes the softmax over all of them).

    Attributes:
        dtype: what the weights are held and computed in.
        trust_remote_code: run Python code that lies in the model's directory.
        top_k: the most tags of a clip.
        threshold: the least confidence of a tag.
        thresholds: that of single classes, by their ids.
    """

    dtype: Dtype = "bfloat16"
    trust_remote_code: bool = False
    top_k: int = 5
    threshold: float = 0.3
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def sample_rate_hz(self) -> int:
        path = self._folder / _FRONT_END
        rate = files.read_json(path).get("sampling_rate")
        if not isinstance(rate, int):
            raise InputError(f"{path}: sampling_rate is {rate!r}, expected a number of Hz")
        return rate

    def setup(self) -> None:
        """Load the weights.

        Raises InputError where the directory holds another kind of model, its labels are not
        AudioSet's, or a threshold is that of a class which it does not know.
        """
        _ = self._least
        super().setup()

    def tag(self, waveforms: Sequence[np.ndarray]) -> list[list[Tag] | Failure]:
        """The tags of a batch of clips; see `Tagger`.

        Equally sure tags come in the order of the model's outputs. Empty clips, samples and outputs
        that are not finite are failures. Of a long clip the front end says how much is heard: AST's
        takes the first 10.24 s.
        """
        return [
            heard if isinstance(heard, Failure) else self._surest(heard)
            for heard in self._loaded.confidences(waveforms)
        ]

    def _surest(self, confidences: np.ndarray) -> list[Tag]:
        """The tags of one clip, by the confidences `[class]` of its classes."""
        order = np.argsort(-confidences, kind="stable")
        kept = order[confidences[order] >= self._least[order]][: self.top_k]
        return [
            replace(
                self._classes[output], confidence=float(confidences[output]), origin="predicted"
            )
            for output in kept
        ]

    @cached_property
    def _folder(self) -> Path:
        folder = files.folder_of(self.model, self.revision, f"the directory of {_EXPECTED}")
        files.need(folder, _FRONT_END, _EXPECTED)
        if self.trust_remote_code:
            files.need_own_code(folder, "config.json", _FRONT_END)
        return folder

    @cached_property
    def _classes(self) -> list[Tag]:
        """The class of each of the model's outputs."""
        return audioset_classes(self._folder / "config.json")

    @cached_property
    def _least(self) -> np.ndarray:
        """The threshold of each of the model's outputs, float32 `[class]`."""
        mids = [known.mid for known in self._classes]
        strange = [ontology.name(mid) for mid in self.thresholds if mid not in mids]
        if strange:
            raise InputError(
                f"thresholds: {', '.join(strange)}: {self.model} has no such class; leave it out"
            )
        return np.array([self.thresholds.get(mid, self.threshold) for mid in mids], np.float32)

    @cached_property
    def _loaded(self) -> Classifier:
        from curation.taggers.classifier import Classifier

        return Classifier(self._folder, self.device, self.dtype, self.trust_remote_code)


def audioset_classes(config: Path) -> list[Tag]:
    """The AudioSet class of each output of a classifier, by the id2label of its config.json.

    Raises InputError naming some of the labels that are no AudioSet class, by name or by id.
    """
    outputs = files.read_json(config).get("id2label") or {}
    labels = [str(outputs[number]) for number in sorted(outputs, key=int)]
    classes, strange = [], []
    for label in labels:
        try:
            classes.append(ontology.tag_of(label))
        except InputError:
            strange.append(label)
    if strange or not classes:
        few = ", ".join(map(repr, strange[:_NAMED_LABELS]))
        among = f", among them {few}" if few else ""
        raise InputError(
            f"{config}: {len(strange)} of {len(labels)} labels are no AudioSet classes{among}; "
            "expected a tagger whose id2label has AudioSet's classes, by name or by id"
        )
    return classes
