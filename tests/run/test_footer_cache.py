"""The sums in progress/: a copy of the footers, believed only where the evidence bears it out."""

from pathlib import Path

import pytest

from curation.config.run import RunConfig
from curation.run import evidence, footer_cache, layout
from curation.run.layout import RunFolder
from tests.support.runs import planned_run, span, write_evidence

SHARDS = footer_cache.SHARDS_PER_PART + 3


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """A finished run of one full part and a short one."""
    config = planned_run(tmp_path, clips=SHARDS, shard_clips=1)
    for shard in range(SHARDS):
        write_evidence(config, shard, span(100.0 + shard, 101.0 + shard), failed=shard % 2)
    return config


def footers(config: RunConfig) -> dict[int, evidence.ShardFooter]:
    return footer_cache.read_footers(
        RunFolder.from_config(config), evidence.list_evidence_files(RunFolder.from_config(config))
    )


def parts(config: RunConfig) -> list[str]:
    folder = Path(layout.progress_uri(config.run))
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def write_parts(config: RunConfig, todo: list[int]) -> None:
    footer_cache.FooterCacheWriter(RunFolder.from_config(config), SHARDS, todo).write_full_parts(
        evidence.list_evidence_files(RunFolder.from_config(config))
    )


def test_the_copy_says_what_the_footers_say(config: RunConfig) -> None:
    read = footers(config)
    assert read[1].counts == evidence.ShardCounts(1, {"decode/truncated": 1})
    assert read[1].spans == tuple(span(101.0, 102.0))
    write_parts(config, [])
    assert parts(config) == ["shards-00000.json", "shards-00064.json"]
    assert footers(config) == read


def test_the_copy_is_what_is_read(config: RunConfig) -> None:
    read = footers(config)
    write_parts(config, [])
    for file in evidence.list_evidence_files(RunFolder.from_config(config)).values():
        Path(file.uri).write_bytes(b"x" * file.size_bytes)
    assert footers(config) == read


def test_a_part_waits_for_its_last_shard(config: RunConfig) -> None:
    Path(layout.shard_uri(config.run, 5)).unlink()
    write_parts(config, [5])
    assert parts(config) == ["shards-00064.json"]
    assert sorted(footers(config)) == [shard for shard in range(SHARDS) if shard != 5]


def test_evidence_that_is_gone_is_not_done(config: RunConfig) -> None:
    write_parts(config, [])
    Path(layout.shard_uri(config.run, 5)).unlink()
    assert 5 not in footers(config)


def test_evidence_of_another_size_is_read_itself(config: RunConfig) -> None:
    write_parts(config, [])
    Path(layout.shard_uri(config.run, 5)).unlink()
    write_evidence(config, 5, scores=[0.1] * 9)
    assert footers(config)[5].counts.ok == 9


def test_what_is_done_again_is_taken_back_first(config: RunConfig) -> None:
    write_parts(config, [])
    writer = footer_cache.FooterCacheWriter(RunFolder.from_config(config), SHARDS, todo=[5])
    assert parts(config) == ["shards-00064.json"]
    writer.write_full_parts(evidence.list_evidence_files(RunFolder.from_config(config)))
    assert parts(config) == ["shards-00000.json", "shards-00064.json"]
