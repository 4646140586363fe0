"""Output of commands: a progress bar on a terminal, plain lines elsewhere, nothing with `quiet`."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from curation.redact import redact_secrets
from curation.text_safety import escape_invisible
from curation.units import format_span

# Results go to stdout, progress to stderr, so that a pipe holds results alone.
stdout = Console(highlight=False, soft_wrap=True, markup=False)
stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
PLAIN_INTERVAL_S = 10.0

ProgressCallback = Callable[[int, int], None]


@contextmanager
def show_progress(label: str, unit: str, quiet: bool = False) -> Iterator[ProgressCallback]:
    """Show the units done, their rate, and the time left, during a block.

    Yields a callback `(done, total)` that updates them.
    """
    if quiet:
        yield lambda done, total: None
    elif stderr.is_terminal:
        yield from _bar(label, unit)
    else:
        yield _plain(label, unit)


@contextmanager
def show_activity(label: str, quiet: bool = False) -> Iterator[None]:
    """Show the elapsed time of an activity that has no countable units, during a block."""
    if quiet:
        yield
    elif stderr.is_terminal:
        columns = TextColumn(label), BarColumn(), TimeElapsedColumn()
        with Progress(*columns, console=stderr, transient=True) as bar:
            bar.add_task(label, total=None)
            yield
    else:
        started = time.monotonic()

        def report() -> None:
            elapsed = time.monotonic() - started
            so_far = f" ({format_span(elapsed)} so far)" if elapsed >= PLAIN_INTERVAL_S else ""
            print(f"{label} ...{so_far}", file=sys.stderr, flush=True)

        with poll_in_background(report, PLAIN_INTERVAL_S):
            yield


def _bar(label: str, unit: str) -> Iterator[ProgressCallback]:
    rate = TextColumn("{task.fields[rate]}")
    with Progress(
        TextColumn(label), BarColumn(), MofNCompleteColumn(), TextColumn(unit), rate,
        TimeRemainingColumn(elapsed_when_finished=True), console=stderr,
    ) as bar:  # fmt: skip
        task = bar.add_task(label, total=None, rate="")
        meter = _Meter()
        yield lambda done, total: bar.update(
            task, completed=done, total=total, rate=f"{meter.rate(done):.1f} {unit}/s"
        )


def _plain(label: str, unit: str) -> ProgressCallback:
    """Lines for logs: at the start, every few seconds, and at the end."""
    meter = _Meter()
    last = [-PLAIN_INTERVAL_S, -1.0]

    def update(done: int, total: int) -> None:
        now = time.monotonic()
        due = now - last[0] >= PLAIN_INTERVAL_S or done == total
        if not due or done == last[1]:
            return
        last[:] = [now, done]
        rate = meter.rate(done)
        speed = f", {rate:.1f} {unit}/s" if rate else ""
        left = f", {format_span((total - done) / rate)} left" if rate and done < total else ""
        print(f"{label}: {done} of {total} {unit}{speed}{left}", file=sys.stderr, flush=True)

    return update


@contextmanager
def poll_in_background(poll: Callable[[], None], interval_s: float) -> Iterator[None]:
    """Call `poll` every `interval_s` seconds in a thread, during a block.

    An error of a call is printed, unless the previous call raised the same error. Polling
    continues.
    """
    ended = threading.Event()

    def watch() -> None:
        last_error = ""
        while True:
            error = _call_safely(poll)
            if error and error != last_error:
                stderr.print(f"progress could not be read or recorded ({error}); the work goes on")
            last_error = error
            if ended.wait(interval_s):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _call_safely(poll: Callable[[], None]) -> str:
    """The message of the exception that a call raises; empty if it raises none."""
    try:
        poll()
    except Exception as error:
        return redact_secrets(f"{type(error).__name__}: {error}")
    return ""


class _Meter:
    """Units a second since the first update, so that a resumed run shows its own speed."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def rate(self, done: int) -> float:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        elapsed = now - self._first[0]
        return (done - self._first[1]) / elapsed if elapsed > 0 else 0.0


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout; columns of numbers are right-aligned, and others left-aligned.

    Control characters, which file names may contain, are printed as their code points.
    """
    table = Table(title=title, title_justify="left", title_style="bold")
    texts = [[escape_invisible(str(cell)) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        numbers = all(_begins_with_number(row[index]) for row in texts)
        table.add_column(column, justify="right" if numbers and texts else "left")
    for row in texts:
        table.add_row(*map(Text, row))
    stdout.print(table)


def _begins_with_number(cell: str) -> bool:
    """Whether a cell is a number, which a unit or a second number may follow, or says "none"."""
    first = cell.partition(" ")[0].strip("$%±").replace(",", "")
    try:
        float(first)
    except ValueError:
        return first in ("", "-")
    return True


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one per line; invisible characters are printed as code points."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        stdout.print(f"{name:<{width}}  {escape_invisible(str(value))}")
