"""Checks whether a configuration can be trained, before a model is built."""

from training import run_folder, tracking
from training.config.pretrain import PretrainConfig
from training.data.loader import check_batch_size
from training.data.table_index import TableIndex


def check_trainable(config: PretrainConfig, world: int) -> TableIndex:
    """Return the training clips. Raises InputError if the configuration cannot be trained."""
    tracking.check_trackers_installed(config.saving.trackers)
    pairs = run_folder.open_training_tables(config)
    check_batch_size(pairs, config.schedule.global_batch_size, world)
    return pairs
