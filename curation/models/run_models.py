"""The models of a run, as adapters by the part they play."""

from typing import NamedTuple

from curation.config.run import RunConfig
from curation.models.captioners.base import Captioner
from curation.models.captioners.build import build_captioner
from curation.models.scorers.base import Scorer
from curation.models.scorers.build import build_scorer
from curation.models.taggers.base import Tagger
from curation.models.taggers.build import build_tagger


class RunModels(NamedTuple):
    """What a run's YAML names, light until set up."""

    captioner: Captioner
    scorer: Scorer
    second_scorer: Scorer | None
    tagger: Tagger | None

    @property
    def sample_rates_hz(self) -> tuple[int, ...]:
        """The rates at which they listen, each once."""
        return tuple(sorted({each.sample_rate_hz for each in self if each}))

    @property
    def identities(self) -> dict[str, dict[str, str]]:
        """Name, revision and content hash of each model there is, by the part it plays."""
        parts = self._asdict().items()
        return {part: dict(each.identity) for part, each in parts if each}


def build_run_models(config: RunConfig) -> RunModels:
    """The adapters of a run. Raises InputError if a model is not there."""
    return RunModels(
        captioner=build_captioner(config.captioner),
        scorer=build_scorer(config.scorer),
        second_scorer=build_scorer(config.second_scorer) if config.second_scorer else None,
        tagger=build_tagger(config.tags.tagger) if config.tags.tagger else None,
    )
