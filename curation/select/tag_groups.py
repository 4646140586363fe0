"""Groups clips for `stratify_by: tag`: a clip's group is its rarest tag in the run."""

import numpy as np


def group_by_rarest_tag(clip_tags: list[list[str]]) -> np.ndarray:
    """Return the group of each clip, int `[clips]`; clips without a tag are one group.

    Of equally rare tags the first by mid is used.
    """
    _, flat = np.unique([mid for tags in clip_tags for mid in tags], return_inverse=True)
    lengths = [len(tags) for tags in clip_tags]
    return group_by_rarest_number(np.r_[0, np.cumsum(lengths, dtype=np.int64)], flat)


def group_by_rarest_number(starts: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Group clips as `group_by_rarest_tag` does, for tags given as numbers.

    The numbers are in the order of the tags' mids.

    Args:
        starts: int `[clips + 1]`; the tags of clip c are `tags[starts[c] : starts[c + 1]]`.
        tags: int `[tags of all clips]`.

    Returns int `[clips]`.
    """
    frequency = np.bincount(tags)
    clip = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    best = np.lexsort((tags, frequency[tags], clip))
    tagged, first = np.unique(clip[best], return_index=True)
    groups = np.full(len(starts) - 1, len(frequency), np.int64)
    groups[tagged] = tags[best[first]]
    return groups
