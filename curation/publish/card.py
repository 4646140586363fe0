"""The dataset card: README.md with the YAML header that the hub reads, all of it from the run."""

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from curation.publish import provenance
from curation.publish.columns import COLUMN_DESCRIPTIONS
from curation.publish.files import SPLIT_PATTERNS
from curation.publish.options import UNKNOWN_LICENCE, DatasetFormat
from curation.publish.summary import PublishSummary
from curation.publish.text import escape_markdown, to_plain_name
from curation.text_safety import escape_invisible

# As the hub names them, by the number below which each lies.
_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"),
)  # fmt: skip
_METHOD = "Xu et al., BLAT: Bootstrapping Language-Audio Pre-training based on AudioSet Tag-guided "
_METHOD += "Synthetic Data, ACM MM 2023"


def build_card(summary: PublishSummary) -> bytes:
    """The card as the bytes of README.md."""
    parts = [
        f"---\n{_header(summary)}---\n",
        f"# {escape_markdown(summary.options.name)}\n",
        _introduction(summary),
        _loading(summary),
        _columns(summary),
        _splits(summary),
        _provenance(summary),
        _licences(summary),
        _faults(summary),
        _sample(summary),
        _rebuilding(summary),
        _citing(summary),
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
        "that heard the sound, and chosen by scores of models; no person has checked each of them.",
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
            "The recordings are AudioSet's: stretches of YouTube videos, each named by the id of "
            "its video and its start in ms."
        )
    return "Which recordings these are, whoever published this did not say."


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
    return "## Columns\n\n" + _table(("column", "meaning"), rows)


def _splits(summary: PublishSummary) -> str:
    rows = [
        (name, f"{counts.rows:,}", f"{counts.clips:,}", f"{counts.seconds / 3600:.2f}")
        for name, counts in summary.splits.items()
    ]
    options = summary.options
    return (
        "## Splits\n\n"
        + _table(("split", "captions", "clips", "hours"), rows)
        + "\nA clip's split is decided by its id alone: the first 8 bytes of the SHA-256 of "
        f"`clip_id`, as a fraction of 1, below {options.test:g} for test, below "
        f"{options.test + options.validation:g} for validation, else train. All captions of a clip "
        "are in one split, and a clip keeps its split from version to version. Two clips cut from "
        "one recording may be in different splits. Captions of validation and test are a model's "
        "like all others: no truth to judge another captioner by.\n"
    )


def _provenance(summary: PublishSummary) -> str:
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
        + _table(("of the run", ""), rows)
        + "\nEvery setting and the whole policy: `dataset.json`, under `claim.origin`.\n"
    )


def _licences(summary: PublishSummary) -> str:
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
        text += _table(("licence", "captions"), rows)
    if summary.excluded:
        rows = [
            (escape_markdown(reason), f"{count:,}") for reason, count in summary.excluded.items()
        ]
        text += "\nLeft out, clip by clip in `excluded.csv`:\n\n" + _table(("why", "clips"), rows)
    return f"## Licences\n\n{text}"


def _faults(summary: PublishSummary) -> str:
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


def _sample(summary: PublishSummary) -> str:
    rows = [
        (
            escape_markdown(row["clip_id"]),
            escape_markdown(row["caption"]),
            f"{row['clap_score']:.3f}",
            escape_markdown(", ".join(map(_tag, row["tags"]))),
        )
        for row in summary.sample
    ]
    return "## A sample\n\n" + _table(("clip", "caption", "CLAP score", "tags"), rows)


def _rebuilding(summary: PublishSummary) -> str:
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


def _citing(summary: PublishSummary) -> str:
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


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
