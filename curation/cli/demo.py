"""The command `tagscribe demo`."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.arguments import Quiet


def demo_command(
    out: Annotated[Path, typer.Option(help="Folder of the demo; made anew.")] = Path("runs/demo"),
    clips: Annotated[int, typer.Option(min=20, help="Clips of the procedural corpus.")] = 480,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the corpus.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Watch the method work: make a corpus, caption it with and without tags, filter, and judge.

    Sounds are made procedurally, so that what each caption should say is known. The run with noisy
    tags is left in OUT, the other two in OUT/compare.
    """
    from curation.demo.demo import run_demo

    run_demo(str(out), clips, seed, quiet)
