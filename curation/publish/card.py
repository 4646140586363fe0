"""The dataset card: README.md with the YAML header that the hub reads, all of it from the run."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from curation.publish.columns import DESCRIPTIONS
from curation.publish.files import PATTERNS
from curation.publish.summary import Summary
from curation.publish.text import markdown
from curation.visible import visible

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_METHOD = "Xu et al., BLAT: Bootstrapping Language-Audio Pre-training based on AudioSet Tag-guided "
_METHOD += "Synthetic Data, ACM MM 2023"


def card(summary: Summary) -> bytes:
    """The card as the bytes of README.md."""
    parts = [
        f"---\n{_header(summary)}---\n",
        f"# {markdown(summary.options.name)}\n",
        _opening(summary),
        _loading(summary),
        _columns(summary),
        _splits(summary),
        _making(summary),
        _licences(summary),
        _faults(summary),
        _sample(summary),
        _rebuilding(summary),
        _citing(summary),
        _FILES,
    ]
    return "\n".join(parts).encode()


def _header(summary: Summary) -> str:
    options, rows = summary.options, summary.total.rows
    pattern = PATTERNS[options.formats[0]]
    files = [{"split": split, "path": pattern.format(split=split)} for split in summary.splits]
    header = {
        "pretty_name": visible(options.name),
        "license": visible(options.licence),
        "language": [visible(options.language)],
        "task_categories": ["text-to-audio", "audio-classification"],
        "tags": ["audio", "audio-captioning", "clap", "synthetic-captions", "croissant"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "1M<n<10M")],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=False, width=1000)


def _opening(summary: Summary) -> str:
    total = summary.total
    with_audio = "with the audio" if summary.options.audio else "without the audio"
    return (
        f"{total.rows:,} captions of {total.clips:,} clips ({total.seconds / 3600:.2f} hours), "
        f"{with_audio}. The captions were written by a model from the sound, and kept by their "
        "CLAP score; no person has checked each of them.\n"
    )


def _loading(summary: Summary) -> str:
    first = next(iter(summary.splits), "train")
    return (
        "## Load\n\n"
        "    from datasets import load_dataset\n\n"
        '    pairs = load_dataset("path/to/this/folder")    # or streaming=True\n'
        f'    print(pairs["{first}"][0]["caption"])\n'
    )


def _columns(summary: Summary) -> str:
    rows = [(f"`{name}`", markdown(DESCRIPTIONS[name])) for name in summary.columns]
    return "## Columns\n\n" + _table(("column", "meaning"), rows)


def _splits(summary: Summary) -> str:
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
        "one recording may be in different splits.\n"
    )


def _making(summary: Summary) -> str:
    origin = summary.origin
    least, median, greatest = summary.scores
    rows: list[tuple[str, str]] = [
        ("clips listed", f"{origin['clips']:,} (catalog: {markdown(origin['catalog'])})"),
        ("without audio", f"{origin['missing']:,}"),
        ("annotated", f"{origin['annotated']:,}"),
        *((markdown(part), _model(told)) for part, told in origin["models"].items()),
        ("policy", _told(origin["policy"])),
        ("CLAP scores kept", f"{least:.3f} to {greatest:.3f}, median {median:.3f}"),
        ("table version", f"{origin['table_version']}, of {origin['committed']}"),
        ("selection", f"`{origin['selection']}`"),
        ("plan, configuration", f"`{origin['plan_hash'][:16]}`, `{origin['config_hash'][:16]}`"),
        ("software", _told(origin["versions"])),
    ]
    settings = json.dumps(origin["settings"], indent=1, sort_keys=True)
    return (
        "## How it was made\n\n"
        "By tagscribe: a captioner that is told a clip's AudioSet tags writes candidates, a CLAP "
        "model scores each against the sound, and a policy keeps some.\n\n"
        + _table(("", ""), rows)
        + "\nSettings that decide what captions say:\n\n"
        + _indented(settings)
    )


def _licences(summary: Summary) -> str:
    told = f"The captions, scores and ids: {markdown(summary.options.licence)}.\n"
    if not summary.options.audio:
        told += (
            "The audio is not part of this dataset, and its licences are those of its owners: "
            "AudioSet's clips, for one, are parts of YouTube videos.\n"
        )
    elif not summary.licences:
        told += "The audio was joined from a folder; its licences were not looked at.\n"
    else:
        told += "\nThe audio, each clip by its own licence (column `licence`):\n\n"
        rows = [(markdown(name), f"{count:,}") for name, count in sorted(summary.licences.items())]
        told += _table(("licence", "captions"), rows)
    if summary.left_out:
        rows = [(markdown(reason), f"{count:,}") for reason, count in summary.left_out.items()]
        told += "\nLeft out, clip by clip in `left_out.csv`:\n\n" + _table(("why", "clips"), rows)
    return f"## Licences\n\n{told}"


def _faults(summary: Summary) -> str:
    origin = summary.origin
    faults = [
        "Captions are a model's: they can name sounds that are not there, miss some that are, and "
        "repeat themselves. CLAP scores agree only weakly with people's judgement.",
        "A CLAP score means something beside scores of the same scorer alone.",
        "Clips that stand in test sets of others (AudioCaps, Clotho, VGGSound, ESC-50) were not "
        "looked for here; leave them out before you evaluate on those.",
    ]
    if any(told["model"] == "reference" for told in origin["models"].values()):
        faults.append(
            "The captioner or the scorer is tagscribe's small reference model, trained on "
            "procedural sounds of 44 classes alone; what it says of other sounds is worth little."
        )
    faults += [f"{count:,} clips failed: {kind}." for kind, count in origin["errors"].items()]
    return "## Known faults\n\n" + "".join(f"- {markdown(fault)}\n" for fault in faults)


def _sample(summary: Summary) -> str:
    rows = [
        (
            markdown(row["clip_id"]),
            markdown(row["caption"]),
            f"{row['clap_score']:.3f}",
            markdown(", ".join(tag["name"] for tag in row["tags"])),
        )
        for row in summary.sample
    ]
    return "## A sample\n\n" + _table(("clip", "caption", "CLAP score", "tags"), rows)


def _rebuilding(summary: Summary) -> str:
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
        "were annotated (`audio_sha256`).\n"
    )


def _citing(summary: Summary) -> str:
    origin = summary.origin
    entry = {
        "title": f"{summary.options.name}, version {origin['table_version']}",
        "year": origin["committed"][:4],
        "note": f"Made with tagscribe {origin['versions'].get('tagscribe', '')}, selection "
        f"{origin['selection']}",
    }
    lines = [f"  {name} = {{{_bibtex(value)}}}," for name, value in entry.items()]
    return (
        "## Cite\n\n"
        + _indented("\n".join(["@misc{dataset,", *lines, "}"]))
        + f"\nThe method: {markdown(_METHOD)}.\n"
    )


_FILES = """## Files

`data/` Parquet, `webdataset/` tars, `jsonl/` manifests of NeMo and lhotse, as far as they were
asked for; `croissant.json` metadata for machines; `CHANGELOG.md`; `left_out.csv`; `dataset.json`
what every file was made from; `SHA256SUMS`, to be checked by `sha256sum -c SHA256SUMS`.
"""


def _model(told: dict[str, Any]) -> str:
    mark = told.get("revision") or told.get("weights_sha256", "")
    return f"{markdown(told['model'])} (`{markdown(mark)}`)" if mark else markdown(told["model"])


def _told(facts: dict[str, Any]) -> str:
    return markdown(
        ", ".join(f"{key} {value}" for key, value in facts.items() if value is not None)
    )


def _bibtex(text: str) -> str:
    return visible(text).translate({ord(brace): None for brace in "{}\\"})


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
