"""What the page says of a policy is what `select` does, candidate by candidate."""

import numpy as np
import pytest

from curation.review import build, policies
from curation.review.index import Index
from curation.select import rules
from curation.select.policy import Policy
from tests.review.runs import Drawn, drawn_run

POLICIES = [
    Policy(score=score, per_clip=per_clip, **threshold)
    for score in ("clap", "log_prob", "combined")
    for per_clip in (1, 2)
    for threshold in (
        {},
        {"min_score": 0.25},
        {"min_score": -1.0},
        {"keep_top": 0.37},
        {"keep_top": 0.5, "within": "tag"},
    )
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return drawn_run(tmp_path_factory.mktemp("drawn"), clips=300, seed=1)


@pytest.fixture(scope="module")
def index(drawn: Drawn) -> Index:
    return build.opened(drawn.config.run, lambda done, total: None)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_decisions_are_those_of_select(policy: Policy, drawn: Drawn, index: Index) -> None:
    expected = rules.decide(drawn.candidates, policy).reason
    reasons = policies.decide(index, policy)
    found = np.array(policies.REASONS)[reasons[index.has_caption]]
    assert found.tolist() == expected.tolist()
    assert set(reasons[~index.has_caption]) == {policies.NONE}


def test_tags_of_a_clip_and_clips_of_a_tag_agree(index: Index) -> None:
    for tag, name in enumerate(index.about.tag_names):
        clips = set(index.tag_clips.of([tag]).tolist())
        assert clips == {c for c in range(index.about.clips) if name in index.tags_of(c)}


def test_an_index_is_made_once(drawn: Drawn) -> None:
    build.opened(drawn.config.run, lambda done, total: None)
    told: list[int] = []
    build.opened(drawn.config.run, lambda done, total: told.append(done))
    assert told == []
    assert list(build.cache_folder().glob("*/making-*")) == []
