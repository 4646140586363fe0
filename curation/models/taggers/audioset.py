"""The adapter of AudioSet taggers, which are audio classifiers of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curation.config.models import TaggerConfig
from curation.errors import InputError
from curation.models import files
from curation.models.pretrained_adapter import PretrainedAdapter
from curation.schema import Failure, Tag
from curation.tags import ontology

if TYPE_CHECKING:
    from curation.models.taggers.classifier import Classifier

_NAMED_LABELS = 3


@dataclass(frozen=True, kw_only=True)
class AudioSetTagger(PretrainedAdapter):
    """Implements `Tagger` with an audio classifier of transformers over AudioSet's classes.

    AudioSet's classes do not exclude each other, so the confidence of a class is the sigmoid of the
    model's output. (transformers' pipeline takes the softmax over all classes, unless the model's
    problem_type is multi-label.)
    """

    expected = "an audio classifier"

    config: TaggerConfig

    def setup(self) -> None:
        """Load the weights.

        Raises InputError if the directory has another kind of model, if its labels are not
        AudioSet's, or if a threshold is set for a class that the model lacks.
        """
        _ = self._thresholds
        super().setup()

    def tag(self, waveforms: Sequence[np.ndarray]) -> list[list[Tag] | Failure]:
        """Predict the tags of a batch of clips; see `Tagger`.

        Tags of equal confidence are in the order of the model's outputs. Empty clips, and samples
        or outputs that are not finite, are failures. The front end decides which part of a long
        clip is used: that of AST takes the first 10.24 s.
        """
        return [
            result if isinstance(result, Failure) else self._top_tags(result)
            for result in self._loaded.confidences(waveforms)
        ]

    def _top_tags(self, confidences: np.ndarray) -> list[Tag]:
        """The tags of one clip, by the confidences `[class]` of its classes."""
        order = np.argsort(-confidences, kind="stable")
        selected = order[confidences[order] >= self._thresholds[order]][: self.config.top_k]
        return [
            replace(
                self._classes[output], confidence=float(confidences[output]), origin="predicted"
            )
            for output in selected
        ]

    @cached_property
    def _classes(self) -> list[Tag]:
        """The class of each of the model's outputs."""
        return read_audioset_classes(self._folder)

    @cached_property
    def _thresholds(self) -> np.ndarray:
        """The threshold of each of the model's outputs, float32 `[class]`."""
        mids, own = [known.mid for known in self._classes], self.config.thresholds
        unknown = [ontology.class_name(mid) for mid in own if mid not in mids]
        if unknown:
            raise InputError(
                f"thresholds: {', '.join(unknown)}: {self.model} has no such class; leave it out"
            )
        return np.array([own.get(mid, self.config.threshold) for mid in mids], np.float32)

    @cached_property
    def _loaded(self) -> Classifier:
        from curation.models.taggers.classifier import Classifier

        return Classifier(self._folder, self.config, self.device)


def read_audioset_classes(folder: Path) -> list[Tag]:
    """Read the AudioSet class of each output of a classifier, from id2label in its config.json.

    Raises InputError that names some of the labels that are neither the name nor the id of an
    AudioSet class.
    """
    outputs = files.read_model_config(folder).get("id2label") or {}
    labels = [str(outputs[number]) for number in sorted(outputs, key=int)]
    classes, unknown = [], []
    for label in labels:
        try:
            classes.append(ontology.find_tag(label))
        except InputError:
            unknown.append(label)
    if unknown or not classes:
        few = ", ".join(map(repr, unknown[:_NAMED_LABELS]))
        among = f", among them {few}" if few else ""
        raise InputError(
            f"{folder / 'config.json'}: {len(unknown)} of {len(labels)} labels are no AudioSet "
            f"classes{among}; expected a tagger whose id2label has them, by name or by id"
        )
    return classes
