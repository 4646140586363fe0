"""When the shards of a run were worked on, from the footers of its evidence."""

from curation.run import evidence
from curation.run.layout import RunFolder


def read_shard_times(run: RunFolder) -> list[tuple[float, float]]:
    """Start and end of each shard in Unix time, in the order of the shards."""
    files = list(evidence.list_evidence_files(run).values())
    footers = evidence.read_footer_metadata(run.storage, files)
    spans = [evidence.ShardFooter.parse(*footer).spans for footer in footers]
    return [(shard[0].started_s, shard[-1].ended_s) for shard in spans]
