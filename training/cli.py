"""The command `tagscribe-train`: parses arguments, calls the trainers, prints and writes results.

Each command imports what it needs, so that help does not wait for torch.
"""

import json
import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation import console
from curation.cli.arguments import Quiet
from curation.cli.version import accept_version_option
from curation.error_report import report_error
from curation.storage.files import Storage
from training.evaluate.datasets import DATASETS
from training.interrupts import TrainingStopped

if TYPE_CHECKING:
    from curation.models.caption_tokenizer import CaptionTokenizer
    from curation.models.networks.saved_network import SavedNetwork

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train and evaluate tagscribe's models. A trained model can be the `model:` of a run's "
    "captioner or scorer.",
)

Config = Annotated[
    str | None,
    typer.Argument(
        metavar="[CONFIG]",
        help="YAML of the settings that differ from the reference; without it the reference is "
        "trained.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of weights, tokenizer and metrics.json.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of weights, order and corpus.")]
Dataset = StrEnum("Dataset", {name: name for name in DATASETS})  # type: ignore[misc]


app.callback()(accept_version_option)


class Origin(StrEnum):
    """The project whose checkpoint is converted."""

    blat = "blat"
    laion = "laion"


@app.command("captioner")
def train_captioner_command(
    config: Config = None, out: Out = Path("captioner"), seed: Seed = 0
) -> None:
    """Train the tag-guided captioner on procedural sounds.

    Renders the sounds, trains, and prints the share of held-out clips with completely right
    captions without tags, with noisy and with true tags. The reference takes less than ten minutes
    on two cores.
    """
    from training.config import config_file
    from training.config import reference as reference_config
    from training.reference import captioner
    from training.reference.training_loop import train_reference_model

    settings = config_file.load_training_config(config, reference_config.ReferenceCaptionerConfig)
    model, tokenizer, report = train_reference_model(
        settings,
        seed,
        captioner.train_captioner_on_corpus,
        captioner.evaluate_reference_captioner,
    )
    _save(out, model, tokenizer, {"seed": seed, "settings": settings.model_dump(), **report})
    relations = report["none"]["by_relation"]
    _print_figures(
        "held-out captions wholly right, by the tags given",
        ["tag F1", "all right", *relations],
        {
            guidance: [
                report[guidance]["tag_f1"],
                report[guidance]["all_right"],
                *report[guidance]["by_relation"].values(),
            ]
            for guidance in captioner.GUIDANCE
        },
    )


@app.command("pretrain")
def pretrain_command(
    config: Config = None,
    out: Out = Path("clap"),
    seed: Seed = 0,
    esc10: Annotated[
        Path | None,
        typer.Option(help="Folder of ESC-10: also classify the recordings of its fold 1."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Pre-train audio and text encoders contrastively, on curated tables.

    CONFIG names the tables (data.tables) and the run's folder (run); `tagscribe-train config`
    prints a complete one. The same command resumes from the newest checkpoint after any
    interruption. Under torchrun every process calls it; with launch.cluster it runs under Ray
    Train. The result is RUN/model, which a run can use as `scorer: {kind: clap, model: RUN/model}`.

    Without data.tables it trains the reference CLAP on procedural sounds, with hard negatives;
    --out, --seed and --esc10 apply only to that. It takes seven to ten minutes on two cores.
    """
    from training.config import config_file
    from training.config import reference as reference_config

    values = {} if config is None else config_file.read_training_yaml(config)
    if config is not None and "data" in values:
        from training import launch, run_folder
        from training.config.pretrain import PretrainConfig

        settings = config_file.validate_training_config(config, values, PretrainConfig)
        launch.launch_pretraining(settings, quiet)
        folder = run_folder.model_uri(settings.run)
        typer.echo(f"the model: {folder} (tagscribe-train show {folder} prints its origin)")
        return
    from training.reference import clap
    from training.reference.training_loop import train_reference_model

    reference = config_file.load_training_config(config, reference_config.ReferenceClapConfig)
    model, tokenizer, report = train_reference_model(
        reference, seed, clap.train_clap_on_corpus, clap.evaluate_reference_clap
    )
    _save(out, model, tokenizer, {"seed": seed, "settings": reference.model_dump(), **report})
    _print_figures(
        "held-out true captions against wrong ones: AUC",
        list(report["auc"]),
        {"AUC": list(report["auc"].values())},
    )
    _print_figures(
        "retrieval among the held-out clips",
        list(report["text_to_audio"]),
        {
            way.replace("_", " "): list(report[way].values())
            for way in ("text_to_audio", "audio_to_text")
        },
    )
    if esc10 is not None:
        from curation.models.scorers.dual_encoder import DualEncoderScorer
        from training.evaluate import procedural
        from training.evaluate.evaluation import evaluate_on_dataset

        prompts = procedural.esc10_prompts(Storage(), str(esc10))
        scorer = DualEncoderScorer(str(out))
        evaluate_on_dataset(Storage(), scorer, "esc10", str(esc10), "1", prompts=prompts)


@app.command("demo")
def pretrain_demo_command(
    run: Annotated[str, typer.Option(help="The folder of tagscribe demo.")] = "runs/demo",
    epochs: Annotated[int, typer.Option(min=1, help="Version of its table.")] = 100,
    quiet: Quiet = False,
) -> None:
    """Pre-train a small model on the demo's table; compare it with chance and the reference."""
    from training import demo

    demo.pretrain_demo(run, epochs, quiet)


@app.command("config")
def print_config_command() -> None:
    """Print the whole configuration of `pretrain`: every key with its default."""
    import yaml

    from training.config.pretrain import PretrainConfig

    example = PretrainConfig.model_validate(
        {"run": "runs/pretrain", "data": {"tables": ["runs/mine/table"]}}
    )
    typer.echo(yaml.safe_dump(example.model_dump(mode="json"), sort_keys=False), nl=False)


@app.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Argument(help="'reference', a directory, or a hub id.")],
    dataset: Annotated[Dataset, typer.Option(help="Name of the data set.")],
    data: Annotated[str, typer.Option(help="Folder of the data set as published; local or s3://.")],
    split: Annotated[
        str | None, typer.Option(help="Default: the split on which figures are published.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a hub id; pin it.")] = None,
    prompts: Annotated[
        str | None,
        typer.Option(help="JSON of captions by class, evaluated in addition to the fixed prompts."),
    ] = None,
    out: Annotated[str | None, typer.Option(help="Path of the result, as JSON.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Clips embedded at once.")] = 8,
    max_duration_s: Annotated[
        float, typer.Option(help="Longer clips are cut to the centre of this length.")
    ] = 10.0,
    quiet: Quiet = False,
) -> None:
    """Evaluate a model by zero-shot classification (labels) or by retrieval (captions).

    Under torchrun the processes share the clips. The result has data version, clip count, split,
    prompts and crop rule; docs/evaluation.md describes the data sets' layouts and the result's
    keys.
    """
    from curation.models.scorers.dual_encoder import DualEncoderScorer
    from training import launch
    from training.evaluate.evaluation import evaluate_on_dataset
    from training.evaluate.prompts import read_prompts

    given = read_prompts(Storage(), prompts) if prompts else None
    scorer = DualEncoderScorer(model=model, revision=revision)
    with launch.torchrun_process_group():
        evaluate_on_dataset(
            Storage(), scorer, dataset.value, data, split, out, given, batch, max_duration_s, quiet
        )


@app.command("show")
def show_lineage_command(
    model: Annotated[str, typer.Argument(help="A model's directory.")],
) -> None:
    """Print the origin of a model: tables, versions, policy, captioner, scorer, code."""
    from training import run_folder

    lineage = run_folder.read_model_lineage(Storage(), model)
    fields: dict[str, object] = {"step": lineage["step"]}
    for index, table in enumerate(lineage["tables"]):
        made = table["lineage"]
        name = "table" if len(lineage["tables"]) == 1 else f"table {index + 1}"
        fields[name] = f"{table['uri']} version {table['version']}"
        for key in ("policy", "captioner", "scorer", "plan_hash", "tagscribe"):
            if key in made:
                value = made[key]
                fields[f"  {key}"] = json.dumps(value) if isinstance(value, dict) else value
    fields["trained with"] = json.dumps(lineage["versions"])
    fields["last figures"] = json.dumps(lineage["figures"])
    console.print_fields(fields)


@app.command("export")
def export_model_command(
    run: Annotated[str, typer.Argument(help="The folder of a pre-training.")],
    out: Annotated[str, typer.Argument(help="Folder of the model.")],
    checkpoint: Annotated[str | None, typer.Option(help="Default: the newest.")] = None,
) -> None:
    """Write the model of a checkpoint, for instance of a training that is still running."""
    from training import export

    about = export.export_model(Storage(), run, out, checkpoint)
    typer.echo(f"wrote the model of step {about['step']} to {out}")


@app.command("bench-loader")
def bench_loader_command(
    config: Annotated[str, typer.Argument(help="The YAML of a pre-training.")],
    workers: Annotated[str, typer.Option(help="Numbers of decoders to try.")] = "0,1,2",
    batches: Annotated[int, typer.Option(min=1, help="Batches timed for each.")] = 20,
) -> None:
    """Measure how many clips per second the loader provides, by its number of decoders."""
    from training import pretrain_model
    from training.config import config_file
    from training.config.pretrain import PretrainConfig
    from training.data import loader_benchmark
    from training.data.table_index import TableIndex

    settings = config_file.validate_training_config(
        config, config_file.read_training_yaml(config), PretrainConfig
    )
    storage = Storage(settings.storage)
    pairs = TableIndex.concat(
        [TableIndex.open(storage, each.uri, each.version) for each in settings.data.tables]
    )
    pair, _ = pretrain_model.build_pretrain_model(settings, pairs.all_captions)
    rows = loader_benchmark.measure_loader_speed(
        pairs,
        settings.data,
        settings.schedule.global_batch_size,
        pair.sample_rate_hz,
        batches,
        [int(count) for count in workers.split(",")],
    )
    console.print_table(
        f"the loader alone, {len(pairs):,} clips",
        ["decoders", "clips/s", "MB/s", "first batch, s"],
        [
            [r.workers, f"{r.clips_per_s:.1f}", f"{r.mb_per_s:.1f}", f"{r.first_batch_s:.1f}"]
            for r in rows
        ],
    )
    typer.echo(json.dumps({f"clips_per_s_{row.workers}": row.clips_per_s for row in rows}))


@app.command("convert")
def convert_checkpoint_command(
    origin: Annotated[Origin, typer.Argument(help="Project of the checkpoint.")],
    checkpoint: Annotated[Path, typer.Argument(help="BLAT's model.pth, or LAION-CLAP's .pt.")],
    tokenizer: Annotated[
        str, typer.Option(help="Directory of the text tower's tokenizer (BERT-medium; RoBERTa).")
    ],
    out: Annotated[Path, typer.Option(help="The model's directory.")],
) -> None:
    """Convert a released checkpoint to a directory for scorers, trainers and evaluation."""
    from training.convert.blat import convert_blat
    from training.convert.laion import convert_laion_clap

    converted = {Origin.blat: convert_blat, Origin.laion: convert_laion_clap}[origin]
    converted(checkpoint, out, tokenizer)
    typer.echo(f"wrote {out}")


def main() -> None:
    """The console script: every error, and a signal, ends in one line without a traceback.

    The exit status after a signal is 128 + its number.
    """
    try:
        app()
    except TrainingStopped as stopped:
        if os.environ.get("RANK", "0") == "0":
            typer.echo(f"tagscribe-train: {stopped}", err=True)
        raise SystemExit(128 + stopped.signal_number) from stopped
    except Exception as error:
        raise SystemExit(report_error("tagscribe-train", error)) from error


def _print_figures(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> None:
    console.print_table(
        title, ["", *columns], [[name, *(f"{v:.3f}" for v in row)] for name, row in rows.items()]
    )


def _save(
    out: Path,
    model: "SavedNetwork",
    tokenizer: "CaptionTokenizer",
    report: Mapping[str, Any],
) -> None:
    """Write weights in half precision, the tokenizer, and metrics.json."""
    import torch

    from curation.models import weights

    weights.save_network(model.to(torch.float16), out)
    tokenizer.save(out)
    text = json.dumps(report, indent=2) + "\n"
    Storage().put(str(out / "metrics.json"), text.encode())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    typer.echo(f"wrote {parameters:,} parameters to {out}")
