"""The models of a run, as adapters by the part they play."""

from typing import NamedTuple

from curation.config.run import RunConfig
from curation.models import captioners, scorers, taggers
from curation.models.captioners.base import Captioner
from curation.models.scorers.base import Scorer
from curation.models.taggers.base import Tagger


class Adapters(NamedTuple):
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


def build(config: RunConfig) -> Adapters:
    """The adapters of a run. Raises InputError where a model is not there."""
    return Adapters(
        captioner=captioners.build(config.captioner),
        scorer=scorers.build(config.scorer),
        second_scorer=scorers.build(config.second_scorer) if config.second_scorer else None,
        tagger=taggers.build(config.tags.tagger) if config.tags.tagger else None,
    )
