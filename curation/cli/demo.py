"""The command `tagscribe demo`."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.arguments import Quiet


def demo_command(
    out: Annotated[
        Path, typer.Option(help="Folder of the demo; an existing one is replaced.")
    ] = Path("runs/demo"),
    clips: Annotated[int, typer.Option(min=20, help="Clips of the procedural corpus.")] = 480,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the corpus.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Demonstrate the method: make a corpus, caption it with and without tags, filter, and grade.

    The sounds are procedural, so the right captions are known. Three runs caption the same clips:
    with noisy tags, with true tags and without tags. OUT has the run with noisy tags, and
    OUT/compare has the other two.
    """
    from curation.demo.demo import run_demo

    run_demo(str(out), clips, seed, quiet)
