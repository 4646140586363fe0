"""Models that share a GPU one after the other: the same evidence, and never two of them there."""

from pathlib import Path

import pyarrow as pa
import pytest

from curation.annotate import metrics
from curation.config.run import RunConfig
from curation.models import run_models
from curation.models.captioners.tag_guided import TagGuidedAdapter
from tests.fakes import GPU, ExclusiveGpu, WatchedCaptioner, WatchedScorer
from tests.support.in_process import annotate_in_process
from tests.support.runs import corpus_run

# Nearly every clip wants more.
ADAPTIVE = {"first": 1, "enough_score": 0.9}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ExclusiveGpu:
    """One that both of a run's models are watched on."""

    def build(config: RunConfig) -> run_models.RunModels:
        return run_models.RunModels(WatchedCaptioner(), WatchedScorer(), None, None)

    GPU.there.clear()
    GPU.came.clear()
    monkeypatch.setattr("curation.models.run_models.build_run_models", build)
    return GPU


def run(corpus: Path, folder: Path, model_memory: str, **sections: object) -> RunConfig:
    annotate = {"shard_clips": 10, "model_memory": model_memory}
    return corpus_run(corpus, folder, annotate=annotate, **sections)


@pytest.fixture(scope="module")
def resident(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The adaptive run's evidence by models that are all there."""
    config = run(corpus, tmp_path_factory.mktemp("resident"), "resident", adaptive=ADAPTIVE)
    return annotate_in_process(config)


@pytest.mark.parametrize("shards_at_once", [1, 2])
def test_one_after_the_other_they_write_the_same_evidence(
    corpus: Path, tmp_path: Path, resident: pa.Table, gpu: ExclusiveGpu, shards_at_once: int
) -> None:
    config = run(corpus, tmp_path, "offload", adaptive=ADAPTIVE)
    assert annotate_in_process(config, shards_at_once).equals(resident)
    # Loaded once, then twice a shard, as there are two draws: the shards never mix.
    assert gpu.came == ["captioner", "scorer"] * (1 + 2 * 4)


def test_a_budget_of_tokens_bounds_the_batches_of_a_run(corpus: Path, tmp_path: Path) -> None:
    tally = metrics.InMemoryMeter()
    tokens = 3 * TagGuidedAdapter().max_tokens_per_clip + 1
    section = {"shard_clips": 20, "batch_tokens": tokens}
    annotate_in_process(corpus_run(corpus, tmp_path, annotate=section), tally=tally)
    assert max(tally.values(metrics.BATCH_CLIPS)) == 3
