"""The report of a real run, annotated by the reference models: it is true and needs nothing."""

import base64
import hashlib
import re
import shutil
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pytest
import soundfile
from PIL import Image

from curation import audio, run, sink
from curation.config import RunConfig, parse
from curation.errors import InputError
from curation.report.page import Report
from curation.select import apply
from curation.synth import write_corpus
from tests.report.page_of import addresses, clips, data, made, parsed, text, title
from tests.report.runs import annotate, candidate, failed, row, written_run

CLIPS = 12
SVG = "{http://www.w3.org/2000/svg}svg"


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """12 clips in three shards, of which one is missing and one is cut short; half selected."""
    folder = tmp_path_factory.mktemp("report")
    write_corpus(str(folder), CLIPS, seed=5)
    gone, cut, *_ = sorted((folder / "audio").iterdir())
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:2000])
    catalog = {"segments": str(folder / "segments.csv"), "audio": str(folder / "audio")}
    config = parse(
        {
            "run": str(folder / "run"),
            "catalog": {"kind": "audioset", **catalog},
            "annotate": {"shard_clips": 4},
            "select": {"keep_top": 0.5},
            "prices": {"cpu_hour": 0.5},
        },
        "test",
    )
    annotate(config)
    apply.select(config)
    return config


@pytest.fixture(scope="module")
def whole(annotated: RunConfig) -> Report:
    return made(annotated.run)


@pytest.fixture(scope="module")
def root(whole: Report) -> Element:
    return parsed(whole.html)


@pytest.fixture
def own(annotated: RunConfig, tmp_path: Path) -> RunConfig:
    """A copy of the run, to be changed."""
    shutil.copytree(annotated.run, tmp_path / "run")
    return annotated.model_copy(update={"run": str(tmp_path / "run")})


def test_the_page_asks_for_nothing(root: Element) -> None:
    assert {address[:1] for address in addresses(root)} == {"#", "d"}
    assert all(address.startswith(("#", "data:")) for address in addresses(root))
    [style] = root.iter("style")
    assert "url(" not in (style.text or "") and "@import" not in (style.text or "")


def test_only_the_script_of_the_page_may_run(root: Element) -> None:
    [script] = root.iter("script")
    digest = hashlib.sha256((script.text or "").encode()).digest()
    [policy] = [m.attrib["content"] for m in root.iter("meta") if "http-equiv" in m.attrib]
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}';" in policy
    assert policy.startswith("default-src 'none';")


def test_every_id_is_there_once_and_every_reference_is_met(whole: Report, root: Element) -> None:
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(set(ids)) == len(ids)
    inside = {address[1:] for address in addresses(root) if address.startswith("#")}
    inside |= set(re.findall(r"url\(#([^)]+)\)", whole.html))
    for element in root.iter():
        inside |= set(element.attrib.get("aria-labelledby", "").split())
    assert inside <= set(ids)


def test_the_funnel_ends_in_the_table(root: Element) -> None:
    [funnel] = [
        table
        for section in root.iter("section")
        if section.attrib["aria-labelledby"] == "funnel"
        for table in section.iter("table")
    ]
    steps = [[" ".join(cell.itertext()) for cell in row] for row in funnel.iter("tr")][1:]
    left = {step[0]: int(step[1]) for step in steps}
    assert left["clips listed"] == 12
    assert left["clips found"] == left["clips read"] == 11
    assert left["clips scored"] == left["captions best of their clip"] == 10
    assert left["captions above the threshold"] == left["pairs in the table"] == 5


def test_each_group_has_its_clips(root: Element) -> None:
    groups = {stratum: len(found) for stratum, found in clips(root).items()}
    assert groups["accepted"] + groups["narrowly rejected"] <= 10
    assert groups["error: catalog/missing"] == groups["error: decode/truncated"] == 1
    assert sum(groups.values()) == CLIPS


def test_a_clip_can_be_heard_and_seen_as_it_was(annotated: RunConfig, root: Element) -> None:
    evidence = {
        row["clip_id"]: row
        for shard in range(3)
        for row in sink.read_shard(annotated.run, shard).to_pylist()
    }
    clip = clips(root)["accepted"][0]
    [player], [picture] = clip.iter("audio"), clip.iter("img")
    row = evidence[title(clip)]
    sound, rate_hz = soundfile.read(data(player), dtype="float32")
    assert len(sound) / rate_hz == pytest.approx(row["duration_s"], abs=0.03)
    assert audio.levels(np.asarray(sound)).rms_dbfs == pytest.approx(row["rms_dbfs"], abs=1.0)
    assert Image.open(data(picture)).height == 64


def test_the_captions_of_a_clip_stand_with_their_scores_and_ends(
    annotated: RunConfig, root: Element
) -> None:
    rows = [row for shard in range(3) for row in sink.read_shard(annotated.run, shard).to_pylist()]
    for clip in clips(root)["accepted"]:
        [row] = [row for row in rows if row["clip_id"] == title(clip)]
        shown = {tuple("".join(cell.itertext()) for cell in line)[:3] for line in clip.iter("tr")}
        best = max(row["candidates"], key=lambda each: each["clap_score"])
        expected = {
            (c["caption"], "accepted" if c is best else "not best", f"{c['clap_score']:.3f}")
            for c in row["candidates"]
        }
        assert shown - {("caption", "decision", "CLAP")} == expected


def test_shuffled_scores_are_told_where_the_scorer_is_there(root: Element) -> None:
    told = text(root)
    found = re.search(r"outscores a shuffled one with probability ([\d.]+)\.", told)
    assert found and float(found[1]) > 0.6
    assert "No shuffled curve" not in told


def test_a_scorer_that_is_another_by_now_leaves_no_shuffled_curve(own: RunConfig) -> None:
    record = Path(own.run) / "run.json"
    digest = run.need_record(own.run).models["scorer"]["weights_sha256"]
    record.write_text(record.read_text().replace(digest, "0" * 64))
    assert "the scorer here is another than the run's: weights_sha256" in text(
        parsed(made(own.run).html)
    )


def test_sound_that_is_gone_or_has_changed_is_said_to_be(
    annotated: RunConfig, root: Element, tmp_path: Path
) -> None:
    sounds = Path(annotated.run).parent / "audio"
    first, second = clips(root)["accepted"][:2]
    moved = tmp_path / "moved"
    shutil.copytree(sounds, moved)
    try:
        for clip, change in ((first, b""), (second, b"other")):
            [path] = sounds.glob(f"{title(clip)[:11]}*")
            path.write_bytes(change) if change else path.unlink()
        html = made(annotated.run).html
    finally:
        shutil.rmtree(sounds)
        shutil.copytree(moved, sounds)
    told = {title(clip): text(clip) for clip in clips(parsed(html))["accepted"]}
    assert "cannot be read any more" in told[title(first)]
    assert "has changed since it was annotated" in told[title(second)]


def test_the_same_run_gives_the_same_page(annotated: RunConfig, whole: Report) -> None:
    # Each Ogg stream has a random number of its own.
    varying = r"written \d.*UTC|data:audio[^\"]*"
    again = made(annotated.run).html
    assert re.sub(varying, "", again) == re.sub(varying, "", whole.html)


def test_a_page_keeps_its_size_by_leaving_sounds_out(annotated: RunConfig, whole: Report) -> None:
    most_bytes = len(whole.html.encode()) * 3 // 4
    cut = made(annotated.run, most_bytes=most_bytes)
    assert len(cut.html.encode()) <= most_bytes
    assert 0 < cut.audible < whole.audible
    assert cut.shown == whole.shown == CLIPS
    assert "left out, to keep the page small" in text(parsed(cut.html))


def test_a_page_keeps_its_size_by_leaving_clips_out(annotated: RunConfig) -> None:
    bare = made(annotated.run, clips=0)
    least = len(bare.html.encode()) + 8000
    cut = made(annotated.run, most_bytes=least)
    assert len(cut.html.encode()) <= least
    assert 0 < cut.shown < cut.drawn
    assert f"{cut.drawn - cut.shown} more were drawn and left out" in text(parsed(cut.html))


def test_a_run_of_which_nothing_is_selected_says_so(own: RunConfig) -> None:
    for folder in ("table", "decisions"):
        shutil.rmtree(Path(own.run) / folder)
    root = parsed(made(own.run).html)
    assert "Nothing is selected yet" in text(root)
    assert "not selected yet" in clips(root)


def test_a_selection_of_a_part_leaves_the_rest_undecided(own: RunConfig) -> None:
    for folder in ("table", "decisions"):
        shutil.rmtree(Path(own.run) / folder)
    middle = Path(run.shard_uri(own.run, 1))
    evidence = middle.read_bytes()
    middle.unlink()
    apply.select(own, partial=True)
    middle.write_bytes(evidence)
    found = clips(parsed(made(own.run).html))
    served = [
        row["clip_id"] for row in sink.read_shard(own.run, 1).to_pylist() if row["candidates"]
    ]
    assert sorted(map(title, found["not selected yet"])) == sorted(served)


def test_decisions_on_other_evidence_are_refused(own: RunConfig) -> None:
    first, second = (Path(run.shard_uri(own.run, shard)) for shard in (0, 1))
    swapped = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(swapped)
    with pytest.raises(InputError, match="run tagscribe select again"):
        made(own.run)


def test_a_table_without_its_decisions_is_refused(own: RunConfig) -> None:
    shutil.rmtree(Path(own.run) / "decisions")
    with pytest.raises(InputError, match="decisions behind the table are gone"):
        made(own.run)


def test_a_run_without_evidence_is_refused(own: RunConfig) -> None:
    shutil.rmtree(Path(own.run) / "evidence")
    with pytest.raises(InputError, match="no evidence yet; run tagscribe annotate"):
        made(own.run)


def test_a_run_of_errors_alone_has_a_page(tmp_path: Path) -> None:
    config = written_run(tmp_path, [[failed("a", "decode", "silent"), failed("b", "read", "gone")]])
    root = parsed(made(config.run).html)
    assert "No clip has captions." in text(root)
    assert set(clips(root)) == {"error: decode/silent", "error: read/gone"}


def test_a_second_scorer_and_a_policy_of_its_own_score_have_charts(tmp_path: Path) -> None:
    rows = [
        row(f"clip{n}", candidates=[candidate("a dog", n / 10, second=n / 20)]) for n in range(4)
    ]
    config = written_run(tmp_path, [rows], select={"score": "combined", "min_score": 0.0})
    apply.select(config)
    root = parsed(made(config.run).html)
    charts = {svg.attrib["aria-labelledby"].split("-")[0] for svg in root.iter(SVG)}
    assert charts == {"funnel", "clap", "second", "policy", "roots", "speed"}
    [head] = {text(line) for clip in clips(root)["accepted"] for line in clip.iter("thead")}
    assert "second" in head and "policy's score" in head
