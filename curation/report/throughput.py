"""Computes each pool's throughput over time, from the work spans in the footers of the evidence."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from curation.run.evidence import ShardFooter

BINS = 80


@dataclass(frozen=True, eq=False)
class PoolThroughput:
    """Clips per second of each pool, `[bin]`, between the times `edges_s`, `[bin + 1]`.

    Times are relative to `begun_s`, the Unix time at which the first span starts. A shard's clips
    are spread evenly over the time during which a worker had the shard.
    """

    started_s: float
    edges_s: np.ndarray
    rates: dict[str, np.ndarray]


def pool_throughput(footers: Iterable[ShardFooter]) -> PoolThroughput | None:
    """Compute the throughput of each pool; None if no footer has spans."""
    spans = defaultdict(list)
    for footer in footers:
        for span in footer.spans:
            spans[span.pool].append((span.started_s, span.ended_s, footer.counts.clips))
    if not spans:
        return None
    arrays = {pool: np.array(rows, np.float64).T for pool, rows in spans.items()}
    begun_s = min(float(starts.min()) for starts, _, _ in arrays.values())
    ended_s = max(float(ends.max()) for _, ends, _ in arrays.values())
    edges_s = np.linspace(0.0, max(ended_s - begun_s, 1e-3), BINS + 1)
    pools = {pool: _rate(rows, begun_s + edges_s) for pool, rows in arrays.items()}
    return PoolThroughput(begun_s, edges_s, pools)


def _rate(spans: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Clips a second in each bin, from start, end and clips `[3, span]`."""
    starts, ends, clips = spans
    lengths = np.maximum(ends - starts, 1e-6)
    done = [float((np.clip((edge - starts) / lengths, 0, 1) * clips).sum()) for edge in edges]
    return np.diff(done) / np.diff(edges)
