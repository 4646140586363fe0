"""What the page says of a policy is what `select` does, candidate by candidate."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from curation.config.policy import Policy
from curation.errors import InputError
from curation.review import index_builder
from curation.review.index import MIN_SECOND_SCORE, SCORES, ReviewIndex
from curation.review.labels import Labels
from curation.review.request_schema import ViewRequest, YieldRequest
from curation.review.service import ReviewService
from curation.run.layout import RunFolder
from curation.select import policy as select_policy
from tests.review.runs import Drawn, drawn_run

THRESHOLDS = (
    {},
    {"min_score": 0.25},
    {"min_score": -1.0},
    {"min_score": 0.3},  # as evidence has it, in float32, it is a little more
    {"top_fraction": 0.37},
    {"top_fraction": 0.5, "stratify_by": "tag"},
)
# In float32 0.7 is a little less, and 0.4 a little more.
SECOND_THRESHOLDS = (None, 0.4, 0.7, 2.0)
POLICIES = [
    Policy(score=score, max_per_clip=max_per_clip, min_second_score=second, **threshold)
    for score, max_per_clip, threshold, second in product(
        SCORES, (1, 2), THRESHOLDS, SECOND_THRESHOLDS
    )
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return drawn_run(tmp_path_factory.mktemp("drawn"), clips=300, seed=1)


@pytest.fixture(scope="module")
def index(drawn: Drawn) -> ReviewIndex:
    return index_builder.open_index(RunFolder.from_config(drawn.config), lambda done, total: None)


@pytest.fixture(scope="module")
def answers(drawn: Drawn, index: ReviewIndex) -> ReviewService:
    run = RunFolder.from_config(drawn.config)
    return ReviewService(run, index, Labels(run, index, "Ann"))


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_decisions_are_those_of_select(policy: Policy, drawn: Drawn, index: ReviewIndex) -> None:
    expected = select_policy.decide(drawn.candidates, policy).reason
    reasons = select_policy.apply_rules(index, policy)[0]
    found = np.array(select_policy.REASONS)[reasons[index.has_caption]]
    assert found.tolist() == expected.tolist()
    assert set(reasons[~index.has_caption]) == {select_policy.NO_CAPTION_CODE}


@pytest.mark.parametrize("policy", [Policy(), Policy(score="log_prob", min_second_score=0.4)])
def test_ranks_are_those_of_select(policy: Policy, drawn: Drawn, index: ReviewIndex) -> None:
    expected = select_policy.decide(drawn.candidates, policy).rank
    ranks = np.array([index.rank_of(policy, entry) for entry in range(index.metadata.entries)])
    assert ranks[index.has_caption].tolist() == expected.tolist()
    assert set(ranks[~index.has_caption]) == {0}


def test_the_yield_of_two_policies_is_that_of_select(drawn: Drawn, answers: ReviewService) -> None:
    first = Policy(max_per_clip=2, min_score=0.3, min_second_score=0.4)
    other = Policy(max_per_clip=2, top_fraction=0.5)
    compared = answers.compare_yields(YieldRequest(policy=first, other=other))
    decided = [select_policy.decide(drawn.candidates, policy) for policy in (first, other)]
    for name, decisions in zip(("first", "second"), decided, strict=True):
        outcome, accepted = compared[name], decisions.accepted
        counted = Counter(decisions.reason.tolist())
        assert {k: n for k, n in outcome["reasons"].items() if n and k != "no_caption"} == counted
        assert outcome["clips"] == len(set(drawn.candidates.clip[accepted].tolist()))
        assert sum(outcome["accepted"]) == accepted.sum() > 0
        assert outcome["lowest"] <= outcome["cutoff"] <= outcome["highest"]
    assert compared["first"]["reasons"]["below_second_threshold"] > 0
    one, two = (decisions.accepted for decisions in decided)
    overlap = {name: part["captions"] for name, part in compared["overlap"].items()}
    assert overlap == {
        "both": (one & two).sum(), "only_first": (one & ~two).sum(),
        "only_second": (two & ~one).sum(),
    }  # fmt: skip


def test_the_curve_counts_what_each_threshold_would_leave(
    drawn: Drawn, answers: ReviewService
) -> None:
    policy = Policy(max_per_clip=2, min_second_score=0.4)
    points = answers.curve(policy.model_copy(update={"min_score": 0.3}))["points"]
    assert len(points) > 20
    for point in points:
        at = policy.model_copy(update={"min_score": point["threshold"]})
        assert point["captions"] == select_policy.decide(drawn.candidates, at).accepted.sum()


@pytest.mark.parametrize("sort", ["threshold", "best", "worst", "clip"])
def test_a_page_begins_where_the_one_before_it_ended(sort: str, answers: ReviewService) -> None:
    def entries(offset: int, limit: int) -> list[int]:
        view = ViewRequest(policy=Policy(min_score=0.3), sort=sort, offset=offset, limit=limit)
        return [row["entry"] for row in answers.view(view)["rows"]]

    pages = [entry for offset in range(0, 140, 7) for entry in entries(offset, 7)]
    assert pages == entries(0, 140) and len(set(pages)) == 140


def test_scores_that_a_run_lacks_are_refused_as_select_refuses_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    alone = drawn_run(tmp_path_factory.mktemp("alone"), 100, seed=2, scores=("clap_score",))
    index = index_builder.open_index(RunFolder.from_config(alone.config), lambda done, total: None)
    assert index.scores == ["clap"] and set(index.metadata.unusable) == {
        *SCORES,
        MIN_SECOND_SCORE,
    } - {"clap"}
    for policy in (
        Policy(score="log_prob"),
        Policy(score="combined"),
        Policy(min_second_score=0.2),
    ):
        with pytest.raises(InputError) as theirs:
            select_policy.require_scores(alone.candidates, policy)
        with pytest.raises(InputError) as ours:
            select_policy.apply_rules(index, policy)[0]
        assert str(ours.value) == str(theirs.value)
    expected = select_policy.decide(alone.candidates, Policy(min_score=0.3)).reason
    reasons = select_policy.apply_rules(index, Policy(min_score=0.3))[0][index.has_caption]
    assert np.array(select_policy.REASONS)[reasons].tolist() == expected.tolist()


def test_tags_of_a_clip_and_clips_of_a_tag_agree(index: ReviewIndex) -> None:
    for tag, name in enumerate(index.metadata.tag_names):
        clips = set(index.tag_clips.of([tag]).tolist())
        assert clips == {c for c in range(index.metadata.clips) if name in index.tags_of(c)}


def test_an_index_is_made_once(drawn: Drawn) -> None:
    index_builder.open_index(RunFolder.from_config(drawn.config), lambda done, total: None)
    progress: list[int] = []
    index_builder.open_index(
        RunFolder.from_config(drawn.config), lambda done, total: progress.append(done)
    )
    assert progress == []
    assert list(index_builder.index_cache_folder().glob("*/unfinished-*")) == []
