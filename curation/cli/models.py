"""The commands under `tagscribe models`: list known models, check models, calibrate a scorer."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from curation import console
from curation.errors import InputError
from curation.units import format_bytes

if TYPE_CHECKING:
    from curation.models.catalogue import CatalogueEntry
    from curation.models.checks.findings import ModelTestFinding
    from curation.models.checks.parts import ModelSection

app = typer.Typer(help="Choose the models of a run.", no_args_is_help=True)

Yaml = Annotated[str, typer.Argument(metavar="RUN.YAML", help="The run's configuration.")]
_COLUMNS = ["part", "model", "kind", "parameters", "weights", "rate", "tags", "licence"]
_SECTION = "A section as run.yaml has it, such as '{kind: clap, model: /models/clap}'."


@app.command("list")
def list_models_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the supported models, with licence, size, memory and known pitfalls.

    Memory is that of the weights: in float32 for the kinds tag_guided, remote_code and clap, and in
    bfloat16 for the others. Activations need additional memory.
    """
    from curation.models.catalogue import list_catalogue

    entries = list_catalogue()
    if as_json:
        entries_json = [{**asdict(entry), "weight_bytes": entry.weight_bytes} for entry in entries]
        print(json.dumps(entries_json, indent=2))
        return
    rows = [_COLUMNS, *map(_format_row, entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, note in zip(rows, ["", *(entry.note for entry in entries)], strict=True):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        console.stdout.print("  ".join(cells).rstrip())
        if note:
            console.stdout.print(f"    {note}")


@app.command("check")
def check_models_command(
    yaml: Annotated[
        str | None, typer.Argument(metavar="[RUN.YAML]", help="Check all models of a run.")
    ] = None,
    captioner: Annotated[str | None, typer.Option(metavar="YAML", help=_SECTION)] = None,
    scorer: Annotated[str | None, typer.Option(metavar="YAML", help=_SECTION)] = None,
    tagger: Annotated[str | None, typer.Option(metavar="YAML", help=_SECTION)] = None,
) -> None:
    """Load models and test them on built-in sounds. Exits with 1 if a model is refused.

    A scorer must separate matched from shuffled pairs, a captioner must write captions, and a
    tagger must predict AudioSet classes. Every model must give the same results when it runs again,
    and in any batch.
    """
    from curation.models.checks.parts import check_models

    sections = _sections(yaml, {"captioner": captioner, "scorer": scorer, "tagger": tagger})
    refused = []
    for part, findings in check_models(sections):
        console.stdout.print(f"{part}: {sections[part].model}")
        _print_findings(findings)
        if not all(finding.passed for finding in findings):
            refused.append(part)
    if refused:
        console.stderr.print(f"tagscribe: refused: {', '.join(refused)}")
        raise typer.Exit(1)


@app.command("calibrate")
def calibrate_scorer_command(
    yaml: Yaml,
    clips: Annotated[int, typer.Option(min=2, help="Clips of the sample.")] = 200,
    precision: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of right captions to reach with the threshold."),
    ] = 0.9,
    prior: Annotated[
        float, typer.Option(min=0, max=1, help="Share of right captions before any filter.")
    ] = 0.5,
    captions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.CSV",
            help="Recordings with captions instead of the run's evidence: columns file and "
            "caption, and right (1 or 0) if judged; or the file of review --export.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Folder of the results; default: calibration/ in the run."
        ),
    ] = None,
) -> None:
    """Print the distribution of a run's scores, and the threshold for a precision.

    Uses the best caption of each clip of an annotated run. A matched pair is this caption and its
    own clip. A shuffled pair is this caption and a clip that shares no tag with its own clip.
    Writes calibration.json and calibration.svg.
    """
    from curation.calibration.calibrate import calibrate
    from curation.run import config_file
    from curation.uris import join_uri

    run = config_file.read_run_config(yaml)
    folder = out or join_uri(run.run, "calibration")
    found = calibrate(run, clips, precision, prior, captions, folder)
    console.print_table(
        f"{found.captions} captions, {found.clips} clips, scored by {found.scorer['model']}",
        ["score", "matched", "shuffled"],
        found.rows(),
    )
    for sentence in found.sentences():
        console.stdout.print(sentence)
    console.stdout.print(f"written: {folder}/calibration.json and calibration.svg")


def _sections(yaml: str | None, options: dict[str, str | None]) -> "dict[str, ModelSection]":
    """The models to check: those of a run, or those named one by one."""
    from curation.models.checks.parts import model_sections
    from curation.run import config_file

    named = {part: text for part, text in options.items() if text is not None}
    if (yaml is None) != bool(named):
        raise InputError("name the models to check: either RUN.YAML, or --captioner, --scorer, ...")
    if yaml is not None:
        return model_sections(config_file.read_run_config(yaml))
    return {part: config_file.parse_model_section(part, text) for part, text in named.items()}


def _print_findings(findings: "list[ModelTestFinding]") -> None:
    width = max(len(finding.test) for finding in findings)
    for test, passed, detail in findings:
        console.stdout.print(f"  {'ok' if passed else 'FAILED':<6}  {test:<{width}}  {detail}")


def _format_row(entry: "CatalogueEntry") -> list[str]:
    return [
        entry.part,
        entry.model,
        entry.kind,
        f"{entry.parameters / 1e6:,.1f} M",
        format_bytes(entry.weight_bytes),
        f"{entry.sample_rate_hz} Hz" if entry.sample_rate_hz else "",
        {True: "yes", False: "no", None: ""}[entry.tags],
        entry.licence,
    ]
