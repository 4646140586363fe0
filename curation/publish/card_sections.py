"""Writes the sections of the dataset card: how a dataset was made, and how it may be used."""

from typing import Any

from curation.publish import provenance
from curation.publish.options import UNKNOWN_LICENCE
from curation.publish.summary import PublishSummary
from curation.publish.text import escape_markdown, format_markdown_table, to_plain_name
from curation.text_safety import escape_invisible

_METHOD = "Xu et al., BLAT: Bootstrapping Language-Audio Pre-training based on AudioSet Tag-guided "
_METHOD += "Synthetic Data, ACM MM 2023"


def format_provenance(summary: PublishSummary) -> str:
    """Describe how the dataset was made: the figures of the run, and its steps."""
    origin = summary.origin
    failed = sum(origin["errors"].values())
    rows: list[tuple[str, str]] = [
        ("clips listed", f"{origin['clips']:,}"),
        ("failed", f"{failed:,}, {origin['missing']:,} of them for want of audio"),
        ("given captions", f"{origin['annotated']:,}"),
        ("in this dataset", f"{summary.total.clips:,}"),
        *(
            (escape_markdown(part.replace("_", " ")), _model(it))
            for part, it in origin["models"].items()
        ),
        *(
            (f"`{name}`", f"{least:.3f} to {greatest:.3f}, median {median:.3f}")
            for name, (least, median, greatest) in summary.scores.items()
        ),
        ("tags of the clips", _tags(summary.tags)),
        ("version", f"{origin['table_version']}, of {origin['committed']}"),
        ("id of this choice of captions", f"`{origin['selection']}`"),
        ("hash of the list of clips", f"`{origin['plan_hash']}`"),
        ("hash of settings and models", f"`{origin['config_hash']}`"),
        ("software", _format_facts(origin["versions"])),
    ]
    steps = "".join(
        f"{number}. {escape_markdown(step)}\n"
        for number, step in enumerate(provenance.describe_steps(origin), 1)
    )
    return (
        f"## How it was made\n\nBy tagscribe:\n\n{steps}\n"
        + format_markdown_table(("of the run", ""), rows)
        + "\nEvery setting and the whole policy: `dataset.json`, under `claim.origin`.\n"
    )


def format_licences(summary: PublishSummary) -> str:
    """Describe the licences of captions and audio, and the clips that they exclude."""
    text = (
        "No licence of captions, scores and ids was named.\n"
        if summary.options.licence == UNKNOWN_LICENCE
        else f"The captions, scores and ids: {escape_markdown(summary.options.licence)}.\n"
    )
    if not summary.options.audio:
        text += (
            "\nThe audio is not part of this dataset. It is licensed by its owners; what they "
            "allow was not looked at.\n"
        )
    elif not summary.licences:
        text += "\nThe audio was joined from a folder; its licences were not looked at.\n"
    else:
        text += "\nThe audio, each clip by its own licence (column `licence`):\n\n"
        rows = [
            (escape_markdown(name), f"{count:,}")
            for name, count in sorted(summary.licences.items())
        ]
        text += format_markdown_table(("licence", "captions"), rows)
    if summary.excluded:
        rows = [
            (escape_markdown(reason), f"{count:,}") for reason, count in summary.excluded.items()
        ]
        text += "\nLeft out, clip by clip in `excluded.csv`:\n\n"
        text += format_markdown_table(("why", "clips"), rows)
    return f"## Licences\n\n{text}"


def format_known_faults(summary: PublishSummary) -> str:
    """List the known faults of the captions, and the clips that failed."""
    origin = summary.origin
    faults = [
        "Captions are a model's: they can name sounds that are not there, miss some that are, and "
        "repeat themselves. CLAP scores agree only weakly with people's judgement.",
        "A CLAP score means something beside scores of the same scorer alone.",
        "Clips that stand in test sets of others (AudioCaps, Clotho, VGGSound, ESC-50) were not "
        "looked for here; leave them out before you evaluate on those.",
    ]
    if any(identity["model"] == "reference" for identity in origin["models"].values()):
        faults.append(
            "The captioner or the scorer is tagscribe's small reference model, trained on "
            "procedural sounds of 44 classes alone; what it says of other sounds is worth little."
        )
    if predicted := summary.tags.get("predicted"):
        faults.append(
            f"{predicted:,} of the clips' {sum(summary.tags.values()):,} tags are a tagger's: no "
            "person put them there."
        )
    faults += [f"{count:,} clips failed: {kind}." for kind, count in origin["errors"].items()]
    return "## Known faults\n\n" + "".join(f"- {escape_markdown(fault)}\n" for fault in faults)


def format_sample(summary: PublishSummary) -> str:
    """Show a few rows of the dataset."""
    rows = [
        (
            escape_markdown(row["clip_id"]),
            escape_markdown(row["caption"]),
            f"{row['clap_score']:.3f}",
            escape_markdown(", ".join(map(_tag, row["tags"]))),
        )
        for row in summary.sample
    ]
    header = ("clip", "caption", "CLAP score", "tags")
    return "## A sample\n\n" + format_markdown_table(header, rows)


def format_rebuilding(summary: PublishSummary) -> str:
    """Explain how to join the captions with a folder of audio."""
    if summary.options.audio:
        return "## Rebuild\n\nThe audio is in it; nothing needs to be joined.\n"
    rule = (
        "Files are found by YouTube id, as `<id>.wav`, `Y<id>.wav` or `<id>_<start>.flac`, in any "
        "audio format."
        if summary.origin["catalog"] == "audioset"
        else "Files are found by `file`, or by its name with another audio extension."
    )
    return (
        "## Rebuild\n\nWith a folder of the audio of your own:\n\n"
        "    tagscribe rebuild path/to/this/folder --audio FOLDER --out DIR\n\n"
        f"{rule} It says how many clips were found, and how many files have the very bytes that "
        "were annotated (`audio_sha256`). Without tagscribe: a caption is that of `file` from "
        "`start_s` to `end_s`.\n"
    )


def format_citation(summary: PublishSummary) -> str:
    """Format a BibTeX entry of the dataset, and the reference of the method."""
    options, origin = summary.options, summary.origin
    entry = {
        "title": f"{options.name}, version {origin['table_version']}",
        "author": options.creator or "",
        "year": origin["committed"][:4],
        "howpublished": options.url or "",
        "note": f"Made with tagscribe {origin['versions']['tagscribe']}, captions of choice "
        f"{origin['selection']}",
    }
    lines = [f"  {name} = {{{_bibtex(value)}}}," for name, value in entry.items() if value]
    key = to_plain_name(options.name)
    return (
        "## Cite\n\n"
        + _indented("\n".join([f"@misc{{{key},", *lines, "}"]))
        + f"\nThe method: {escape_markdown(_METHOD)}.\n"
    )


def _tag(tag: dict[str, Any]) -> str:
    return f"{tag['name']} (predicted)" if tag["origin"] == "predicted" else str(tag["name"])


def _tags(counts: dict[str, int]) -> str:
    named = {"human": "as they came with the clips", "predicted": "by the tagger"}
    parts = (f"{count:,} {named.get(origin, origin)}" for origin, count in sorted(counts.items()))
    return escape_markdown(", ".join(parts) or "none")


def _model(identity: dict[str, Any]) -> str:
    mark = identity.get("revision") or identity.get("weights_sha256", "")
    return (
        f"{escape_markdown(identity['model'])} (`{escape_markdown(mark)}`)"
        if mark
        else escape_markdown(identity["model"])
    )


def _format_facts(facts: dict[str, Any]) -> str:
    return escape_markdown(
        ", ".join(f"{key} {value}" for key, value in facts.items() if value is not None)
    )


def _bibtex(text: str) -> str:
    return escape_invisible(text).translate({ord(brace): None for brace in "{}\\"})


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
