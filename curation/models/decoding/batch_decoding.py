"""Beam search and sampling of a batch of clips in one cached loop, repeatable clip by clip.

transformers' `generate` decodes a beam and samples apart, and samples from one global random
state; here all captions of all clips advance together, the encoder's memory is shared by a clip's
captions, and what is sampled for a clip depends on its own noise alone. Clips whose captions have
all ended leave the batch. `tests/models` holds the beam equal to `generate(num_beams=...)`.
"""

import torch
from torch import Tensor

from curation.models.decoding.next_token import BeamSearch, DecodedCaption, Sampler
from curation.models.networks.tag_guided_captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.networks.transformer import KeyValue

# Clips that are done leave once those that go on are at most this share of the batch: what leaving
# costs, a copy of the others' memory and past, is then less than the steps that it saves.
_COMPACTION_SHARE = 0.75


@torch.inference_mode()
def decode_captions(
    model: TagGuidedCaptioner,
    encoded: EncoderOutput,
    beams: int,
    noise: Tensor | None,
    temperature: float,
    max_tokens: int,
) -> tuple[list[DecodedCaption], list[list[DecodedCaption]]]:
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
    captions = DecoderState(model, encoded, beams + sampler.samples, max_tokens)
    positions = torch.arange(max_tokens, device=model.device)
    for filled, at in enumerate(positions.split(1), start=1):
        last = at == max_tokens - 1
        log_probs = captions.step(at, filled)
        parents, beam_ids = search.step(log_probs[:, :beams], at, last)
        sample_ids = sampler.step(log_probs[:, beams:], at, last)
        going = search.active | sampler.active
        rows = going.nonzero().flatten()
        if not len(rows):
            break
        if not _parents_unchanged(parents):
            captions.reorder(parents, filled)
        captions.ids = torch.cat([beam_ids, sample_ids], dim=1)
        if len(rows) <= _COMPACTION_SHARE * len(going):
            captions.select_rows(rows)
            search.select_rows(rows)
            sampler.select_rows(rows)
    return search.best(), sampler.captions()


class DecoderState:
    """The decoder's side of all captions of the clips that are in the batch.

    The past has room for the longest caption from the start, so that no step moves it.

    Attributes:
        ids: the newest word of each caption `[clip, caption]`.
    """

    def __init__(
        self,
        model: TagGuidedCaptioner,
        encoded: EncoderOutput,
        captions: int,
        max_tokens: int,
    ) -> None:
        clips = len(encoded.last_hidden_state)
        self.decoder = model.decoder
        self.encoded = encoded
        self.memory = model.decoder.project(encoded)
        self.past = [
            _allocate_cache(keys_values, clips * captions, max_tokens)
            for keys_values in self.memory
        ]
        self.ids = torch.full((clips, captions), model.config.bos_token_id, device=model.device)

    def step(self, at: Tensor, filled: int) -> Tensor:
        """Log-probabilities of the word behind position `at [1]`, `[clip, caption, word]`.

        Of the past the `filled` first positions are read.
        """
        past = [KeyValue(*(each[:, :, :filled] for each in layer)) for layer in self.past]
        logits = self.decoder.step(self.ids, at, past, self.memory, self.encoded)
        return logits.log_softmax(dim=-1)

    def reorder(self, parents: Tensor, filled: int) -> None:
        """Let each beam go on from its parent's past `[clip, beam]`; samples keep their own."""
        clips, beams = parents.shape
        for cache in (each for layer in self.past for each in layer):
            by_clip = cache.unflatten(0, (clips, -1))[:, :beams, :, :filled]
            index = parents[:, :, None, None, None].expand_as(by_clip)
            by_clip.copy_(by_clip.gather(1, index))

    def select_rows(self, rows: Tensor) -> None:
        """Let the other clips leave."""
        clips = len(self.ids)
        self.ids = self.ids[rows]
        self.encoded = self.encoded.take(rows)
        self.memory = [KeyValue(*(each[rows] for each in layer)) for layer in self.memory]
        self.past = [
            KeyValue(*(each.unflatten(0, (clips, -1))[rows].flatten(0, 1) for each in layer))
            for layer in self.past
        ]


def _allocate_cache(like: KeyValue, captions: int, steps: int) -> KeyValue:
    _, heads, _, width = like.keys.shape
    return KeyValue(
        like.keys.new_zeros(captions, heads, steps, width),
        like.keys.new_zeros(captions, heads, steps, width),
    )


def _parents_unchanged(parents: Tensor) -> bool:
    """Whether every beam goes on from its own past."""
    return bool((parents == torch.arange(parents.shape[1], device=parents.device)).all())
