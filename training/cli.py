"""`tagscribe-train`: parses, calls the trainers, prints and writes what they made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, logging

from curation.errors import InputError
from training import captioner as captioner_training
from training import config as configuration
from training import metrics
from training import pretrain as pretraining

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train tagscribe's models. What is trained opens as `model:` of a run's captioner or "
    "scorer.",
)

Config = Annotated[
    str | None,
    typer.Argument(
        metavar="[CONFIG]",
        help="YAML of the settings that differ from the reference; none trains the reference.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of weights, tokenizer and metrics.json.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of weights, order and corpus.")]


@app.command()
def captioner(config: Config = None, out: Out = Path("captioner"), seed: Seed = 0) -> None:
    """Train the tag-guided captioner on procedural sounds.

    Renders the sounds, trains, and prints how many held-out clips are captioned wholly right
    without tags, with noisy and with true tags. The reference takes under ten minutes on two
    cores.
    """
    settings = configuration.load(config, configuration.CaptionerTraining)
    model, tokenizer, report = captioner_training.train(settings, seed)
    _save(out, model, tokenizer, {"seed": seed, "settings": settings.model_dump(), **report})
    relations = report["none"]["by_relation"]
    metrics.table(
        "held-out captions wholly right, by the tags given",
        ["tag F1", "all right", *relations],
        {
            guidance: [
                report[guidance]["tag_f1"],
                report[guidance]["all_right"],
                *report[guidance]["by_relation"].values(),
            ]
            for guidance in captioner_training.GUIDANCE
        },
    )


@app.command()
def pretrain(
    config: Config = None,
    out: Out = Path("clap"),
    seed: Seed = 0,
    esc10: Annotated[
        Path | None,
        typer.Option(help="Folder of ESC-10: also name the recordings of its fold 1."),
    ] = None,
) -> None:
    """Pre-train the dual encoder (CLAP) on procedural sounds.

    Renders the sounds, trains with hard negatives, and prints how well held-out true captions are
    told from wrong ones of each kind, and retrieval. The reference takes under ten minutes on two
    cores.
    """
    settings = configuration.load(config, configuration.PretrainTraining)
    model, tokenizer, report = pretraining.train(settings, seed, esc10)
    _save(out, model, tokenizer, {"seed": seed, "settings": settings.model_dump(), **report})
    metrics.table(
        "held-out true captions against wrong ones: AUC",
        list(report["auc"]),
        {"AUC": list(report["auc"].values())},
    )
    metrics.table(
        "retrieval among the held-out clips",
        list(report["text_to_audio"]),
        {
            way.replace("_", " "): list(report[way].values())
            for way in ("text_to_audio", "audio_to_text")
        },
    )
    if "esc10_fold1" in report:
        accuracy = report["esc10_fold1"]["accuracy"]
        metrics.table("ESC-10, fold 1, zero-shot", ["accuracy"], {"10 classes": [accuracy]})


def main() -> None:
    """The console script: mistakes of the user end in one line, not in a traceback."""
    logging.disable_progress_bar()
    try:
        app()
    except InputError as error:
        typer.echo(f"tagscribe-train: {error}", err=True)
        raise SystemExit(1) from error


def _save(
    out: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    report: Mapping[str, Any],
) -> None:
    """Write weights in half precision, the tokenizer, and metrics.json."""
    model.to(torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    metrics.write(str(out / "metrics.json"), report)
    typer.echo(f"wrote {model.num_parameters():,} parameters to {out}")
