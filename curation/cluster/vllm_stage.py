"""Builds the vLLM stage of the graph with `ray.data.llm`. The stage maps requests to responses.

The actors with vLLM run in an environment of their own, and import nothing of this package.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray

from curation.annotate.pools import Pool
from curation.annotate.vllm_workers import build_response_row, build_vllm_captioner
from curation.config.models import VllmConfig
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.captioners import vllm_installed

if TYPE_CHECKING:
    from ray.data.llm import Processor

_STAGE = "vLLMEngineStage"


def build_vllm_processor(config: RunConfig, pool: Pool, restarts: int, retries: int) -> "Processor":
    """Build the processor that maps a dataset of requests (`VllmRequestWorker`) to responses.

    Args:
        config: the configuration of the run, whose captioner is of kind `vllm`.
        pool: the pool of actors with vLLM, each with one engine.
        restarts: how often an actor that dies is restarted.
        retries: how often the requests of an actor that died are sent again.

    Raises:
        InputError: the actors' environment does not have vLLM, or has another release than
            required.
    """
    captioner = build_vllm_captioner(config)
    require_vllm(captioner.config)
    with _quiet_logging():
        from ray.data.llm import build_processor, vLLMEngineProcessorConfig

        processor = build_processor(
            vLLMEngineProcessorConfig(
                model_source=captioner.model_source,
                engine_kwargs={**_parallelism(pool), **captioner.engine_arguments},
                runtime_env=captioner.config.runtime_env or None,
                concurrency=(pool.min_actors, pool.max_actors),
                placement_group_config={"bundles": [pool.actor_resources]},
                # A request that vLLM refuses becomes the error of its clip.
                should_continue_on_error=True,
                log_engine_metrics=False,
                # Requests hold the text of the model's chat template already, and their audio.
                prepare_multimodal_stage=False,
                chat_template_stage=False,
                tokenize_stage=False,
                detokenize_stage=False,
            ),
            postprocess=build_response_row,
        )
    # Without bounds Ray Data would retry a request that crashes its engine for ever.
    bounds = {"max_restarts": restarts, "max_task_retries": retries}
    processor.get_stage_by_name(_STAGE).map_batches_kwargs.update(bounds)
    return processor


def require_vllm(captioner: VllmConfig) -> None:
    """Check that the environment of the actors has the configured release of vLLM.

    Raises InputError if it does not.
    """
    where = "in the environment of the workers"
    if captioner.runtime_env:
        where = f"in captioner.runtime_env ({captioner.runtime_env})"
    vllm_installed.require_vllm_version(
        _find_installed_version(captioner.runtime_env, where), captioner.version, where
    )


def _find_installed_version(runtime_env: dict[str, Any], where: str) -> str | None:
    # By value, as that environment does not contain this package.
    ray.cloudpickle.register_pickle_by_value(vllm_installed)
    try:
        probe = ray.remote(vllm_installed.installed_vllm_version)
        probe = probe.options(runtime_env=runtime_env or None, max_retries=0)
        found: str | None = ray.get(probe.remote())
    except (ray.exceptions.RayError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"no Python starts {where}: {reason}") from error
    finally:
        ray.cloudpickle.unregister_pickle_by_value(vllm_installed)
    return found


def _parallelism(pool: Pool) -> dict[str, Any]:
    """Engine options that spread it over all GPUs of its actor, which are on one node."""
    if pool.gpus <= 1:
        return {}
    return {"tensor_parallel_size": int(pool.gpus), "distributed_executor_backend": "mp"}


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Silence what Ray's builder logs while it connects to the running Ray."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
