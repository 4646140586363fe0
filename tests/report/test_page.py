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
import yaml
from PIL import Image

from curation.audio.waveform import measure_levels
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.ops.status import read_status
from curation.report import shuffled_pairs
from curation.report.page import Report, ReportPage
from curation.report.report_data import collect_report_data
from curation.run import evidence as run_evidence
from curation.run import layout
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import require_run_record
from curation.select import apply
from curation.synth.corpus import write_corpus
from tests.report.page_of import addresses, build_page, clips, data, parsed, text, title
from tests.report.runs import candidate, failed, row, written_run
from tests.support import in_process
from tests.support.runs import copy_run

CLIPS = 12
SVG = "{http://www.w3.org/2000/svg}svg"


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """12 clips in three shards, of which one is missing and one is cut short; half selected.

    Two scorers, in turns, the same model twice; more captions where the first score low.
    """
    folder = tmp_path_factory.mktemp("report")
    write_corpus(str(folder), CLIPS, seed=5)
    gone, cut, *_ = sorted((folder / "audio").iterdir())
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:2000])
    for name in ("a.txt", "b.txt", "c.xyz"):
        (folder / "audio" / name).write_bytes(b"")
    catalog = {"segments": str(folder / "segments.csv"), "audio": str(folder / "audio")}
    config = parse_run_config(
        {
            "run": str(folder / "run"),
            "catalog": {"kind": "audioset", **catalog},
            "adaptive": {"first": 2, "enough_score": 0.5},
            "second_scorer": {"model": "reference"},
            "annotate": {"shard_clips": 4, "model_memory": "offload"},
            "select": {"top_fraction": 0.5, "min_second_score": -0.9},
            "prices": {"cpu_hour": 0.5},
        },
        "test",
    )
    in_process.annotate_in_process(config)
    apply.select_pairs(config)
    return config


@pytest.fixture(scope="module")
def prepared(annotated: RunConfig) -> ReportPage:
    return ReportPage(
        collect_report_data(RunFolder.from_config(annotated), 60, lambda done, total: None)
    )


@pytest.fixture(scope="module")
def whole(prepared: ReportPage) -> Report:
    return prepared.render()


@pytest.fixture(scope="module")
def root(whole: Report) -> Element:
    return parsed(whole.html)


@pytest.fixture(scope="module")
def unselected(annotated: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Element:
    """The page of the run before its selection, where its scorer is another by now."""
    folder = tmp_path_factory.mktemp("unselected") / "run"
    run_there = copy_run(annotated, folder)
    digest = require_run_record(RunFolder.from_config(run_there)).models["scorer"]["weights_sha256"]
    record = folder / "run.json"
    record.write_text(record.read_text().replace(digest, "0" * 64))
    return parsed(build_page(RunFolder.from_config(run_there)).html)


@pytest.fixture
def own(annotated: RunConfig, tmp_path: Path) -> RunConfig:
    """A copy of the run, to be changed."""
    shutil.copytree(annotated.run, tmp_path / "run")
    return annotated.model_copy(update={"run": str(tmp_path / "run")})


def test_the_page_requests_nothing(root: Element) -> None:
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


def test_files_that_were_not_read_are_counted(root: Element, annotated: RunConfig) -> None:
    said = "not read as audio, by extension: 2 .txt, 1 .xyz ."
    assert any(said in text(paragraph) for paragraph in root.iter("p"))
    fields = read_status(RunFolder.from_config(annotated)).to_fields()
    assert fields["not read as audio"] == "2 .txt, 1 .xyz"


def rows_of(root: Element, table: str) -> dict[str, str]:
    """The first two cells of each row of a table but its head, by its label."""
    [found] = [
        group for group in root.iter("div") if group.attrib.get("aria-label") == f"Table: {table}"
    ]
    rows = [["".join(cell.itertext()) for cell in row] for row in found.iter("tr")]
    return {row[0]: row[1] for row in rows[1:]}


def test_the_funnel_ends_in_the_table(root: Element) -> None:
    left = {step: int(clips) for step, clips in rows_of(root, "funnel").items()}
    assert left["clips listed"] == 12
    assert left["clips found"] == left["clips read"] == 11
    assert left["clips scored"] == left["captions best of their clip"] == 10
    assert left["captions above the threshold"] == left["pairs in the table"] == 5


def test_each_clip_has_one_end(root: Element) -> None:
    assert rows_of(root, "what became of the clips") == {
        "came to a pair": "5",
        "the best caption is below the threshold": "5",
        "an error, see below": "2",
    }


def test_a_stranger_reads_what_the_run_is(annotated: RunConfig, root: Element) -> None:
    [lines] = [each for each in root.iter("dl") if each.attrib["class"] == "origin"]
    shown = {"".join(div[0].itertext()): "".join(div[1].itertext()) for div in lines}
    assert str(annotated.catalog.audio) in shown["clips"]  # type: ignore[union-attr]
    assert shown["captions"].startswith("2 requested per clip, and the rest of 4 only where none")
    assert shown["second scorer"] == "reference (dual_encoder)"
    assert shown["policy"] == (
        "Captions with a second score below -0.9 are rejected. The best caption is taken of each "
        "clip, by CLAP score. Of these, the best 50 % of the run are accepted."
    )


def test_the_configuration_on_the_page_makes_the_run_again(
    annotated: RunConfig, root: Element
) -> None:
    shown = ["".join(each.itertext()) for each in root.iter("pre")]
    assert parse_run_config(yaml.safe_load(shown[-1]), "page") == annotated


def test_each_group_has_its_clips(root: Element) -> None:
    groups = {stratum: len(found) for stratum, found in clips(root).items()}
    assert groups["accepted"] + groups["narrowly rejected"] <= 10
    assert groups["error: catalog/missing"] == groups["error: decode/truncated"] == 1
    assert sum(groups.values()) == CLIPS


def test_a_clip_has_its_sound_and_spectrogram(annotated: RunConfig, root: Element) -> None:
    evidence = {
        row["clip_id"]: row
        for shard in range(3)
        for row in run_evidence.read_evidence_shard(
            RunFolder.from_config(annotated), shard
        ).to_pylist()
    }
    clip = clips(root)["accepted"][0]
    [player], [picture] = clip.iter("audio"), clip.iter("img")
    row = evidence[title(clip)]
    sound, rate_hz = soundfile.read(data(player), dtype="float32")
    assert len(sound) / rate_hz == pytest.approx(row["duration_s"], abs=0.03)
    assert measure_levels(np.asarray(sound)).rms_dbfs == pytest.approx(row["rms_dbfs"], abs=1.0)
    assert Image.open(data(picture)).height == 64


def test_the_captions_of_a_clip_stand_with_their_scores_and_ends(
    annotated: RunConfig, root: Element
) -> None:
    rows = [
        row
        for shard in range(3)
        for row in run_evidence.read_evidence_shard(
            RunFolder.from_config(annotated), shard
        ).to_pylist()
    ]
    for clip in clips(root)["accepted"]:
        [row] = [row for row in rows if row["clip_id"] == title(clip)]
        shown = {tuple("".join(cell.itertext()) for cell in line)[:3] for line in clip.iter("tr")}
        best = max(row["candidates"], key=lambda each: each["clap_score"])
        expected = {
            (c["caption"], "accepted" if c is best else "not best", f"{c['clap_score']:.3f}")
            for c in row["candidates"]
        }
        assert shown - {("caption", "decision", "CLAP")} == expected


def test_both_scorers_are_judged_by_shuffled_pairs(root: Element) -> None:
    shown = text(root)
    found = re.findall(r"outscores a shuffled one with probability ([\d.]+)\.", shown)
    assert len(found) == 2 and min(map(float, found)) > 0.6
    assert "No shuffled curve" not in shown
    assert "threshold -0.900" in shown and "Precision from there on is" in shown
    assert "correlate by 1.00 (Spearman); those of one clip's captions" in shown


def test_a_second_scorer_gets_its_clips_as_in_the_run(annotated: RunConfig) -> None:
    pairs = shuffled_pairs.score_shuffled_pairs(annotated)["second_scorer"].pairs
    assert pairs is not None and len(pairs.matched) == 10
    np.testing.assert_allclose(np.diagonal(pairs.shuffled), pairs.matched, atol=1e-5)


def test_a_scorer_that_is_another_by_now_leaves_no_shuffled_curve(unselected: Element) -> None:
    assert re.search(
        "No shuffled curve: .*the scorer here is another than the run's: weights_sha256",
        text(unselected),
    )


def test_sound_that_is_gone_or_has_changed_is_said_to_be(
    annotated: RunConfig, prepared: ReportPage, root: Element, tmp_path: Path
) -> None:
    sounds = Path(annotated.run).parent / "audio"
    first, second = clips(root)["accepted"][:2]
    moved = tmp_path / "moved"
    shutil.copytree(sounds, moved)
    try:
        for clip, change in ((first, b""), (second, b"other")):
            [path] = sounds.glob(f"{title(clip)[:11]}*")
            path.write_bytes(change) if change else path.unlink()
        html = prepared.render().html
    finally:
        shutil.rmtree(sounds)
        shutil.copytree(moved, sounds)
    shown = {title(clip): text(clip) for clip in clips(parsed(html))["accepted"]}
    assert "cannot be read any more" in shown[title(first)]
    assert "has changed since it was annotated" in shown[title(second)]


def test_the_same_run_gives_the_same_page(annotated: RunConfig, whole: Report) -> None:
    written = r"written \d.*UTC"
    again = build_page(RunFolder.from_config(annotated)).html
    assert re.sub(written, "", again) == re.sub(written, "", whole.html)


def test_a_page_keeps_its_size_by_leaving_sounds_out(prepared: ReportPage, whole: Report) -> None:
    most_bytes = len(whole.html.encode()) * 3 // 4
    cut = prepared.render(most_bytes)
    assert len(cut.html.encode()) <= most_bytes
    assert 0 < cut.audible < whole.audible
    assert cut.shown == whole.shown == CLIPS
    assert "omitted, to keep the page small" in text(parsed(cut.html))


def test_a_page_keeps_its_size_by_leaving_clips_out(prepared: ReportPage, whole: Report) -> None:
    bare = re.sub("(?s)<article.*?</article>", "", whole.html)
    least = len(bare.encode()) + 8000
    cut = prepared.render(least)
    assert len(cut.html.encode()) <= least
    assert 0 < cut.shown < cut.sampled
    assert f"{cut.sampled - cut.shown} more were drawn and omitted" in text(parsed(cut.html))


def test_a_run_of_which_nothing_is_selected_says_so(unselected: Element) -> None:
    assert "Nothing is selected yet" in text(unselected)
    assert "not selected yet" in clips(unselected)
    ends = rows_of(unselected, "what became of the clips")
    assert ends == {"nothing is selected of it yet": "10", "an error, see below": "2"}


def test_a_selection_of_a_part_leaves_the_rest_undecided(own: RunConfig) -> None:
    for folder in ("table", "decisions"):
        shutil.rmtree(Path(own.run) / folder)
    middle = Path(layout.shard_uri(own.run, 1))
    evidence = middle.read_bytes()
    middle.unlink()
    apply.select_pairs(own, partial=True)
    middle.write_bytes(evidence)
    found = clips(parsed(build_page(RunFolder.from_config(own)).html))
    served = [
        row["clip_id"]
        for row in run_evidence.read_evidence_shard(RunFolder.from_config(own), 1).to_pylist()
        if row["candidates"]
    ]
    assert sorted(map(title, found["not selected yet"])) == sorted(served)


def test_decisions_on_other_evidence_are_refused(own: RunConfig) -> None:
    first, second = (Path(layout.shard_uri(own.run, shard)) for shard in (0, 1))
    swapped = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(swapped)
    with pytest.raises(InputError, match="run tagscribe select again"):
        build_page(RunFolder.from_config(own))


def test_a_table_without_its_decisions_is_refused(own: RunConfig) -> None:
    shutil.rmtree(Path(own.run) / "decisions")
    with pytest.raises(InputError, match="decisions behind the table are gone"):
        build_page(RunFolder.from_config(own))


def test_a_run_without_evidence_is_refused(own: RunConfig) -> None:
    shutil.rmtree(Path(own.run) / "evidence")
    with pytest.raises(InputError, match="no evidence yet; run tagscribe annotate"):
        build_page(RunFolder.from_config(own))


def test_a_run_of_errors_alone_has_a_page(tmp_path: Path) -> None:
    config = written_run(tmp_path, [[failed("a", "decode", "silent"), failed("b", "read", "gone")]])
    root = parsed(build_page(RunFolder.from_config(config)).html)
    assert "No clip has captions." in text(root)
    assert set(clips(root)) == {"error: decode/silent", "error: read/gone"}


def test_a_second_scorer_and_a_policy_of_its_own_score_have_charts(tmp_path: Path) -> None:
    rows = [
        row(f"clip{n}", candidates=[candidate("a dog", n / 10, second=n / 20)]) for n in range(4)
    ]
    config = written_run(tmp_path, [rows], select={"score": "combined", "min_score": 0.0})
    apply.select_pairs(config)
    root = parsed(build_page(RunFolder.from_config(config)).html)
    charts = {svg.attrib["aria-labelledby"].split("-chart")[0] for svg in root.iter(SVG)}
    assert charts == {"funnel", "scorer", "second-scorer", "policy", "roots", "speed"}
    [head] = {text(line) for clip in clips(root)["accepted"] for line in clip.iter("thead")}
    assert "second" in head and "log-prob" in head and "policy's score" in head


def test_a_captioner_without_log_probabilities_has_no_column_of_them(tmp_path: Path) -> None:
    rows = [row("clip", candidates=[candidate("a dog", 0.5, log_prob=None)])]
    config = written_run(tmp_path, [rows])
    apply.select_pairs(config)
    [clip] = clips(parsed(build_page(RunFolder.from_config(config)).html))["accepted"]
    [head] = [text(line).split() for line in clip.iter("thead")]
    assert head == ["caption", "decision", "CLAP", "written", "by"]


def test_captions_below_the_second_threshold_are_shown(tmp_path: Path) -> None:
    rows = [
        row("kept", candidates=[candidate("a dog", 0.5, 0.6), candidate("a cat", 0.9, 0.1)]),
        row("lost", candidates=[candidate("a dog", 0.8, 0.2)]),
    ]
    config = written_run(tmp_path, [rows], select={"min_second_score": 0.5})
    apply.select_pairs(config)
    root = parsed(build_page(RunFolder.from_config(config)).html)
    assert rows_of(root, "funnel")["captions above the second threshold"] == "1"
    assert rows_of(root, "what became of the clips") == {
        "came to a pair": "1",
        "every caption is below the second threshold": "1",
    }
    assert set(clips(root)) == {"accepted", "a caption rejected: below second threshold"}
