"""Beam search and sampling of a batch of clips in one cached loop, repeatable clip by clip.

transformers' `generate` decodes a beam and samples apart, and samples from one global random
state; here all captions of all clips advance together, the encoder's memory is shared by a clip's
captions, and what is sampled for a clip depends on its own noise alone. Clips whose captions have
all ended leave the batch. `tests/models` holds the beam equal to `generate(num_beams=...)`.
"""

import torch
from torch import Tensor

from curation.models.captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.next_word import BeamSearch, Decoded, Sampler
from curation.models.transformer import KeyValue

# Clips that are done leave once those that go on are at most this share of the batch: what leaving
# costs, a copy of the others' memory and past, is then less than the steps that it saves.
_WORTH_LEAVING = 0.75


@torch.inference_mode()
def decode(
    model: TagGuidedCaptioner,
    encoded: EncoderOutput,
    beams: int,
    noise: Tensor | None,
    temperature: float,
    max_tokens: int,
) -> tuple[list[Decoded], list[list[Decoded]]]:
    """The best beam of each clip, and its samples.

    Args:
        encoded: the encoder's output, one row a clip.
        beams: width of the beam search; with 0 there is none, and the first list is empty.
        noise: `gumbel_noise` for at least `max_tokens` steps; None draws no samples.
        temperature: of the samples; the log-probabilities told are always untempered.
        max_tokens: the longest caption, end token included; a longer one is cut.
    """
    clips = len(encoded.last_hidden_state)
    search = BeamSearch(model, clips, beams, max_tokens)
    sampler = Sampler(model, clips, noise, temperature, max_tokens)
    captions = _Captions(model, encoded, beams + sampler.samples, max_tokens)
    for at in range(max_tokens):
        last = at == max_tokens - 1
        log_probs = captions.step(at)
        parents, beam_ids = search.step(log_probs[:, :beams], at, last)
        sample_ids = sampler.step(log_probs[:, beams:], at, last)
        going = search.open | sampler.open
        rows = going.nonzero().flatten()
        if not len(rows):
            break
        captions.go_on(parents, torch.cat([beam_ids, sample_ids], dim=1), at + 1)
        if len(rows) <= _WORTH_LEAVING * len(going):
            captions.keep(rows)
            search.keep(rows)
            sampler.keep(rows)
    return search.best(), sampler.captions()


class _Captions:
    """The decoder's side of all captions of the clips that are in the batch.

    The past has room for the longest caption from the start, so that no step moves it.
    """

    def __init__(
        self, model: TagGuidedCaptioner, encoded: EncoderOutput, captions: int, max_tokens: int
    ) -> None:
        clips = len(encoded.last_hidden_state)
        self.decoder = model.decoder
        self.encoded = encoded
        self.memory = model.decoder.project(encoded)
        self.past = [
            _room(keys_values, clips * captions, max_tokens) for keys_values in self.memory
        ]
        self.ids = torch.full((clips, captions), model.config.bos_token_id, device=model.device)

    def step(self, at: int) -> Tensor:
        """Log-probabilities of the next word, `[clip, caption, word]`."""
        logits = self.decoder.step(self.ids, at, self.past, self.memory, self.encoded)
        return logits.log_softmax(dim=-1)

    def go_on(self, parents: Tensor, ids: Tensor, filled: int) -> None:
        """Put the words `ids [clip, caption]` behind the captions, beams behind their parents'."""
        self.ids = ids
        _reorder(self.past, parents, filled)

    def keep(self, rows: Tensor) -> None:
        """Let the other clips leave."""
        clips = len(self.ids)
        self.ids = self.ids[rows]
        self.encoded = self.encoded.take(rows)
        self.memory = [KeyValue(*(each[rows] for each in layer)) for layer in self.memory]
        self.past = [
            KeyValue(*(each.unflatten(0, (clips, -1))[rows].flatten(0, 1) for each in layer))
            for layer in self.past
        ]


def _room(like: KeyValue, captions: int, steps: int) -> KeyValue:
    _, heads, _, width = like.keys.shape
    return KeyValue(
        like.keys.new_empty(captions, heads, steps, width),
        like.keys.new_empty(captions, heads, steps, width),
    )


def _reorder(past: list[KeyValue], parents: Tensor, filled: int) -> None:
    """Let each beam go on from its parent's past; samples keep their own."""
    clips, beams = parents.shape
    if bool((parents == torch.arange(beams, device=parents.device)).all()):
        return
    for keys_values in past:
        for room in keys_values:
            by_clip = room.unflatten(0, (clips, -1))[:, :beams, :, :filled]
            index = parents[:, :, None, None, None].expand_as(by_clip)
            by_clip.copy_(by_clip.gather(1, index))
