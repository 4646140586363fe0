"""Pools and node types: the YAML, what fits, and the error if it does not."""

from pathlib import Path

import pytest

from curation.annotate import pools
from curation.annotate.pools import Pool
from curation.cluster import placement
from curation.config.annotate import AnnotateConfig
from curation.engine import driver
from curation.errors import InputError
from curation.run import catalog_plan, config_file
from tests.support.runs import corpus_run

SEPARATE = {"placement": "separate"}


def pools_of(**annotate_section: object) -> list[Pool]:
    return pools.build_pools(AnnotateConfig.model_validate(annotate_section))


def test_a_number_alone_is_a_pool_as_before() -> None:
    by_number = pools_of(**SEPARATE, pools={"decoders": 3, "captioners": 2}, gpus_per_actor=0.5)
    assert [(p.min_actors, p.max_actors, p.cpus, p.gpus) for p in by_number] == [
        (3, 3, 1, 0.0), (2, 2, 1, 0.5), (1, 1, 1, 0.5),
    ]  # fmt: skip


def test_each_pool_says_its_actors_and_where_they_run() -> None:
    section = {
        "decoders": {"actors": [2, 8], "cpus": 2, "node_resource": "decoder"},
        "captioners": {"actors": [1, 4], "gpus": 1, "cpus": 4},
        "scorers": [1, 2],
    }
    decoders, captioners, scorers = pools_of(
        **SEPARATE, pools=section, gpus_per_actor=0.25, model_threads=3, node_resource="gpu"
    )
    assert decoders.ray_options == {"num_cpus": 2, "resources": {"decoder": pools.NODE_SHARE}}
    assert (decoders.min_actors, decoders.max_actors) == (2, 8)
    assert captioners.actor_resources == {"CPU": 4, "GPU": 1, "gpu": pools.NODE_SHARE}
    assert (scorers.min_actors, scorers.max_actors, scorers.cpus, scorers.gpus) == (1, 2, 3, 0.25)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"actors": 0}, "annotate.actors: .*0: expected 1 or more, or \\[least, most\\]"),
        ({"actors": [4, 2]}, "annotate.actors: .*expected 1 or more, or \\[least, most\\]"),
        ({"pools": {"scorers": [0, 2]}}, "pools.scorers.actors: .*expected 1 or more"),
        ({"gpus_per_actor": 1.5}, "gpus_per_actor.*a fraction of one GPU, or whole GPUs"),
        ({"pools": {"scorers": {"gpus": 2.5}}}, "scorers.gpus.*a fraction of one GPU"),
        ({"pools": {"scorers": {"gpu": 1}}}, "did you mean 'gpus'"),
        ({"pools": {"decoders": {"cpus": 0}}}, "decoders.cpus: .*greater than or equal to 1"),
        ({"node_resource": "memory"}, "annotate.node_resource: .*a resource of Ray's own"),
        ({"node_resource": "GPU node"}, "annotate.node_resource: .*match pattern"),
    ],
)
def test_a_mistake_in_a_pool_is_named(section: dict, message: str) -> None:
    run = {"run": "x", "catalog": {"kind": "folder", "audio": "y"}, "annotate": section}
    with pytest.raises(InputError, match=message):
        config_file.parse_run_config(run, "run.yaml")


def pool(
    name: str, least: int, cpus: int = 1, gpus: float = 0.0, node_resource: str | None = None
) -> Pool:
    return Pool(name, least, least, cpus, gpus, node_resource)


@pytest.mark.parametrize(
    ("requested", "misfit"),
    [
        ([pool("a", 12)], None),
        ([pool("a", 13)], "a"),
        ([pool("a", 8, gpus=0.25)], None),
        ([pool("a", 9, gpus=0.25)], "a"),
        ([pool("a", 1, cpus=5)], "a"),  # of twelve CPUs no node has five
        ([pool("a", 1, gpus=2)], "a"),
        ([pool("a", 2, gpus=1), pool("b", 1, gpus=0.1)], "b"),
        ([pool("decoders", 4), pool("scorers", 2, cpus=4, gpus=1)], None),
        ([pool("decoders", 5), pool("scorers", 2, cpus=4, gpus=1)], "decoders"),
        ([pool("a", 4, node_resource="gpu")], None),
        ([pool("a", 9, node_resource="gpu")], "a"),
        ([pool("a", 1, node_resource="tpu")], "a"),
    ],
)
def test_pools_fit_the_nodes_or_the_first_that_does_not_is_named(
    requested: list[Pool], misfit: str | None
) -> None:
    nodes = [{"CPU": 4}, {"CPU": 4, "GPU": 1, "gpu": 1}, {"CPU": 4, "GPU": 1, "gpu": 1}]
    found = placement.find_first_misfit(requested, nodes)
    assert (found.name if found else None) == misfit


def test_a_machine_of_its_own_is_of_every_type_and_has_a_cpu_to_spare() -> None:
    settings = AnnotateConfig.model_validate(
        {
            **SEPARATE,
            "pools": {"decoders": {"actors": [2, 9], "node_resource": "decoder"}},
            "node_resource": "gpu",
        }
    )
    assert pools.list_node_resources(settings) == ["decoder", "gpu"]
    assert pools.count_cpus_needed(settings) == 2 + 1 + 1 + 1


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"actors": 4, "cpus_per_actor": 500},
            "annotate.actors: 4 actors of 500 CPUs and 0 GPUs each do not fit",
        ),
        ({"actors": 1, "gpus_per_actor": 64}, "annotate.actors: 1 actors of 1 CPUs and 64 GPUs"),
        (
            {**SEPARATE, "pools": {"captioners": {"node_resource": "captioner"}}},
            "annotate.pools.captioners: 1 actors .* on nodes of type 'captioner' do not fit beside "
            "the other pools; the cluster has .* CPU; ask for fewer actors",
        ),
        (
            {**SEPARATE, "pools": {"scorers": {"node_resource": "scorer"}}, "wait_for_nodes_s": 1},
            "annotate.pools.scorers: .* found no node in 1 s",
        ),
    ],
    ids=["too many", "no GPU", "no such node", "no such node in time"],
)
def test_a_pool_that_does_not_fit_is_an_error_before_anything_runs(
    section: dict, message: str, corpus: Path, tmp_path: Path
) -> None:
    run = corpus_run(corpus, tmp_path, cluster="ray", annotate={"shard_clips": 10, **section})
    catalog_plan.create_plan(run)
    with pytest.raises(InputError, match=message):
        driver.annotate_run(run, lambda done, total: None)


@pytest.mark.usefixtures("local_ray")
def test_a_range_of_actors_annotates_every_clip(corpus: Path, tmp_path: Path) -> None:
    section = {"shard_clips": 10, "actors": [1, 2], "wait_for_nodes_s": 5}
    run = corpus_run(corpus, tmp_path, cluster="ray", annotate=section)
    catalog_plan.create_plan(run)
    assert driver.annotate_run(run, lambda done, total: None).clips == 40
