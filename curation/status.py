"""Where a run stands, from its folder alone: no cluster, no process of the run is asked."""

from dataclasses import dataclass

from curation import plan, run, sink, table


@dataclass(frozen=True)
class Status:
    """Shards and clips done of those planned, outcomes so far, and the newest table version."""

    plan: plan.Plan
    shards_done: int
    clips_done: int
    counts: sink.ShardCounts
    version: table.Version | None

    @property
    def complete(self) -> bool:
        return self.shards_done == self.plan.shards


def status(run_uri: str) -> Status:
    """Read a run's status. Raises InputError where there is no run."""
    planned = plan.recorded(run.need_record(run_uri))
    done = sink.done_shards(run_uri)
    counts = sink.total(sink.read_counts(run_uri, done))
    return Status(
        plan=planned,
        shards_done=len(done),
        clips_done=counts.clips,
        counts=counts,
        version=table.newest(run.table_uri(run_uri)),
    )
