"""vLLM in the graph, by `ray.data.llm`: the stage that replies to questions.

The actors that hold vLLM run in an environment of their own and import nothing of this package.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray

from curation.annotate.vllm_workers import captioner_of, reply_row
from curation.cluster.pools import Pool
from curation.config.models import VllmConfig
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.captioners import vllm_installed

if TYPE_CHECKING:
    from ray.data.llm import Processor

_STAGE = "vLLMEngineStage"


def processor(config: RunConfig, pool: Pool, restarts: int, retries: int) -> "Processor":
    """What takes a dataset of questions (`AskWorker`) to one of replies, on the Ray that runs.

    Args:
        config: the run's configuration, whose captioner is vLLM's.
        pool: the actors that hold vLLM, one engine each.
        restarts: how often one that dies is started again.
        retries: how often questions are put again that one died of.

    Raises:
        InputError: vLLM is not installed where those actors run, or another release is.
    """
    captioner = captioner_of(config)
    need_vllm(captioner.config)
    with _quiet():
        from ray.data.llm import build_processor, vLLMEngineProcessorConfig

        made = build_processor(
            vLLMEngineProcessorConfig(
                model_source=captioner.source,
                engine_kwargs={**_parallel(pool), **captioner.engine},
                runtime_env=captioner.config.runtime_env or None,
                concurrency=(pool.least, pool.most),
                placement_group_config={"bundles": [pool.actor]},
                # A question that vLLM refuses becomes the error of its clip.
                should_continue_on_error=True,
                log_engine_metrics=False,
                # Questions are written by the model's chat template already, and carry their sound.
                prepare_multimodal_stage=False,
                chat_template_stage=False,
                tokenize_stage=False,
                detokenize_stage=False,
            ),
            postprocess=reply_row,
        )
    # Without bounds Ray Data would try a question that kills its engine for ever.
    bounds = {"max_restarts": restarts, "max_task_retries": retries}
    made.get_stage_by_name(_STAGE).map_batches_kwargs.update(bounds)
    return made


def need_vllm(captioner: VllmConfig) -> None:
    """Raises InputError unless the release of vLLM that is wanted is where its actors will be."""
    where = "in the environment of the workers"
    if captioner.runtime_env:
        where = f"in captioner.runtime_env ({captioner.runtime_env})"
    vllm_installed.need(_installed(captioner.runtime_env, where), captioner.version, where)


def _installed(runtime_env: dict[str, Any], where: str) -> str | None:
    # By value, for that environment has nothing of this package.
    ray.cloudpickle.register_pickle_by_value(vllm_installed)
    try:
        probe = ray.remote(vllm_installed.version)
        probe = probe.options(runtime_env=runtime_env or None, max_retries=0)
        found: str | None = ray.get(probe.remote())
    except (ray.exceptions.RayError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"no Python starts {where}: {reason}") from error
    finally:
        ray.cloudpickle.unregister_pickle_by_value(vllm_installed)
    return found


def _parallel(pool: Pool) -> dict[str, Any]:
    """An engine spreads over all GPUs of its actor, which are those of one node."""
    if pool.gpus <= 1:
        return {}
    return {"tensor_parallel_size": int(pool.gpus), "distributed_executor_backend": "mp"}


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray's builder joins the Ray that runs, and says on the way what is of no use here."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
