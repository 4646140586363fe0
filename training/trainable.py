"""Whether a configuration can be trained on, known before there is a model."""

from training import record, tracking
from training.loader import need_batch
from training.pairs import Pairs
from training.pretrain_config import PretrainConfig


def need_trainable(config: PretrainConfig, world: int) -> Pairs:
    """The clips to train on. Raises InputError for whatever of the configuration cannot be done."""
    tracking.need_installed(config.saving.trackers)
    pairs = record.open_pairs(config)
    need_batch(pairs, config.schedule.batch, world)
    return pairs
