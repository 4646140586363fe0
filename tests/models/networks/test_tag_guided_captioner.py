"""The captioner decodes as transformers does, heeds its tags, and survives saving."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from curation.models import weights
from curation.models.decoding.batch_decoding import decode_captions
from curation.models.decoding.next_token import draw_uniform_noise, to_gumbel
from curation.models.networks.tag_guided_captioner import (
    IGNORED_LABEL,
    EncoderOutput,
    TagGuidedCaptioner,
)
from curation.models.networks.transformers_networks import (
    TransformersCaptioner,
    TransformersCaptionerConfig,
)

MAX_TOKENS = 12
LONGER = 30


def batch(clips: int = 5) -> dict[str, torch.Tensor]:
    """Features of clips of different lengths, the first of them untagged."""
    random = torch.Generator().manual_seed(3)
    lengths = torch.tensor([40, 25, 33, 40, 12])[:clips]
    tags = torch.rand(clips, 3, generator=random).round()
    tags[0] = 0
    tags[1:, 0] = 1
    features = torch.randn(clips, 40, 64, generator=random) * 10 - 40
    return {"input_features": features, "feature_lengths": lengths, "tags": tags}


def encoded(captioner: TagGuidedCaptioner) -> EncoderOutput:
    with torch.no_grad():
        return captioner.encoder(**batch())


def pretrained(captioner: TagGuidedCaptioner) -> TransformersCaptioner:
    """The captioner as a class of transformers."""
    model = TransformersCaptioner(TransformersCaptionerConfig(**captioner.config.to_dict()))
    model.load_state_dict(captioner.state_dict())
    return model.eval()


def words(ids: torch.Tensor) -> tuple[int, ...]:
    """A generated sequence without its start token, end token and what follows."""
    listed = ids.tolist()[1:]
    return tuple(listed[: listed.index(2)] if 2 in listed else listed)


@pytest.mark.parametrize("beams", [1, 3])
def test_own_beam_equals_generate(captioner: TagGuidedCaptioner, beams: int) -> None:
    theirs = pretrained(captioner).generate(
        **batch(), num_beams=beams, do_sample=False, max_new_tokens=MAX_TOKENS
    )
    ours, _ = decode_captions(captioner, encoded(captioner), beams, None, 1.0, MAX_TOKENS)
    assert [one.ids for one in ours] == [words(row) for row in theirs]
    assert len({one.ids for one in ours}) > 1, "every clip says the same: nothing was compared"


def test_own_beam_equals_generate_where_clips_end_apart(eager: TagGuidedCaptioner) -> None:
    theirs = pretrained(eager).generate(
        **batch(), num_beams=3, do_sample=False, max_new_tokens=LONGER
    )
    ours, _ = decode_captions(eager, encoded(eager), 3, None, 1.0, LONGER)
    assert [one.ids for one in ours] == [words(row) for row in theirs]
    assert len({len(one.ids) for one in ours}) > 2


def test_without_beams_the_samples_are_the_same(captioner: TagGuidedCaptioner) -> None:
    noise = draw_uniform_noise(range(5), 2, MAX_TOKENS, captioner.config.vocab_size)
    _, among = decode_captions(captioner, encoded(captioner), 3, noise, 0.7, MAX_TOKENS)
    none, alone = decode_captions(captioner, encoded(captioner), 0, noise, 0.7, MAX_TOKENS)
    assert none == []
    assert [[one.ids for one in clip] for clip in alone] == [
        [one.ids for one in clip] for clip in among
    ]


def test_clips_that_are_done_leave_and_change_nothing_for_the_others(
    eager: TagGuidedCaptioner,
) -> None:
    noise = draw_uniform_noise(range(5), 1, LONGER, eager.config.vocab_size)
    whole = encoded(eager)
    alone = [
        decode_captions(eager, whole.take(rows), 3, noise[rows], 0.7, LONGER)
        for rows in torch.arange(5).split(1)
    ]
    clips: list[int] = []
    eager.decoder.norm.register_forward_hook(lambda _, inputs, __: clips.append(len(inputs[0])))
    best, samples = decode_captions(eager, whole, 3, noise, 0.7, LONGER)
    assert clips[0] == 5 > clips[-1], clips
    assert clips == sorted(clips, reverse=True)
    for row, ([expected_beam], [[expected_sample]]) in enumerate(alone):
        for reported, expected in ((best[row], expected_beam), (samples[row][0], expected_sample)):
            assert reported.ids == expected.ids
            assert reported.log_prob == pytest.approx(expected.log_prob, abs=1e-5)


def test_generate_returns_several_samples_a_clip(captioner: TagGuidedCaptioner) -> None:
    sampled = pretrained(captioner).generate(
        **batch(), do_sample=True, num_return_sequences=4, max_new_tokens=MAX_TOKENS
    )
    assert sampled.shape[0] == 5 * 4


def test_generate_runs_the_encoder_once(captioner: TagGuidedCaptioner) -> None:
    calls: list[int] = []
    model = pretrained(captioner)
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    model.generate(**batch(), num_beams=3, num_return_sequences=3, max_new_tokens=4)
    assert len(calls) == 1


def test_log_prob_is_that_of_teacher_forcing(captioner: TagGuidedCaptioner) -> None:
    noise = draw_uniform_noise(range(5), 2, MAX_TOKENS, captioner.config.vocab_size)
    best, samples = decode_captions(captioner, encoded(captioner), 2, noise, 0.7, MAX_TOKENS)
    for choice in [best, *zip(*samples, strict=True)]:
        ends = [[*one.ids, 2][:MAX_TOKENS] for one in choice]
        labels = torch.full((5, MAX_TOKENS), IGNORED_LABEL)
        for row, ids in enumerate(ends):
            labels[row, : len(ids)] = torch.tensor(ids)
        expected = captioner.log_prob(encoded(captioner), labels)
        torch.testing.assert_close(torch.tensor([one.log_prob for one in choice]), expected)


def test_gumbel_samples_follow_the_model() -> None:
    """Frequencies of 20,000 draws against the softmax that they are drawn from."""
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    noise = to_gumbel(draw_uniform_noise([11], 20_000, 1, 4))[0, :, 0]
    drawn = (probabilities.log() + noise).argmax(dim=1)
    shares = drawn.bincount(minlength=4) / len(drawn)
    assert (shares - probabilities).abs().max() < 0.02, shares


def test_noise_is_a_clips_own() -> None:
    together = draw_uniform_noise([5, 6], 2, 3, 4)
    assert torch.equal(together[1], draw_uniform_noise([6], 2, 3, 4)[0])


def test_a_sample_takes_the_noise_of_the_steps_that_it_takes(eager: TagGuidedCaptioner) -> None:
    """Noise is converted a step at a time: what lies behind a clip's last word is not read."""
    whole = encoded(eager)
    noise = draw_uniform_noise(range(5), 1, LONGER, eager.config.vocab_size)
    _, expected = decode_captions(eager, whole, 3, noise, 0.7, LONGER)
    for row, [sample] in enumerate(expected):
        noise[row, :, len(sample.ids) + 1 :] = torch.nan
    _, samples = decode_captions(eager, whole, 3, noise, 0.7, LONGER)
    assert samples == expected
    assert len({len(sample.ids) for [sample] in samples}) > 1


def test_gumbel_noise_is_that_of_exponential_numbers() -> None:
    """The same seeds give the samples of earlier versions, which drew by `exponential_`."""
    noise = to_gumbel(draw_uniform_noise([7], 2, 5, 211))
    exponential = torch.empty(2, 5, 211)
    exponential.exponential_(generator=torch.Generator().manual_seed(7))
    assert torch.equal(noise[0], exponential.log().neg())


def test_tags_change_what_is_said(captioner: TagGuidedCaptioner) -> None:
    inputs = batch()
    reported = captioner(**inputs, decoder_input_ids=torch.ones(5, 1, dtype=torch.long)).logits
    inputs["tags"] = torch.zeros_like(inputs["tags"])
    untold = captioner(**inputs, decoder_input_ids=torch.ones(5, 1, dtype=torch.long)).logits
    torch.testing.assert_close(reported[0], untold[0])  # the untagged clip
    assert (reported[1:] - untold[1:]).abs().amax(dim=(1, 2)).min() > 1e-4


def test_no_tags_are_zero_tags(captioner: TagGuidedCaptioner) -> None:
    inputs = batch()
    inputs["tags"] = torch.zeros_like(inputs["tags"])
    zeros = captioner.encoder(**inputs).last_hidden_state
    del inputs["tags"]
    torch.testing.assert_close(captioner.encoder(**inputs).last_hidden_state, zeros)


def test_withheld_tags_do_not_matter_in_training(captioner: TagGuidedCaptioner) -> None:
    encoder = captioner.encoder
    encoder.train()
    dropout, encoder.guidance_dropout = encoder.guidance_dropout, 1.0
    inputs = batch()
    labels = torch.ones(5, 3, dtype=torch.long)
    try:
        inputs["tags"].requires_grad_()
        captioner(**inputs, labels=labels).loss.backward()
    finally:
        encoder.guidance_dropout = dropout
        captioner.eval()
        captioner.zero_grad()
    gradient = inputs["tags"].grad
    assert gradient is None or not gradient.any()


def test_padding_does_not_change_the_memory(captioner: TagGuidedCaptioner) -> None:
    whole = encoded(captioner).rows()
    for row, length in enumerate(batch()["feature_lengths"].tolist()):
        one = {name: value[row : row + 1] for name, value in batch().items()}
        one["input_features"] = one["input_features"][:, :length]
        with torch.no_grad():
            alone = captioner.encoder(**one).rows()[0]
        torch.testing.assert_close(alone.last_hidden_state, whole[row].last_hidden_state)


def test_saved_and_reloaded_it_is_the_same(captioner: TagGuidedCaptioner, tmp_path: Path) -> None:
    weights.save_network(captioner, tmp_path)
    again = weights.load_network(tmp_path, TagGuidedCaptioner, "cpu")
    assert again.config == captioner.config
    assert not again.training
    torch.testing.assert_close(
        again.encoder(**batch()).last_hidden_state, encoded(captioner).last_hidden_state
    )
    assert again.decoder.head.weight is again.decoder.words.weight
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_half_precision_on_disk_loads_as_float(
    captioner: TagGuidedCaptioner, tmp_path: Path
) -> None:
    weights.save_network(copy.deepcopy(captioner).half(), tmp_path)
    assert load_file(tmp_path / "tagscribe.safetensors")["decoder.words.weight"].dtype == torch.half
    again = weights.load_network(tmp_path, TagGuidedCaptioner, "cpu")
    assert all(parameter.dtype == torch.float32 for parameter in again.parameters())
    difference = again.encoder(**batch()).last_hidden_state - encoded(captioner).last_hidden_state
    assert difference.abs().mean() < 0.05
