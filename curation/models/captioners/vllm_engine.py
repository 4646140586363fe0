"""Runs vLLM's engine in this process; the adapter creates it in `setup`."""

from collections.abc import Mapping, Sequence
from typing import Any

from curation.errors import InputError
from curation.models.captioners import vllm_installed
from curation.models.captioners.vllm_requests import VllmRequest, VllmResponse
from curation.schema import Failure


class VllmEngine:
    """A loaded vLLM engine.

    Args:
        source: the model's directory or hub id.
        engine: arguments of the engine.
        version: the required release of vLLM.
        sample_rate_hz: sampling rate of the waveforms in requests.
    """

    def __init__(
        self, model_source: str, engine: Mapping[str, Any], version: str, sample_rate_hz: int
    ) -> None:
        vllm_installed.require_vllm_version(
            vllm_installed.installed_vllm_version(),
            version,
            "in this process",
            vllm_installed.IN_PROCESS_HINT,
        )
        import vllm

        self._vllm = vllm
        try:
            self._engine = vllm.LLM(model=model_source, **engine)
        # Of a model that it does not know vLLM's many parts raise what they like.
        except Exception as error:
            raise InputError(f"{model_source}: vLLM {version} cannot run it: {error}") from error
        self._rate_hz = sample_rate_hz

    def move(self, device: str) -> None:
        """Do nothing: vLLM keeps its GPU, and a run's configuration forbids offloading it."""
        raise NotImplementedError(device)

    def generate_responses(self, requests: Sequence[VllmRequest]) -> list[VllmResponse | Failure]:
        """Return the response to each request, in order; a failure if vLLM refuses the request."""
        try:
            return self._generate(requests)
        except ValueError:
            # One of them is refused, with all the others, before any is answered.
            return [self._generate_one(request) for request in requests]

    def _generate_one(self, request: VllmRequest) -> VllmResponse | Failure:
        try:
            [response] = self._generate([request])
        except ValueError as error:
            return Failure("caption", type(error).__name__, str(error))
        return response

    def _generate(self, requests: Sequence[VllmRequest]) -> list[VllmResponse | Failure]:
        outputs = self._engine.generate(
            [
                {"prompt": one.prompt, "multi_modal_data": {"audio": (one.sound, self._rate_hz)}}
                for one in requests
            ],
            [self._vllm.SamplingParams(**one.sampling) for one in requests],
            use_tqdm=False,
        )
        return [
            VllmResponse(best.text, [next(iter(token.values())).logprob for token in best.logprobs])
            for best in (each.outputs[0] for each in outputs)
        ]
