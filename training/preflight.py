"""Whether a configuration can be trained on, known before there is a model."""

from training import run_folder, tracking
from training.config.pretrain import PretrainConfig
from training.data.loader import need_batch
from training.data.table_index import Pairs


def need_trainable(config: PretrainConfig, world: int) -> Pairs:
    """The clips to train on. Raises InputError for whatever of the configuration cannot be done."""
    tracking.need_installed(config.saving.trackers)
    pairs = run_folder.open_pairs(config)
    need_batch(pairs, config.schedule.batch, world)
    return pairs
