"""Samples several captions of each clip from one encoding, repeatable for each clip.

transformers' `generate(num_return_sequences=k)` encodes each clip k times, and samples from one
global random state. Here `generate` only prepares the model's inputs, and passes them to a loop of
this module. The model encodes each clip once, and the resulting cache is copied to all candidates.
Each candidate is drawn with its own random numbers. Candidates that have ended leave the batch.
`tests/models` compares the loop with `generate`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.modeling_outputs import BaseModelOutput

GenerationState = dict[str, Any]

# The inputs that a candidate keeps after its prompt, without the features of the sound.
_ROWS = (
    "attention_mask",
    "decoder_attention_mask",
    "position_ids",
    "decoder_position_ids",
    "token_type_ids",
    "mm_token_type_ids",
)


@dataclass(frozen=True)
class SampledText:
    """Token ids without the end token, and the mean log-probability, end token included.

    `ended` is False if the text was cut at the maximum number of tokens.
    """

    ids: tuple[int, ...]
    log_prob: float
    ended: bool


def draw_uniform_numbers(seeds: Sequence[int], candidates: Sequence[int], tokens: int) -> Tensor:
    """Draw uniform numbers in [0, 1), `[clip, candidate, token]`, seeded by clip and candidate.

    To choose a token, one number is looked up in the cumulative distribution. Gumbel noise would
    need one number for each word of the vocabulary. For 150,000 words, drawing it would cost more
    than running the model.
    """
    numbers = np.empty((len(seeds), len(candidates), tokens))
    for row, seed in enumerate(seeds):
        for column, candidate in enumerate(candidates):
            generator = np.random.Generator(np.random.PCG64([seed, candidate]))
            numbers[row, column] = generator.random(tokens)
    return torch.from_numpy(numbers)


@torch.inference_mode()
def sample_candidates(
    generate: Callable[..., Any],
    inputs: Mapping[str, Any],
    numbers: Tensor,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> list[list[SampledText | None]]:
    """Sample the candidates of each clip; None for a clip whose logits are not finite.

    Args:
        generate: `generate` of a model.
        inputs: arguments of `generate`, one row per clip; prompts are padded on the left.
        numbers: `draw_uniform_numbers` for the maximum number of tokens of a candidate, end token
            included.
        temperature: sampling temperature; log-probabilities are always those at temperature 1.
        top_p: share of the probability mass to sample from; 0 takes the most likely token.
    """
    if not numbers.numel():
        return [[] for _ in numbers]
    loop = _SamplingLoop(numbers, temperature, top_p)
    generate(
        **inputs,
        custom_generate=loop,
        max_new_tokens=numbers.shape[2],
        do_sample=False,
        num_beams=1,
    )
    return loop.collect_candidates()


class _SampledTokens(NamedTuple):
    """The tokens of one step, one per row."""

    rows: Tensor
    ids: Tensor
    log_probs: Tensor
    is_end: Tensor


class _SamplingLoop:
    """Draws the candidates of a batch of clips side by side, a row each."""

    def __init__(self, numbers: Tensor, temperature: float, top_p: float) -> None:
        self.clips, self.candidates, self.most = numbers.shape
        self.numbers = numbers.flatten(0, 1)
        self.steps: list[_SampledTokens] = []
        self.warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
        if top_p < 1:
            self.warpers.append(TopPLogitsWarper(top_p))

    def __call__(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        logits_processor: LogitsProcessorList,
        generation_config: GenerationConfig,
        stopping_criteria: Any,
        **state: Any,
    ) -> Tensor:
        """As `generate` calls it: from prompts `[clip, token]` to candidates `[row, token]`."""
        device = input_ids.device
        self.numbers = self.numbers.to(device)
        end_ids = torch.tensor(generation_config.eos_token_id, device=device).flatten()
        rows = torch.arange(self.clips * self.candidates, device=device)
        clips = rows // self.candidates
        logits, state = _forward(model, input_ids, state, is_first_iteration=True)
        input_ids, logits, state = input_ids[clips], logits[clips], _select_rows(state, clips)
        for at in range(self.most):
            scores = logits_processor(input_ids, logits)
            taken = self._sample_tokens(logits.log_softmax(dim=-1), scores, rows, at, end_ids)
            self.steps.append(taken)
            on = (~(taken.is_end | taken.log_probs.isnan())).nonzero().flatten()
            if at == self.most - 1 or not len(on):
                break
            if len(on) < len(rows):
                rows, input_ids, state = rows[on], input_ids[on], _select_rows(state, on)
            input_ids = torch.cat([input_ids, taken.ids[on, None]], dim=1)
            logits, state = _forward(model, input_ids, state, next_sequence_length=1)
        return input_ids

    def _sample_tokens(
        self, log_probs: Tensor, scores: Tensor, rows: Tensor, at: int, end_ids: Tensor
    ) -> _SampledTokens:
        """Draw one token a row from its scores `[row, word]`, with its log-probability."""
        # One logit that is not finite makes its row NaN; any token will do for it.
        broken = log_probs.isnan()
        scores = self.warpers(None, scores.masked_fill(broken, 0.0))
        shares = scores.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
        numbers = self.numbers[rows, at] * shares[:, -1]
        ids = torch.searchsorted(shares, numbers[:, None], right=True)
        drawn = log_probs.gather(1, ids).squeeze(1)
        return _SampledTokens(rows, ids.squeeze(1), drawn, torch.isin(ids.squeeze(1), end_ids))

    def collect_candidates(self) -> list[list[SampledText | None]]:
        """Return the candidates of each clip, in order."""
        ids: list[list[int]] = [[] for _ in self.numbers]
        log_probs: list[list[float]] = [[] for _ in self.numbers]
        ended = [False] * len(self.numbers)
        for step in self.steps:
            for row, token, log_prob, end in zip(*(part.tolist() for part in step), strict=True):
                ids[row] += [] if end else [token]
                log_probs[row].append(log_prob)
                ended[row] = end
        means = [math.fsum(each) / len(each) for each in log_probs]
        candidates = [
            None if math.isnan(mean) else SampledText(tuple(words), mean, end)
            for words, mean, end in zip(ids, means, ended, strict=True)
        ]
        return [
            candidates[row : row + self.candidates]
            for row in range(0, len(candidates), self.candidates)
        ]


def _forward(
    model: PreTrainedModel, input_ids: Tensor, state: GenerationState, **how: Any
) -> tuple[Tensor, GenerationState]:
    """Logits `[row, word]` of the next tokens, and the inputs of the next step."""
    inputs = model.prepare_inputs_for_generation(input_ids, **how, **state)
    outputs = model(**inputs, return_dict=True)
    state = model._update_model_kwargs_for_generation(
        outputs, state, is_encoder_decoder=model.config.is_encoder_decoder
    )
    return outputs.logits[:, -1].float(), state


def _select_rows(state: GenerationState, rows: Tensor) -> GenerationState:
    """The state of some rows, in a new order or several times over."""
    selected = {key: value for key, value in state.items() if not isinstance(value, Tensor)}
    selected["past_key_values"].batch_select_indices(rows)
    for key in _ROWS:
        if isinstance(state.get(key), Tensor):
            # Positions may be of several kinds: `[kind, row, token]`.
            selected[key] = state[key].index_select(state[key].ndim - 2, rows)
    if state.get("encoder_outputs") is not None:
        selected["encoder_outputs"] = BaseModelOutput(state["encoder_outputs"][0][rows])
    return selected
