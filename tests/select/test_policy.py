"""The rules of selection: each rejected candidate keeps the reason that the policy gives it."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from curation.config.policy import Policy
from curation.errors import InputError
from curation.select import policy as select_policy
from curation.select.ranking import best_first, take_fraction
from curation.select.tag_groups import group_by_rarest_tag


def some_candidates() -> select_policy.Candidates:
    """Three clips: two candidates, three, one; clip 2 alone carries tag 1."""
    return select_policy.Candidates(
        clip=np.array([0, 0, 1, 1, 1, 2]),
        clap_score=np.array([0.5, 0.7, 0.1, 0.1, 0.3, 0.2]),
        second_score=np.array([0.4, 0.1, 0.3, 0.1, 0.1, 0.1]),
        log_prob=np.array([-0.1, -0.9, -0.2, -0.2, -0.5, -0.3]),
        clip_tag=np.array([0, 0, 1]),
    )


def reasons(policy: Policy) -> list[str]:
    return list(select_policy.decide(some_candidates(), policy).reason)


A, N, B = select_policy.ACCEPTED, select_policy.NOT_BEST, select_policy.BELOW_THRESHOLD
S = select_policy.BELOW_SECOND_THRESHOLD


def test_without_a_threshold_each_clips_best_is_accepted() -> None:
    assert reasons(Policy()) == [N, A, N, N, A, A]


def test_an_absolute_threshold_judges_what_best_of_k_left() -> None:
    assert reasons(Policy(min_score=0.25)) == [N, A, N, N, A, B]


def test_the_top_fraction_is_taken_over_the_whole_run() -> None:
    assert reasons(Policy(top_fraction=0.5)) == [N, A, N, N, A, B]


def test_the_top_fraction_within_tags_keeps_a_rare_tags_best() -> None:
    assert reasons(Policy(top_fraction=0.5, stratify_by="tag")) == [N, A, N, N, B, A]


def test_more_than_one_caption_a_clip_may_pass() -> None:
    assert reasons(Policy(max_per_clip=2)) == [A, A, A, N, A, A]


def test_the_second_scorer_has_its_veto_before_a_clips_best_is_taken() -> None:
    assert reasons(Policy(min_second_score=0.2)) == [A, S, A, S, S, S]
    assert reasons(Policy(min_second_score=0.1)) == reasons(Policy())


def test_what_the_second_scorer_left_is_judged_by_the_first() -> None:
    assert reasons(Policy(min_second_score=0.2, min_score=0.2)) == [A, S, B, S, S, S]
    assert reasons(Policy(min_second_score=0.2, top_fraction=0.5)) == [A, S, B, S, S, S]


def test_vetoed_candidates_rank_behind_the_others_of_their_clip() -> None:
    decisions = select_policy.decide(some_candidates(), Policy(min_second_score=0.2))
    assert decisions.rank.tolist() == [1, 2, 1, 2, 3, 1]
    np.testing.assert_array_equal(decisions.score, some_candidates().clap_score)


def test_log_probability_is_a_score_of_its_own() -> None:
    assert reasons(Policy(score="log_prob")) == [A, N, A, N, N, A]


def test_the_combined_score_is_the_sum_of_both_standardised() -> None:
    candidates = some_candidates()
    combined = candidates.score("combined")
    clap = (candidates.clap_score - candidates.clap_score.mean()) / candidates.clap_score.std()
    prob = (candidates.log_prob - candidates.log_prob.mean()) / candidates.log_prob.std()
    np.testing.assert_allclose(combined, clap + prob)


def test_ranks_count_from_one_and_ties_go_to_the_earlier() -> None:
    decisions = select_policy.decide(some_candidates(), Policy())
    assert decisions.rank.tolist() == [2, 1, 2, 3, 1, 1]


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 1.0])
def test_the_top_fraction_matches_a_plain_sort(fraction: float) -> None:
    random = np.random.default_rng(3)
    score, group = random.normal(size=200), random.integers(0, 5, 200)
    order = best_first(score, group)
    kept = np.zeros(200, bool)
    kept[take_fraction(order, fraction, group[order])] = True
    for each in range(5):
        own = np.sort(score[group == each])[::-1]
        expected = own[: int(np.ceil(len(own) * fraction - 1e-9))]
        np.testing.assert_array_equal(np.sort(score[kept & (group == each)])[::-1], expected)


def test_a_clip_counts_with_its_rarest_tag() -> None:
    # In the run: speech 5 times, dog 3, bell 2; cat and owl 2 each, of which cat comes first.
    clips = {
        "dog": [["speech", "dog"], ["dog", "speech"]],
        "speech": [["speech"]],
        "untagged": [[], []],
        "bell": [["bell", "speech", "dog"], ["speech", "bell"]],
        "cat": [["owl", "cat"], ["cat"]],
        "owl": [["owl"]],
    }
    expected = [name for name, members in clips.items() for _ in members]
    groups = group_by_rarest_tag([tags for members in clips.values() for tags in members])
    # Clips share a group where they share a name, and nowhere else.
    pairs = set(zip(groups.tolist(), expected, strict=True))
    assert len(pairs) == len(set(groups.tolist())) == len(clips)


def test_an_empty_run_decides_nothing() -> None:
    nothing = np.array([], dtype=np.int64)
    no_score = nothing.astype(float)
    empty = select_policy.Candidates(nothing, no_score, no_score, no_score, nothing)
    for policy in (
        Policy(min_second_score=0.1),
        Policy(top_fraction=0.5, stratify_by="tag"),
        Policy(score="combined"),
    ):
        assert select_policy.decide(empty, policy).accepted.tolist() == []


def test_a_score_that_is_no_number_is_refused() -> None:
    bad = dataclasses.replace(some_candidates(), clap_score=np.array([0, 0, np.nan, 0, 0, 0]))
    with pytest.raises(InputError, match="1 of 6 candidates have a score that is no finite"):
        select_policy.require_scores(bad, Policy())


@pytest.mark.parametrize("score", ["log_prob", "combined"])
def test_captions_without_log_probability_are_ranked_by_clap_alone(score: Any) -> None:
    untold = dataclasses.replace(some_candidates(), log_prob=np.full(6, np.nan))
    select_policy.require_scores(untold, Policy())
    assert select_policy.decide(untold, Policy()).reason.tolist() == reasons(Policy())
    with pytest.raises(InputError, match=f"{score}: 6 of 6 .*no log-prob.*rank by score: clap"):
        select_policy.require_scores(untold, Policy(score=score))


def test_evidence_of_one_scorer_has_no_second_threshold() -> None:
    alone = dataclasses.replace(some_candidates(), second_score=np.full(6, np.nan))
    select_policy.require_scores(alone, Policy())
    with pytest.raises(InputError, match="min_second_score: 6 of 6 .*name a second_scorer"):
        select_policy.require_scores(alone, Policy(min_second_score=0.2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_score": 0.1, "top_fraction": 0.5}, "not both"),
        ({"stratify_by": "tag"}, "needs top_fraction"),
        ({"top_fraction": 0.0}, "greater than 0"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy(**fields)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(), 8 / 10),
        (Policy(top_fraction=0.5, stratify_by="tag"), 4 / 10),
        (Policy(min_score=0.3), 6 / 10),
        (Policy(min_score=-1.0, score="log_prob"), None),
        (Policy(min_second_score=0.3), None),
        (Policy(max_per_clip=2), None),
    ],
)
def test_the_expected_yield_follows_from_counts_where_it_can(
    policy: Policy, expected: float | None
) -> None:
    assert select_policy.expected_yield(policy, 8, 10, lambda score: 6) == expected


def test_a_policy_is_described_rule_by_rule() -> None:
    described = select_policy.describe(
        Policy(score="log_prob", min_second_score=0.2, max_per_clip=2, min_score=-1.5)
    )
    assert described == (
        "Captions with a second score below 0.2 are rejected. The best 2 captions are taken of "
        "each clip, by log-probability. Of these, those that score -1.5 or more are accepted."
    )
    assert select_policy.describe(Policy()).endswith("accepted, without a threshold.")
