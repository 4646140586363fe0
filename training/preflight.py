"""Whether a configuration can be trained on, known before there is a model."""

from training import run_folder, tracking
from training.config.pretrain import PretrainConfig
from training.data.loader import check_batch_size
from training.data.table_index import TableIndex


def check_trainable(config: PretrainConfig, world: int) -> TableIndex:
    """The clips to train on. Raises InputError for whatever of the configuration cannot be done."""
    tracking.check_trackers_installed(config.saving.trackers)
    pairs = run_folder.open_training_tables(config)
    check_batch_size(pairs, config.schedule.global_batch_size, world)
    return pairs
