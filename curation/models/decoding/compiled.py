"""Decoding with a compiled decoder and fixed shapes; on a GPU, by a CUDA graph of each step.

`decoding.decode` lets clips leave and looks at no more of the past than is filled, so its shapes
change from step to step. Here a batch is padded to a size of a short list and no shape changes: the
position is a tensor, the past is masked, and every so many steps it is asked whether all captions
have ended. What is written is the same; `tests/models` holds the two equal.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from curation.models.decoding.cached import Captions
from curation.models.decoding.next_token import BeamSearch, Decoded, Sampler, gumbel_noise
from curation.models.networks.tag_guided_captioner import EncoderOutput, TagGuidedCaptioner

# Sizes are powers of two from these on: a run's batches come to a handful of them, and of the GPU's
# memory all of them together hold about as much again as the largest.
_LEAST_CLIPS = 8
_LEAST_POSITIONS = 16
# The question waits for the GPU, which has nothing to do until the answer.
_STEPS_A_QUESTION = 4


class CompiledDecoder:
    """`decoding.decode` of one model; it compiles at the first batch, for all steps and sizes.

    On a GPU each size's step, search and all, is then recorded, on memory that is kept for it, and
    played without the host's launching its kernels one by one.

    Args:
        model: the captioner; after its weights have moved, call `forget`.
        backend: torch.compile's.
    """

    def __init__(self, model: TagGuidedCaptioner, backend: str | Callable[..., Any] = "inductor"):
        self._model = model
        self._logits = torch.compile(model.decoder.step, backend=backend, dynamic=True)
        self._recorded: dict[tuple[Any, ...], _Recorded] = {}

    def forget(self) -> None:
        """Drop what was recorded, and its memory."""
        self._recorded.clear()

    @torch.inference_mode()
    def warm_up(self, beams: int, samples: int, max_tokens: int) -> None:
        """Compile for captions of this kind. Raises what compiling raises."""
        dim = self._model.config.dim
        bias = None
        if self._model.config.guidance_mode == "additive":
            bias = torch.zeros(1, dim, device=self._model.device)
        nothing = EncoderOutput(
            last_hidden_state=torch.zeros(1, 1, dim, device=self._model.device),
            memory_mask=torch.ones(1, 1, dtype=torch.bool, device=self._model.device),
            word_bias=bias,
        )
        noise = None
        if samples:
            noise = gumbel_noise([0], samples, max_tokens, self._model.config.vocab_size)
        self.decode(nothing, beams, noise, 1.0, max_tokens)

    @torch.inference_mode()
    def decode(
        self,
        encoded: EncoderOutput,
        beams: int,
        noise: Tensor | None,
        temperature: float,
        max_tokens: int,
    ) -> tuple[list[Decoded], list[list[Decoded]]]:
        """As `decoding.decode`."""
        clips = len(encoded.last_hidden_state)
        padded = _padded(encoded, noise)
        make = partial(_Batch, self._model, self._logits, *padded, beams, temperature, max_tokens)
        if self._model.device.type == "cuda":
            recorded = self._recording(make)
            batch, advance = recorded.batch, recorded.graph.replay
        else:
            batch = make()
            advance = batch.step
        for at in range(1, max_tokens + 1):
            advance()
            if at % _STEPS_A_QUESTION == 0 and not batch.is_open():
                break
        return batch.search.best()[:clips], batch.sampler.captions()[:clips]

    def _recording(self, make: Callable[[], "_Batch"]) -> "_Recorded":
        """The step recorded for batches of this one's size, about to begin with this one."""
        batch = make()
        if batch.size not in self._recorded:
            self._recorded[batch.size] = _Recorded(make())
        recorded = self._recorded[batch.size]
        for mine, theirs in zip(recorded.batch.tensors(), batch.tensors(), strict=True):
            mine.copy_(theirs)
        return recorded


class _Batch:
    """All that a step reads and changes, its first one before it."""

    def __init__(
        self,
        model: TagGuidedCaptioner,
        logits: Callable[..., Tensor],
        encoded: EncoderOutput,
        noise: Tensor | None,
        beams: int,
        temperature: float,
        max_tokens: int,
    ) -> None:
        clips = len(encoded.last_hidden_state)
        self.positions = torch.arange(max_tokens, device=model.device)
        self.at = self.positions[:1].clone()
        self.search = BeamSearch(model, clips, beams, max_tokens)
        self.sampler = Sampler(model, clips, noise, temperature, max_tokens)
        self.captions = Captions(model, encoded, beams + self.sampler.samples, max_tokens, logits)

    @property
    def size(self) -> tuple[Any, ...]:
        """What a recorded step holds for."""
        return self.sampler.temperature, *(tensor.shape for tensor in self.tensors())

    def tensors(self) -> list[Tensor]:
        captions = self.captions
        layers = [each for layer in (*captions.memory, *captions.past) for each in layer]
        told = [self.at, captions.ids, captions.encoded.memory_mask, captions.encoded.word_bias]
        searched = [*vars(self.search).values(), *vars(self.sampler).values()]
        return [each for each in (*told, *layers, *searched) if isinstance(each, Tensor)]

    def step(self) -> None:
        """Take one word of every caption; those that have ended change no more."""
        at, most, beams = self.at, len(self.positions), self.search.beams
        last = at == most - 1
        log_probs = self.captions.step(at, most, (self.positions <= at)[None, None, None])
        parents, beam_ids = self.search.step(log_probs[:, :beams], at, last)
        sample_ids = self.sampler.step(log_probs[:, beams:], at, last)
        self.captions.reorder(parents, most)
        self.captions.ids.copy_(torch.cat([beam_ids, sample_ids], dim=1))
        at.add_(1)

    def is_open(self) -> bool:
        """Whether a caption goes on."""
        return bool((self.search.open | self.sampler.open).any())


class _Recorded:
    """A step as a CUDA graph on a batch of its own, into which others of its size are copied."""

    def __init__(self, batch: _Batch) -> None:
        device = batch.at.device
        self.batch = batch
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.device(device), torch.cuda.stream(stream):
            # What is done at the first time alone, as compiling, is no part of the graph.
            batch.step()
            # Another thread may go on with the GPU meanwhile, as a younger shard's does.
            with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
                batch.step()
        torch.cuda.current_stream(device).wait_stream(stream)


def _padded(encoded: EncoderOutput, noise: Tensor | None) -> tuple[EncoderOutput, Tensor | None]:
    """A batch of one of the sizes: the last clip again and again, and behind memories nothing."""
    clips, positions, _ = encoded.last_hidden_state.shape
    rows = torch.arange(_size(clips, _LEAST_CLIPS)).clamp(max=clips - 1)
    encoded = encoded.take(rows.to(encoded.last_hidden_state.device))
    more = _size(positions, _LEAST_POSITIONS) - positions
    padded = EncoderOutput(
        last_hidden_state=F.pad(encoded.last_hidden_state, (0, 0, 0, more)),
        memory_mask=F.pad(encoded.memory_mask, (0, more)),
        word_bias=encoded.word_bias,
    )
    return padded, None if noise is None else noise[rows]


def _size(number: int, least: int) -> int:
    return max(least, 1 << (number - 1).bit_length())
