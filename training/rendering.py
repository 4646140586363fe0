"""Renders procedural clips in a pool of processes."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TypeVar

import torch
from tqdm import tqdm

Rendered = TypeVar("Rendered")


def render_in_pool(
    render: Callable[[int], Rendered], clips: int, workers: int, label: str, progress: bool
) -> list[Rendered]:
    """Call `render` for clips 0 to `clips` - 1 in spawned processes. Returns results in order."""
    pool = (
        multiprocessing.get_context("spawn").Pool(
            workers, initializer=torch.set_num_threads, initargs=(1,)
        )
        if workers > 1
        else nullcontext()
    )
    with pool as started:
        made: Iterator[Rendered] = (
            map(render, range(clips))
            if started is None
            else started.imap(render, range(clips), chunksize=16)
        )
        # None: shown on a terminal alone.
        return list(tqdm(made, label, clips, unit="clip", disable=None if progress else True))
