"""When the shards of a run were worked on, and the speed while all workers were at work."""

import itertools
from collections.abc import Sequence

from curation.run import evidence
from curation.run.layout import RunFolder

# Start and end of the work on a shard, in Unix time.
Span = tuple[float, float]


def read_shard_times(run: RunFolder) -> list[Span]:
    """When each shard was worked on, in the order of the shards, from the footers of evidence."""
    files = list(evidence.list_evidence_files(run).values())
    footers = evidence.read_footer_metadata(run.storage, files)
    spans = [evidence.ShardFooter.parse(*footer).spans for footer in footers]
    return [(shard[0].started_s, shard[-1].ended_s) for shard in spans]


def measure_steady_rate(times: Sequence[Span], clips: int) -> float:
    """Clips a second from the first to the last moment at which all workers had a shard.

    Workers that start one after the other, and those that have no shard left at the end, are thus
    not part of it. The clips of a shard count by the part of its time that lies in between.
    """
    changes = sorted((at, step) for span in times for at, step in zip(span, (1, -1), strict=True))
    at_work = list(itertools.accumulate(step for _, step in changes))
    busiest = [place for place, count in enumerate(at_work) if count == max(at_work)]
    begun, ended = changes[busiest[0]][0], changes[busiest[-1] + 1][0]
    within = sum(max(0.0, min(end, ended) - max(start, begun)) for start, end in times)
    return clips * within / sum(end - start for start, end in times) / (ended - begun)
