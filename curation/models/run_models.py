"""Builds the adapters of all models of a run, by part (captioner, scorer, tagger)."""

from typing import NamedTuple

from curation.config.run import RunConfig
from curation.models.captioners.base import Captioner
from curation.models.captioners.build import build_captioner
from curation.models.scorers.base import Scorer
from curation.models.scorers.build import build_scorer
from curation.models.taggers.base import Tagger
from curation.models.taggers.build import build_tagger


class RunModels(NamedTuple):
    """The adapters of the models in a run's YAML; no weights are loaded until `setup`."""

    captioner: Captioner
    scorer: Scorer
    second_scorer: Scorer | None
    tagger: Tagger | None

    @property
    def sample_rates_hz(self) -> tuple[int, ...]:
        """The different sampling rates of the models."""
        return tuple(sorted({each.sample_rate_hz for each in self if each}))

    @property
    def identities(self) -> dict[str, dict[str, str]]:
        """Name, revision and content hash of each model of the run, by part."""
        parts = self._asdict().items()
        return {part: dict(each.identity) for part, each in parts if each}


def build_run_models(config: RunConfig) -> RunModels:
    """Build the adapters of a run. Raises InputError if a model is missing."""
    return RunModels(
        captioner=build_captioner(config.captioner),
        scorer=build_scorer(config.scorer),
        second_scorer=build_scorer(config.second_scorer) if config.second_scorer else None,
        tagger=build_tagger(config.tags.tagger) if config.tags.tagger else None,
    )
