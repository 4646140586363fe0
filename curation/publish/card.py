"""Generates the dataset card from the run: README.md with the hub's YAML header."""

import yaml

from curation.publish.card_sections import (
    format_citation,
    format_known_faults,
    format_licences,
    format_provenance,
    format_rebuilding,
    format_sample,
)
from curation.publish.columns import COLUMN_DESCRIPTIONS
from curation.publish.files import SPLIT_PATTERNS
from curation.publish.options import DatasetFormat
from curation.publish.summary import PublishSummary
from curation.publish.text import escape_markdown, format_markdown_table
from curation.text_safety import escape_invisible

# The hub's names of sizes, by their upper bound.
_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"),
)  # fmt: skip


def build_card(summary: PublishSummary) -> bytes:
    """Build the content of README.md."""
    parts = [
        f"---\n{_header(summary)}---\n",
        f"# {escape_markdown(summary.options.name)}\n",
        _introduction(summary),
        _loading(summary),
        _columns(summary),
        _splits(summary),
        format_provenance(summary),
        format_licences(summary),
        format_known_faults(summary),
        format_sample(summary),
        format_rebuilding(summary),
        format_citation(summary),
        _files(summary),
    ]
    return "\n".join(parts).encode()


def _header(summary: PublishSummary) -> str:
    options, rows = summary.options, summary.total.rows
    pattern = SPLIT_PATTERNS[options.formats[0]]
    files = [{"split": split, "path": pattern.format(split=split)} for split in summary.splits]
    header = {
        "pretty_name": escape_invisible(options.name),
        "license": escape_invisible(options.licence),
        "language": [escape_invisible(options.language)],
        "task_categories": ["text-to-audio", "audio-classification"],
        "tags": ["audio", "audio-captioning", "clap", "synthetic-captions", "croissant"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "100M<n<1B")],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=False, width=1000)


def _introduction(summary: PublishSummary) -> str:
    total, options = summary.total, summary.options
    audio = "with the audio" if options.audio else "without the audio"
    paragraphs = [
        f"{total.rows:,} captions of {total.clips:,} clips ({total.seconds / 3600:.2f} hours), "
        f"{audio}, for training models of sound and language. The captions were written by a model "
        "from the audio, and chosen by scores of models; no person has checked each of them.",
        _recordings(summary),
    ]
    if options.creator:
        paragraphs.append(f"Published by {escape_markdown(options.creator)}.")
    if options.url:
        paragraphs.append(f"Its page: {escape_markdown(options.url)}.")
    return "\n\n".join(paragraphs) + "\n"


def _recordings(summary: PublishSummary) -> str:
    if summary.options.about:
        return f"The recordings: {escape_markdown(summary.options.about.rstrip('. '))}."
    if summary.origin["catalog"] == "audioset":
        return (
            "The recordings are AudioSet's: segments of YouTube videos, each named by the id of "
            "its video and its start in ms."
        )
    return "The publisher did not state which recordings these are."


def _loading(summary: PublishSummary) -> str:
    if DatasetFormat.PARQUET not in summary.options.formats:
        return "## Load\n\nIt has no Parquet files; see Files below for what reads the others.\n"
    first = next(iter(summary.splits), "train")
    return (
        "## Load\n\n"
        "    from datasets import load_dataset\n\n"
        '    pairs = load_dataset("path/to/this/folder")    # or streaming=True\n'
        f'    print(pairs["{first}"][0]["caption"])\n'
    )


def _columns(summary: PublishSummary) -> str:
    rows = [(f"`{name}`", escape_markdown(COLUMN_DESCRIPTIONS[name])) for name in summary.columns]
    return "## Columns\n\n" + format_markdown_table(("column", "meaning"), rows)


def _splits(summary: PublishSummary) -> str:
    rows = [
        (name, f"{counts.rows:,}", f"{counts.clips:,}", f"{counts.seconds / 3600:.2f}")
        for name, counts in summary.splits.items()
    ]
    options = summary.options
    return (
        "## Splits\n\n"
        + format_markdown_table(("split", "captions", "clips", "hours"), rows)
        + "\nA clip's split is decided by its id alone: the first 8 bytes of the SHA-256 of "
        f"`clip_id`, as a fraction of 1, below {options.test:g} for test, below "
        f"{options.test + options.validation:g} for validation, else train. All captions of a clip "
        "are in one split, and a clip keeps its split from version to version. Two clips cut from "
        "one recording may be in different splits. Captions of validation and test are a model's "
        "like all others: no truth to judge another captioner by.\n"
    )


_CONTENTS = {
    DatasetFormat.PARQUET: "`data/`: Parquet, one row a caption.",
    DatasetFormat.WEBDATASET: "`webdataset/`: tars, one sample a clip: the sound as `flac`, its "
    "best caption as `txt`, all that is known of it as `json`; `sizes.json` has the clips of each "
    "tar.",
    DatasetFormat.JSONL: "`jsonl/`: manifests of NeMo and of lhotse, one line a caption.",
}


def _files(summary: PublishSummary) -> str:
    files = [_CONTENTS[name] for name in summary.options.formats]
    files.append("`croissant.json`: what is here, for machines (mlcommons.org/croissant).")
    files.append("`CHANGELOG.md`: what changed since the version before.")
    if summary.excluded:
        files.append("`excluded.csv`: clips that are not in it, and why.")
    files += [
        "`dataset.json`: what every file was made from, with all settings.",
        "`SHA256SUMS`: of all files; `sha256sum -c SHA256SUMS` checks them.",
    ]
    return "## Files\n\n" + "".join(f"- {line}\n" for line in files)
