"""The commands under `tagscribe models`: which models there are, which work, what they score."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from curation import console
from curation.errors import InputError

if TYPE_CHECKING:
    from curation.checks.findings import Finding
    from curation.checks.parts import Section
    from curation.config import RunConfig
    from curation.models.catalogue import Entry

app = typer.Typer(help="Choose the models of a run.", no_args_is_help=True)

Yaml = Annotated[str, typer.Argument(metavar="RUN.YAML", help="The run's configuration.")]
_SECTION = "A section as run.yaml has it, such as '{kind: clap, model: /models/clap}'."


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, for machines.")] = False,
) -> None:
    """List the models that can be plugged in, with licence, size, memory and traps.

    Memory is that of the weights in bfloat16; what is computed from them comes on top.
    """
    from curation.models.catalogue import catalogue

    entries = catalogue()
    if as_json:
        told = [{**asdict(entry), "bf16_bytes": entry.bf16_bytes} for entry in entries]
        print(json.dumps(told, indent=2))
        return
    console.print_table(
        "Models",
        ["model", "part", "kind", "licence", "parameters", "bf16", "rate", "tags"],
        [_listed(entry) for entry in entries],
    )
    console.print_fields({entry.model: entry.note for entry in entries})


@app.command("check")
def check_command(
    yaml: Annotated[
        str | None, typer.Argument(metavar="[RUN.YAML]", help="Check all models of a run.")
    ] = None,
    captioner: Annotated[str | None, typer.Option(metavar="YAML", help=_SECTION)] = None,
    scorer: Annotated[str | None, typer.Option(metavar="YAML", help=_SECTION)] = None,
    tagger: Annotated[str | None, typer.Option(metavar="YAML", help=_SECTION)] = None,
) -> None:
    """Load models here and test them on built-in sounds; exits with 1 when one is refused.

    A scorer must tell matched from shuffled pairs, a captioner write captions, a tagger put classes
    of AudioSet; and all of them the same again, whatever lies beside a clip.
    """
    from curation.checks.parts import check

    sections = _sections(yaml, {"captioner": captioner, "scorer": scorer, "tagger": tagger})
    refused = []
    for part, findings in check(sections):
        console.out.print(f"{part}: {sections[part].model}")
        _print_findings(findings)
        if not all(finding.passed for finding in findings):
            refused.append(part)
    if refused:
        console.err.print(f"tagscribe: refused: {', '.join(refused)}")
        raise typer.Exit(1)


@app.command("calibrate")
def calibrate_command(
    yaml: Yaml,
    clips: Annotated[int, typer.Option(min=2, help="Clips of the sample.")] = 200,
    precision: Annotated[
        float, typer.Option(min=0, max=1, help="Share of right captions that is wanted.")
    ] = 0.9,
    prior: Annotated[
        float, typer.Option(min=0, max=1, help="Share of right captions before any filter.")
    ] = 0.5,
    captions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.CSV",
            help="Recordings with captions instead of the run's evidence: columns file and "
            "caption, and right (1 or 0) where people judged them.",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Instead of calibration/ in the run.")
    ] = None,
) -> None:
    """Say what a run's scorer means by its scores, and which threshold gives a precision.

    Takes the best captions of an annotated run, each with its own clip and with clips that have no
    tag in common. Writes calibration.json and calibration.svg.
    """
    from curation import storage
    from curation.calibration.calibrate import calibrate

    config = _load(yaml)
    folder = out or storage.join(config.run, "calibration")
    found = calibrate(config, clips, precision, prior, captions, folder)
    console.print_table(
        f"{found.captions} captions, {found.clips} clips, scored by {found.scorer['model']}",
        ["score", "matched", "shuffled"],
        found.rows(),
    )
    for sentence in found.sentences():
        console.out.print(sentence)
    console.out.print(f"written: {folder}/calibration.json and calibration.svg")


def _load(yaml: str) -> "RunConfig":
    from curation import config, storage

    loaded = config.load(yaml)
    storage.configure(loaded.storage)
    return loaded


def _sections(yaml: str | None, options: dict[str, str | None]) -> "dict[str, Section]":
    """The models to check: those of a run, or those named one by one."""
    from curation import config
    from curation.checks.parts import sections_of

    named = {part: text for part, text in options.items() if text is not None}
    if (yaml is None) != bool(named):
        raise InputError("name the models to check: either RUN.YAML, or --captioner, --scorer, ...")
    if yaml is not None:
        return sections_of(_load(yaml))
    return {part: config.parse_model(part, text) for part, text in named.items()}


def _print_findings(findings: "list[Finding]") -> None:
    width = max(len(finding.test) for finding in findings)
    for test, passed, told in findings:
        console.out.print(f"  {'ok' if passed else 'FAILED':<6}  {test:<{width}}  {told}")


def _listed(entry: "Entry") -> list[str]:
    rate = "" if entry.sample_rate_hz is None else f"{entry.sample_rate_hz // 1000} kHz"
    return [
        entry.model,
        entry.part,
        entry.kind,
        entry.licence,
        _rounded(entry.parameters),
        f"{_rounded(entry.bf16_bytes)}B",
        rate,
        {True: "yes", False: "no", None: ""}[entry.tags],
    ]


def _rounded(number: int) -> str:
    """Three digits and the letter of the thousands: 776578 becomes 777 k."""
    for letter, unit in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return str(number)
