"""The size of a shard under `annotate.shard_clips: auto`: a function of the number of clips.

The size does not depend on the machine, so a catalog has the same plan everywhere. docs/engine.md
has tables of sizes, made by `python -m benchmarks.shard_size`.
"""

import math

from curation.config.annotate import AnnotateConfig

# Two million clips are 3,907 files of evidence; each is listed by the driver, and read by select.
MAX_SHARD_CLIPS = 512
# A shard has a fixed cost: with the smallest models a clip takes a quarter longer in shards of 8.
SMALL_SHARD_CLIPS = 8
# Clips of ten seconds in a model batch of 160 s, which all captioners but the built-in one have.
BATCH_CLIPS = 16
# Ray uses CPU time for each shard, which shows where the models are small.
MEDIUM_SHARD_CLIPS = 32


def resolve_shard_clips(config: AnnotateConfig, clips: int) -> int:
    """Return the number of clips of a shard: the YAML's number, or for `auto` the chosen one."""
    if config.shard_clips != "auto":
        return config.shard_clips
    # Models that are offloaded are moved once a shard, whatever its size.
    return MAX_SHARD_CLIPS if config.model_memory == "offload" else choose_shard_clips(clips)


def choose_shard_clips(clips: int) -> int:
    """Choose the number of clips of a shard: half the square root of `clips`, within bounds.

    So there are four times as many shards as clips in a shard. The share of time in which workers
    have no shard left, and the number of files, both grow more slowly than the number of clips.
    From 1,024 clips on, a shard has at least 32 clips, and a multiple of 16, which avoids small
    batches. Fewer than 16 clips are split into two shards.
    """
    half_root = math.isqrt(clips) // 2
    if half_root < BATCH_CLIPS:
        return max(1, min(-(-clips // 2), max(half_root, SMALL_SHARD_CLIPS)))
    rounded = half_root - half_root % BATCH_CLIPS
    return min(max(rounded, MEDIUM_SHARD_CLIPS), MAX_SHARD_CLIPS)
