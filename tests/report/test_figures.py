"""The figures of a report, each by itself."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from curation.plots import Density
from curation.report import charts, decided_shard, funnel
from curation.report.error_counts import ErrorCounts, ErrorKind
from curation.report.funnel import FunnelStep
from curation.report.page_context import format_dollars
from curation.report.sampling import NARROW, StratifiedSample
from curation.report.scores import CandidateScores
from curation.report.throughput import pool_throughput
from curation.report.yields import UNKNOWN_CLASS, UNTAGGED, TagYield, TagYields
from curation.run.evidence import ShardCounts, ShardFooter, WorkSpan
from curation.run.layout import RunFolder
from curation.select import apply
from tests.report.runs import candidate, failed, row, tag, written_run

BARK, DOG, RAIN = ("/m/05tny_", "Bark"), ("/m/0bt9lr", "Dog"), ("/m/06mb1", "Rain")
SVG = "{http://www.w3.org/2000/svg}"


def read(
    folder: Path, shards: list[list[dict[str, Any]]], **policy: object
) -> list[decided_shard.DecidedShard]:
    """The shards of a written run, selected by a policy."""
    config = written_run(folder, shards, select=policy)
    version = apply.select_pairs(config).version
    return list(
        decided_shard.read_decided_shards(
            RunFolder.from_config(config), list(range(len(shards))), version.lineage["selection"]
        )
    )


def scored(clip_id: str, *scores: float, **columns: object) -> dict[str, Any]:
    captions = [candidate(f"caption {score}", score) for score in scores]
    return row(clip_id, candidates=captions, **columns)


def test_decisions_come_to_the_candidates_they_are_on(tmp_path: Path) -> None:
    shards = read(
        tmp_path, [[scored("a", 0.1, 0.7), scored("b", 0.2)], [scored("c", 0.6)]], min_score=0.5
    )
    assert [each.reason.tolist() for each in shards] == [
        ["not_best", "accepted", "below_threshold"],
        ["accepted"],
    ]
    assert [each.pairs.tolist() for each in shards] == [[1, 0], [1]]
    np.testing.assert_allclose(shards[0].score, [0.1, 0.7, 0.2], rtol=1e-6)


def test_scores_of_all_shards_are_found_by_their_place(tmp_path: Path) -> None:
    scores = CandidateScores()
    for each in read(
        tmp_path, [[scored("a", 0.1, 0.7)], [scored("b", 0.4, 0.6)]], top_fraction=0.5
    ):
        scores.add(each)
    assert scores.of(1, 0) == (pytest.approx(0.4), "not_best")
    assert scores.of(0, 1) == (pytest.approx(0.7), "accepted")
    assert scores.reasons == {"accepted": 1, "not_best": 2, "below_threshold": 1}
    assert scores.lowest_accepted == pytest.approx(0.7)
    assert np.isnan(scores.second).all()


def test_a_clip_counts_with_each_tag_and_once_with_each_root(tmp_path: Path) -> None:
    yields = TagYields()
    rows = [
        scored("a", 0.7, tags=[tag(*BARK), tag(*DOG)]),
        scored("b", 0.2, tags=[tag(*BARK), tag(*RAIN)]),
        scored("c", 0.8),
        scored("d", 0.9, tags=[tag("/x/yz", "Whatever")]),
    ]
    for each in read(tmp_path, [rows[:2], rows[2:]], min_score=0.5):
        yields.add(each)
    assert yields.by_tag() == [
        TagYield("Bark", 2, 2, 1, 1),
        TagYield("Dog", 1, 1, 1, 1),
        TagYield("Rain", 1, 1, 0, 0),
        TagYield("Whatever", 1, 1, 1, 1),
    ]
    roots = {each.name: each for each in yields.by_root()}
    assert roots["Animal"] == TagYield("Animal", 2, 2, 1, 1)
    assert roots["Natural sounds"] == TagYield("Natural sounds", 1, 1, 0, 0)
    assert roots[UNTAGGED].clips == roots[UNKNOWN_CLASS].clips == 1


def test_errors_are_counted_by_kind_with_the_first_as_example(tmp_path: Path) -> None:
    errors = ErrorCounts()
    rows = [scored("a", 0.7), failed("b", "decode", "silent", "first"), failed("c", "read", "gone")]
    for each in read(tmp_path, [rows, [failed("d", "decode", "silent", "second")]]):
        errors.add(each)
    assert errors.kinds() == [
        ErrorKind("decode/silent", "decode", 2, "b", "first"),
        ErrorKind("read/gone", "read", 1, "c", "why"),
    ]


def test_each_step_of_the_funnel_loses_what_failed_there() -> None:
    errors = [
        ErrorKind("catalog/missing", "catalog", 2, "", ""),
        ErrorKind("decode/x", "decode", 3, "", ""),
    ]
    reasons = {"accepted": 4, "not_best": 7, "below_threshold": 1, "below_second_threshold": 2}
    steps = funnel.funnel_steps(12, 11, errors, reasons, pairs=4)
    assert [(step.label, step.remaining) for step in steps] == [
        ("clips listed", 12),
        ("clips annotated so far", 11),
        ("clips found", 9),
        ("clips read", 9),
        ("clips decoded", 6),
        ("clips captioned", 6),
        ("clips scored", 6),
        ("captions written", 14),
        ("captions above the second threshold", 12),
        ("captions best of their clip", 5),
        ("captions above the threshold", 4),
        ("pairs in the table", 4),
    ]


def test_the_sample_cycles_through_its_groups(tmp_path: Path) -> None:
    sample = StratifiedSample(seed=0, clips=6)
    rows = [scored(f"clip{n:02}", 0.3 + n / 100) for n in range(40)]
    rows += [failed(f"error{n}", "decode", "silent") for n in range(5)]
    for each in read(tmp_path, [rows[:20], rows[20:]], min_score=0.5):
        sample.add(each)
    drawn = sample.select_clips()
    counts = {name: sum(d.stratum == name for d in drawn) for name in {d.stratum for d in drawn}}
    assert counts == {
        "accepted": 2,
        NARROW: 2,
        "a caption rejected: below threshold": 1,
        "error: decode/silent": 1,
    }
    assert len({(each.shard, each.row) for each in drawn}) == 6


def test_the_narrowly_rejected_are_those_that_missed_by_least(tmp_path: Path) -> None:
    sample = StratifiedSample(seed=0, clips=2)
    rows = [scored(f"clip{n}", n / 10) for n in range(8)]
    for each in read(tmp_path, [rows[:3], rows[3:]], min_score=0.55):
        sample.add(each)
    [narrow] = [each for each in sample.select_clips() if each.stratum == NARROW]
    assert (narrow.shard, narrow.row) == (1, 2)


def test_the_sample_is_the_same_in_any_order_of_shards(tmp_path: Path) -> None:
    rows = [scored(f"clip{n:02}", 0.3 + n / 100) for n in range(30)]
    shards = read(tmp_path, [rows[:10], rows[10:20], rows[20:]], min_score=0.5)
    drawn = []
    for order in (shards, shards[::-1]):
        sample = StratifiedSample(seed=3, clips=8)
        for each in order:
            sample.add(each)
        drawn.append(sample.select_clips())
    assert drawn[0] == drawn[1]


def test_speed_over_time_comes_to_all_clips() -> None:
    def footer(clips: int, *spans: WorkSpan) -> ShardFooter:
        return ShardFooter(ShardCounts(clips, {}), {}, spans)

    found = pool_throughput(
        [
            footer(30, WorkSpan("decode", "a", 100.0, 110.0), WorkSpan("score", "b", 110.0, 140.0)),
            footer(50, WorkSpan("decode", "a", 110.0, 135.0), WorkSpan("score", "b", 140.0, 180.0)),
        ]
    )
    assert found is not None and found.started_s == 100.0 and found.edges_s[-1] == 80.0
    for rates in found.rates.values():
        assert float(rates @ np.diff(found.edges_s)) == pytest.approx(80.0)
    assert found.rates["decode"][0] == pytest.approx(3.0)
    assert found.rates["decode"][-1] == 0.0


@pytest.mark.parametrize("label", ["$x^2$ <b>", "\x00\u202edog", "Hündin"])
def test_a_chart_shows_any_label_as_text(label: str) -> None:
    drawn = charts.root_yield_chart("chart", [TagYield(label, 4, 3, 2, 2)])
    root = ElementTree.fromstring(drawn)
    texts = {element.text for element in root.iter(f"{SVG}text")}
    shown = {"\x00\u202edog": "⟨U+0000⟩⟨U+202E⟩dog"}.get(label, label)
    assert {shown, "50.0 %"} <= texts


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0.0, "$0.00"), (0.0000916, "$0.000092"), (0.05, "$0.05"), (1234.5, "$1,234.50")],
)
def test_dollars_have_no_powers_of_ten(amount: float, expected: str) -> None:
    assert format_dollars(amount) == expected


def test_a_chart_is_named_described_and_follows_the_theme() -> None:
    drawn = charts.score_chart(
        "scores", "Scores", [Density("matched", np.linspace(0, 1, 50))], threshold=0.5
    )
    root = ElementTree.fromstring(drawn)
    named = {element.attrib.get("id"): element.text for element in root}
    assert root.attrib["aria-labelledby"] == "scores-title scores-desc"
    assert named["scores-title"] == "Scores"
    assert "threshold 0.500" in (named["scores-desc"] or "")
    assert "var(--first)" in drawn and "#0" not in drawn.replace("#scores", "")


def test_a_chart_of_clips_and_captions_has_a_bar_a_step() -> None:
    drawn = charts.funnel_chart(
        "funnel", [FunnelStep("listed", 1200, "clips"), FunnelStep("left", 7, "captions")]
    )
    texts = {element.text for element in ElementTree.fromstring(drawn).iter(f"{SVG}text")}
    assert texts == {"1,200", "7", "clips listed", "captions left"}
