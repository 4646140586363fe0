"""The loop writes what transformers' `generate` writes, and each clip is encoded only once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    GenerationMixin,
    PreTrainedModel,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen2AudioForConditionalGeneration,
    WhisperForConditionalGeneration,
)

from curation.models.decoding.transformers_sampling import (
    SampledText,
    draw_uniform_numbers,
    sample_candidates,
)
from tests.support import tiny_captioners as tiny

MOST = 12
SOUND, PAD, END, WORDS = 1, 2, 3, 20


class RecordedRequest(NamedTuple):
    """A model, its `generate`, its inputs for three clips, and its encoder."""

    model: PreTrainedModel
    generate: Callable[..., Any]
    inputs: dict[str, Tensor]
    ears: nn.Module
    prompt: int


@pytest.fixture(scope="module", params=["qwen2_audio", "thinker", "whisper"])
def requested(request: pytest.FixtureRequest) -> RecordedRequest:
    return {"qwen2_audio": _qwen2_audio, "thinker": _thinker, "whisper": _whisper}[request.param]()


def _qwen2_audio() -> RecordedRequest:
    config = tiny.qwen2_audio_config(WORDS, SOUND)
    model = _ending(Qwen2AudioForConditionalGeneration(config))
    inputs = _prompts([24, 49, 10])
    return RecordedRequest(
        model, model.generate, inputs, model.model.audio_tower, inputs["input_ids"].shape[1]
    )


def _thinker() -> RecordedRequest:
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2}
    config = Qwen2_5OmniThinkerConfig(
        audio_config={**tiny.EARS, "encoder_layers": 1, "output_dim": 16},
        vision_config={**vision, "out_hidden_size": 16, "fullatt_block_indexes": [0]},
        text_config={
            **tiny.writer_config(WORDS),
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
        },
        audio_token_index=SOUND,
        image_token_index=17,
        video_token_index=18,
        audio_start_token_id=19,
        vision_start_token_id=16,
    )
    model = _ending(Qwen2_5OmniThinkerForConditionalGeneration(config))
    inputs = _prompts([24, 49, 10])
    return RecordedRequest(
        model, model.generate, inputs, model.model.audio_tower, inputs["input_ids"].shape[1]
    )


def _whisper() -> RecordedRequest:
    model = _ending(WhisperForConditionalGeneration(tiny.whisper_config(WORDS, PAD, END, 4)))
    inputs = {
        "input_features": _features(),
        "decoder_input_ids": torch.tensor([[4, 5]]).repeat(3, 1),
        "attention_mask": torch.ones(3, 100 * tiny.WINDOW_S, dtype=torch.long),
    }
    generate = partial(GenerationMixin.generate, model)
    return RecordedRequest(model, generate, inputs, model.model.encoder, 2)


def _ending(model: PreTrainedModel) -> Any:
    model.generation_config.update(eos_token_id=[END, 6], pad_token_id=PAD)
    return tiny.randomised(model)


def _features() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(3, tiny.MELS, 100 * tiny.WINDOW_S, generator=generator)


def _prompts(sounds: list[int]) -> dict[str, Tensor]:
    """Prompts of a few words around so many tokens of sound, padded on the left."""
    longest = max(sounds) + 4
    ids = torch.full((len(sounds), longest), PAD)
    encoded_sound = torch.zeros(len(sounds), 100 * tiny.WINDOW_S, dtype=torch.long)
    for row, sound in enumerate(sounds):
        ids[row, longest - sound - 4 :] = torch.tensor([7, 8, *[SOUND] * sound, 9, 10])
        encoded_sound[row, : 4 * sound] = 1
    return {
        "input_ids": ids,
        "attention_mask": (ids != PAD).long(),
        "input_features": _features(),
        "feature_attention_mask": encoded_sound,
    }


def greedy(
    requested: RecordedRequest, candidates: int, most: int = MOST
) -> list[list[SampledText | None]]:
    return sample_candidates(
        requested.generate, requested.inputs, torch.zeros(3, candidates, most), top_p=0.0
    )


@contextmanager
def watched(module: nn.Module, seen: Callable[[Any], Any]) -> Iterator[None]:
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen(output))
    yield
    handle.remove()


@pytest.mark.parametrize("most", [MOST, 1])
def test_the_likeliest_tokens_are_those_of_generate(requested: RecordedRequest, most: int) -> None:
    expected = requested.generate(**requested.inputs, max_new_tokens=most, do_sample=False)
    for row, [first, second] in enumerate(greedy(requested, 2, most)):
        assert first is not None
        assert second is not None
        assert first.ids == second.ids
        ids = expected[row, requested.prompt :].tolist()
        ends = [at for at, token in enumerate(ids) if token in (END, 6)]
        assert first.ended == bool(ends)
        assert list(first.ids) == ids[: ends[0] if ends else None]


def test_log_probabilities_are_those_of_the_untempered_model(requested: RecordedRequest) -> None:
    expected = requested.generate(
        **requested.inputs,
        max_new_tokens=MOST,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    numbers = draw_uniform_numbers([1, 2, 3], [0], MOST)
    for row, [written] in enumerate(
        sample_candidates(requested.generate, requested.inputs, numbers, 1e-4)
    ):
        assert written is not None
        ids = expected.sequences[row, requested.prompt :][: len(written.ids) + written.ended]
        steps = [
            logits[row].log_softmax(-1)[token]
            for logits, token in zip(expected.logits, ids, strict=False)
        ]
        assert written.log_prob == pytest.approx(float(sum(steps)) / len(ids), abs=1e-4)


def test_each_clip_is_encoded_once(requested: RecordedRequest) -> None:
    encoded_sound: list[int] = []
    with watched(requested.ears, lambda output: encoded_sound.append(len(output[0]))):
        greedy(requested, 1)
        once = encoded_sound.copy()
        greedy(requested, 5)
    assert encoded_sound == once * 2
    assert len(once) == 1


def test_a_candidate_depends_on_its_clip_seed_and_number_alone(requested: RecordedRequest) -> None:
    together = sample_candidates(
        requested.generate,
        requested.inputs,
        draw_uniform_numbers([1, 2, 3], range(4), MOST),
        0.9,
        0.95,
    )
    assert len({written for clip in together for written in clip}) > 6
    for row, seed in enumerate([1, 2, 3]):
        alone = {name: values[row : row + 1] for name, values in requested.inputs.items()}
        [[third]] = sample_candidates(
            requested.generate, alone, draw_uniform_numbers([seed], [2], MOST), 0.9, 0.95
        )
        expected = together[row][2]
        assert third is not None
        assert expected is not None
        assert (third.ids, third.ended) == (expected.ids, expected.ended)
        assert third.log_prob == pytest.approx(expected.log_prob, abs=1e-4)


def test_candidates_that_have_ended_leave_the_batch(requested: RecordedRequest) -> None:
    rows: list[int] = []
    with watched(requested.model, lambda output: rows.append(len(output.logits))):
        written = sample_candidates(
            requested.generate, requested.inputs, draw_uniform_numbers([1, 2, 3], range(8), MOST)
        )
    lengths = [len(one.ids) + one.ended for clip in written for one in clip if one is not None]
    # The prompt's pass is of clips; each later one is of the candidates that still go on.
    assert rows == [3, *(sum(n > at for n in lengths) for at in range(1, max(lengths)))]
    assert rows[1] > rows[-1]


def test_tokens_come_as_often_as_they_are_likely(requested: RecordedRequest) -> None:
    many, temperature, top_p = 4000, 0.8, 0.9
    drawn: list[Tensor] = []
    with watched(requested.model, lambda output: drawn.append(output.logits[0, -1])):
        [clip, *_] = sample_candidates(
            requested.generate,
            requested.inputs,
            draw_uniform_numbers([1, 2, 3], range(many), 1),
            temperature,
            top_p,
        )
    shares = (drawn[0] / temperature).softmax(-1)
    likely = shares.sort(descending=True)
    kept = likely.indices[: int((likely.values.cumsum(0) < top_p).sum()) + 1]
    expected = torch.zeros(WORDS).index_copy(0, kept, shares[kept] / shares[kept].sum())
    ids = [END if one.ended else one.ids[0] for one in clip if one is not None]
    counted = torch.tensor(ids).bincount(minlength=WORDS) / many
    # Both end tokens count as one.
    expected[END] += expected[6]
    expected[6] = 0
    assert (counted - expected).abs().max() < 0.03
    assert counted[expected == 0].sum() == 0


def test_logits_that_are_not_finite_are_reported_and_hurt_no_other_clip(
    requested: RecordedRequest,
) -> None:
    numbers = draw_uniform_numbers([1, 2, 3], range(2), MOST)
    whole = sample_candidates(requested.generate, requested.inputs, numbers)

    prompts: list[Tensor] = []

    def broken(output: Any) -> Any:
        if not prompts:
            output.logits[1, -1, 7] = float("nan")
        prompts.append(output.logits)
        return output

    with watched(requested.model, broken):
        reported = sample_candidates(requested.generate, requested.inputs, numbers)
    assert reported[1] == [None, None]
    assert [clip and [one.ids for one in clip if one] for clip in (reported[0], reported[2])] == [
        [one.ids for one in clip if one] for clip in (whole[0], whole[2])
    ]


def test_numbers_are_of_seed_and_candidate_alone() -> None:
    some = draw_uniform_numbers([5, 6], [3, 1], 4)
    assert torch.equal(some[1, 0], draw_uniform_numbers([6], [3], 9)[0, 0, :4])
    assert len(set(some.flatten().tolist())) == some.numel()
    assert 0 <= some.min() and some.max() < 1
