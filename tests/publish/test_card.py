"""What card, metadata and facts tell of a run: models by part, scores, tags, the policy."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from curation import table
from curation.config.run import RunConfig
from curation.publish import provenance, source
from curation.publish.options import DatasetFormat, PublishOptions
from curation.publish.publication import prepare_publication
from curation.publish.publish import publish_dataset
from curation.run import layout as runs
from curation.run.layout import RunFolder
from curation.storage.files import Storage
from tests.publish.conftest import CLIPS, MODELS, OPEN, RATE_HZ, Row, make_run, publication

SECOND = {"model": "org/second", "revision": "r2"}
TAGGER = {"model": "org/tagger", "revision": "r3"}


def score_by_two(row: Row) -> None:
    """A tagger added a tag, the scorer scored tags, a second one captions; no log-probability."""
    row["tags"].append(
        {"mid": "/m/0838f", "name": "Water", "confidence": 0.75, "origin": "predicted"}
    )
    row["tag_scores"] = [0.5, 0.25, 0.125]
    for place, candidate in enumerate(row["candidates"]):
        number = int(row["clip_id"][-2:])
        candidate.update(log_prob=None, second_score=0.5 + number / 100 - place / 1000)


@pytest.fixture(scope="module")
def by_more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published of a run with a tagger and two scorers, by a captioner that tells no likelihood."""
    folder = tmp_path_factory.mktemp("more")
    config = make_run(
        folder,
        clips=8,
        models={**MODELS, "second_scorer": SECOND, "tagger": TAGGER},
        change_row=score_by_two,
        second_scorer=SECOND,
        tags={"use": "both", "tagger": TAGGER, "verify": {"min_score": 0.2}},
        select={"max_per_clip": 2, "min_second_score": 0.51, "top_fraction": 0.9},
    )
    options = PublishOptions(
        "more", tuple(DatasetFormat), True, RATE_HZ, 0.0, 0.0, about="Tones of ours."
    )
    publish_dataset(
        prepare_publication(source.load_run_source(RunFolder.from_config(config)), options, OPEN),
        str(folder / "out"),
    )
    return folder / "out"


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text()


def test_the_card_describes_the_run(run: RunConfig, captions: Path) -> None:
    text = card_of(captions)
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["configs"][0]["data_files"][0] == {
        "split": "train",
        "path": "data/train-*.parquet",
    }
    assert header["size_categories"] == ["n<1K"]
    assert f"{2 * CLIPS} captions of {CLIPS} clips" in text
    assert f"| captioner | captioner (`{'c' * 64}`) |" in text
    assert "| scorer | org/scorer (`r1`) |" in text
    assert "second" not in text and "tagger" not in text.replace("predicted by the tagger", "")
    version = table.read_newest_version(Storage(), runs.table_uri(run.run))
    assert (
        version and f"| id of this choice of captions | `{version.lineage['selection']}` |" in text
    )


def test_the_facts_name_the_source(run: RunConfig, captions: Path) -> None:
    claim = json.loads((captions / "dataset.json").read_text())["claim"]
    assert claim["origin"]["policy"]["max_per_clip"] == 2
    assert claim["origin"]["table_version"] == 0
    assert (
        prepare_publication(
            source.load_run_source(RunFolder.from_config(run)), PublishOptions("other"), None
        ).claim["rows"]
        == claim["rows"]
    )


def test_the_card_names_every_model_and_what_it_did(by_more: Path) -> None:
    text = card_of(by_more)
    assert "| second scorer | org/second (`r2`) |" in text
    assert "| tagger | org/tagger (`r3`) |" in text
    assert "those that a tagger predicted beside them. One whose name scores below 0.2" in text
    assert "scores each caption against the sound, and so does a second one." in text
    assert "Captions with a second score below 0.51 are rejected." in text
    assert (
        "The best 2 captions are taken of each clip, by CLAP score. Of these, the best 90 %" in text
    )
    assert "The recordings: Tones of ours." in text
    assert "| `second_score` | 0.519 to 0.570, median" in text
    assert "log_prob" not in text


def test_predicted_tags_differ_from_given_ones(by_more: Path) -> None:
    text = card_of(by_more)
    clips = len(rows_of(by_more)["clip_id"].unique())
    counted = f"{2 * clips} as they came with the clips, {clips} by the tagger"
    assert f"| tags of the clips | {counted} |" in text
    assert f"{clips} of the clips' {3 * clips} tags are a tagger's" in text
    assert "| Dog, Rain, Water (predicted) |" in text
    lines = (by_more / "jsonl" / "lhotse-supervisions-train-00000-of-00001.jsonl").read_text()
    tags = json.loads(lines.splitlines()[0])["custom"]["tags"]
    assert [tag["origin"] for tag in tags] == ["human", "human", "predicted"]


def rows_of(folder: Path) -> Any:
    return pq.read_table(folder / "data" / "train-00000-of-00001.parquet")


def test_a_caption_has_the_second_score_that_it_was_given(by_more: Path) -> None:
    rows = rows_of(by_more)
    for row in rows.to_pylist():
        number, place = int(row["clip_id"][-2:]), row["caption"].startswith("another")
        assert row["second_score"] == pytest.approx(0.5 + number / 100 - place / 1000)
        assert row["tag_scores"] == [0.5, 0.25, 0.125]
    assert rows["second_scorer"].unique().to_pylist() == ["org/second@r2"]
    assert "log_prob" not in rows.column_names


def test_manifests_and_tars_have_the_second_scores_too(by_more: Path) -> None:
    import webdataset

    tar = str(by_more / "webdataset" / "train" / "00000.tar")
    for sample in webdataset.WebDataset(tar, shardshuffle=False).decode():
        facts = sample["json"]
        assert len(facts["second_score"]) == len(facts["clap_score"]) == len(facts["text"])
        assert facts["tag"] == ["Dog", "Rain", "Water"] and "log_prob" not in facts


def test_croissant_reads_what_other_models_added(by_more: Path) -> None:
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=by_more / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    record = next(iter(dataset.records("pairs")))
    assert record["pairs/second_score"] == pytest.approx(
        rows_of(by_more)["second_score"][0].as_py()
    )
    assert list(record["pairs/tag_scores"]) == [0.5, 0.25, 0.125]
    assert "Captions with a second score below" in dataset.metadata.description


def test_a_dataset_says_where_it_has_no_licence_no_recordings_and_no_parquet(
    run: RunConfig, tmp_path: Path
) -> None:
    publish_dataset(publication(run, DatasetFormat.JSONL), str(tmp_path))
    text = card_of(tmp_path)
    assert "No licence of captions, scores and ids was named." in text
    assert "The publisher did not state which recordings these are." in text
    assert "It has no Parquet files" in text and "`data/`" not in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {},
            [
                "Tags are those that came",
                "A captioner receives the clip and its tags; it writes 4 captions.",
            ],
        ),
        ({"captioner": {"guidance": "none"}}, ["A captioner receives the clip without its tags;"]),
        (
            {"adaptive": {"first": 2, "enough_score": 0.3}},
            ["4 captions, 2 at first and the rest where none of those scores 0.3."],
        ),
        (
            {"tags": {"use": "predicted", "tagger": TAGGER}},
            ["a tagger predicted for the clips; others"],
        ),
        (
            {"select": {"min_score": 0.3}},
            ["The best caption is taken of each clip, by CLAP", "score 0.3 or more are accepted"],
        ),
        (
            {"select": {"score": "log_prob", "top_fraction": 0.5, "stratify_by": "tag"}},
            ["The best caption is taken of each clip, by log-", "the best 50 % of each tag are"],
        ),
    ],
)
def test_the_provenance_is_described_in_sentences(
    run: RunConfig, settings: dict[str, Any], expected: list[str]
) -> None:
    config = RunConfig.model_validate({**run.model_dump(mode="json"), **settings})
    origin = {
        "settings": config.evidence_settings(),
        "policy": config.select.model_dump(mode="json"),
    }
    sentences = " ".join(provenance.describe_steps(origin))
    assert all(part in sentences for part in expected), sentences
