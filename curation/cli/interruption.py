"""Handles Ctrl-C and SIGTERM: prints what was stopped and what is done, and sets the exit code.

The exit code is that of a shell: 128 plus the number of the signal.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from curation.config.run import RunConfig

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
# Storage that does not answer must not hold up a command that is to stop.
_HURRIED = {"timeout_s": 2.0, "read_retry_timeout_s": 0.4}


class CommandGroup(TyperGroup):
    """The commands of the program. A stopped command prints at least that it was stopped."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the command line names."""
        with _exit_when_stopped(lambda: "."):
            return super().invoke(ctx)


def raise_termination(*_: object) -> None:
    """Handle SIGTERM by raising, so that workers end and the state of the run is written."""
    raise SystemExit(TERMINATED)


@contextmanager
def describe_when_stopped(config: "RunConfig") -> Iterator[None]:
    """Print the state of a run if Ctrl-C or SIGTERM stops the `with` block that works on it."""
    with _exit_when_stopped(lambda: f": {_describe_run(config)}."):
        yield


@contextmanager
def _exit_when_stopped(describe: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        word, code = "interrupted", INTERRUPTED
    except SystemExit as ended:
        # Ray has a handler of its own, which exits by the number of the signal.
        if ended.code not in (TERMINATED, signal.SIGTERM):
            raise
        word, code = "terminated", TERMINATED
    else:
        return
    try:
        rest = describe()
    except (Exception, KeyboardInterrupt):
        rest = ": what is written stays; the same command goes on."
    print(f"tagscribe: {word}{rest}", file=sys.stderr)
    raise typer.Exit(code)


def _describe_run(config: "RunConfig") -> str:
    """The state of a run's folder as a sentence."""
    from curation import table
    from curation.run import evidence, layout, plan
    from curation.run.layout import RunFolder
    from curation.run.record import read_run_record
    from curation.storage.files import Storage

    run = RunFolder(config.run, Storage(config.storage.model_copy(update=_HURRIED)))
    record = read_run_record(run)
    if record is None:
        return f"{run.uri} has no plan yet; the same command lists the catalog again"
    planned = plan.plan_from_record(record)
    done = [shard for shard in evidence.list_done_shards(run) if shard < planned.shards]
    clips = sum(map(planned.shard_size, done))
    version = table.read_newest_version(run.storage, layout.table_uri(run.uri))
    pairs = f"version {version.version} of the table" if version else "no table"
    return (
        f"{run.uri} has evidence of {clips} of {planned.clips} clips, and {pairs}; "
        "the same command goes on from there"
    )
