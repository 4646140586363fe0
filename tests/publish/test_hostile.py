"""Hostile content: captions, names and ids with markup, quotes, control and right-to-left marks are
text in the card, in metadata, in tars and in file names."""

import json
import re
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from curation.config.run import RunConfig
from curation.publish import source
from curation.publish.options import DatasetFormat, PublishOptions
from curation.publish.publication import prepare_publication
from curation.publish.publish import PublishResult, publish_dataset
from curation.publish.text import escape_markdown, strip_paths, to_file_key
from curation.run.layout import RunFolder
from curation.text_safety import escape_invisible
from tests.publish.conftest import OPEN, RATE_HZ, make_run

HOSTILE = (
    "<script>alert(1)</script>",
    "![x](https://evil.example/pixel.png) [click](javascript:alert(1))",
    'a "quoted" | cell \\ `code` $x$',
    "line one\n---\nlicense: cc0\n---\n# heading",
    "\u202egnp.exe\u202c \u200bhidden\x00\x1b[31m\x85\u2028",
    "{{ jinja }} ${env} %s &lt;b&gt;",
)
NAME = "evil\n---\nlicense: mit\n---\n<img src=x onerror=alert(1)> # [a](b)"


def caption_of(clip: int) -> str:
    return f"{HOSTILE[clip % len(HOSTILE)]} {clip}"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return make_run(tmp_path_factory.mktemp("hostile"), caption_of, clips=12)


@pytest.fixture(scope="module")
def published(hostile: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    write(hostile, folder, NAME)
    return folder


def write(config: RunConfig, folder: Path, name: str) -> PublishResult:
    formats = tuple(DatasetFormat)
    options = PublishOptions(
        name, formats, True, RATE_HZ, 0.0, 0.0, licence=NAME, creator=NAME, about=NAME
    )
    return publish_dataset(
        prepare_publication(source.load_run_source(RunFolder.from_config(config)), options, OPEN),
        str(folder),
    )


def test_the_header_says_what_it_would_say_otherwise(published: Path) -> None:
    text = (published / "README.md").read_text()
    assert text.count("\n---\n") == 1
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["pretty_name"] == header["license"] == escape_invisible(NAME)
    assert len(header) == 7 and "onerror" not in header


def test_the_card_has_no_markup_of_others(published: Path) -> None:
    body = (published / "README.md").read_text().split("---\n", 2)[2]
    # What is indented is shown as it is.
    text = "\n".join(line for line in body.splitlines() if not line.startswith("    "))
    assert "<" not in text.replace("<id>", "").replace("<start>", "").replace("<YouTube id>", "")
    assert not re.search(r"(?<!\\)\]\(", text)
    assert not re.search("[\u202e\u202c\u200b\u2028\x00\x1b\x85]", text)
    titles = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(titles) == 1 and "U+000A" in titles[0]
    for line in text.splitlines():
        if line.startswith("| a/tone"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5


def test_every_caption_comes_back_as_it_was_written(published: Path) -> None:
    expected = {caption_of(clip) for clip in range(12)}
    rows = pq.read_table(next((published / "data").iterdir()))
    assert expected < set(rows["caption"].to_pylist())
    with tarfile.open(published / "webdataset" / "train" / "00000.tar") as tar:
        members = {member.name: tar.extractfile(member) for member in tar}
        texts = {f.read().decode() for name, f in members.items() if f and name.endswith(".txt")}
    assert texts == expected
    lines = (published / "jsonl" / "nemo-train-00000-of-00001.jsonl").read_bytes().split(b"\n")
    assert expected < {json.loads(line)["text"] for line in lines if line}
    assert json.loads((published / "croissant.json").read_text())["license"] == NAME


@pytest.mark.parametrize(
    "clip_id",
    ["../../etc/passwd", "/abs", "..", "a\\b", "a.b.flac", "\u202ex", "nul\x00", "x" * 500, "C:x"],
)
def test_a_key_is_one_plain_name(clip_id: str) -> None:
    key = to_file_key(clip_id)
    assert re.fullmatch("[A-Za-z0-9_%-]{1,90}", key)
    assert key != to_file_key(clip_id + "_")


def test_members_of_tars_stay_in_their_folder(published: Path) -> None:
    with tarfile.open(published / "webdataset" / "train" / "00000.tar") as tar:
        names = tar.getnames()
    assert all(re.fullmatch(r"[A-Za-z0-9_%-]+\.(flac|txt|json)", name) for name in names)
    assert "a%2Ftone00.flac" in names


def test_markdown_is_one_line_of_text() -> None:
    assert escape_markdown("a|b\n<b>*c*") == r"a\|b⟨U+000A⟩&lt;b&gt;\*c\*"
    assert escape_markdown("http://x.y") == r"http\://x.y"
    assert escape_markdown("a - plain: caption (of 2)") == "a - plain: caption (of 2)"


def test_paths_of_a_configuration_lose_their_folders() -> None:
    config = {
        "model": "/home/me/models/clap",
        "hub": "org/name",
        "of": ["s3://bucket/key", 3, None],
    }
    assert strip_paths(config) == {"model": "clap", "hub": "org/name", "of": ["key", 3, None]}
