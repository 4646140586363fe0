"""Beam search and sampling of a batch of clips in one cached loop, repeatable for each clip.

transformers' `generate` decodes beams and samples in separate calls, and draws samples from one
global random state. This loop decodes all captions of all clips together. The captions of a clip
share the encoder's output, and the samples of a clip depend only on the clip's own noise. A clip
whose captions have all ended leaves the batch. `tests/models` compares the beam search with
`generate(num_beams=...)`.
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
    """Return the best beam of each clip, and the samples of each clip.

    Args:
        encoded: the encoder's output, one row per clip.
        beams: width of the beam search; 0 for none, and then the first list is empty.
        noise: `draw_uniform_noise` for at least `max_tokens` steps; None draws no samples.
        temperature: sampling temperature; log-probabilities are always those at temperature 1.
        max_tokens: maximum number of tokens of a caption, end token included; longer ones are cut.
    """
    clips = len(encoded.last_hidden_state)
    search = BeamSearch(model, clips, beams, max_tokens)
    sampler = Sampler(model, clips, noise, temperature, max_tokens)
    captions = DecoderState(model, encoded, beams + sampler.samples, max_tokens)
    for at in range(max_tokens):
        last = at == max_tokens - 1
        log_probs = captions.step(at)
        parents, beam_ids = search.step(log_probs[:, :beams], at, last)
        sample_ids = sampler.step(log_probs[:, beams:], at, last)
        going = search.active | sampler.active
        rows = going.nonzero().flatten()
        if not len(rows):
            break
        captions.reorder(parents, at + 1)
        captions.ids = torch.cat([beam_ids, sample_ids], dim=1)
        if len(rows) <= _COMPACTION_SHARE * len(going):
            captions.select_rows(rows, at + 1)
            search.select_rows(rows)
            sampler.select_rows(rows)
    return search.best(), sampler.captions()


class DecoderState:
    """The decoder's state for all captions of the clips in the batch.

    The cache of past keys and values is allocated for the longest caption at the start, so that no
    step moves it.

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
        self.positions = torch.arange(max_tokens, device=model.device)
        self.columns = torch.arange(captions, device=model.device)

    def step(self, at: int) -> Tensor:
        """Return log-probabilities of the word after position `at`, `[clip, caption, word]`."""
        past = [KeyValue(*(each[:, :, : at + 1] for each in layer)) for layer in self.past]
        position = self.positions[at : at + 1]
        logits = self.decoder.step(self.ids, position, past, self.memory, self.encoded)
        return logits.log_softmax(dim=-1)

    def reorder(self, parents: Tensor, filled: int) -> None:
        """Copy to each beam the cache of its parent beam (`parents`, `[clip, beam]`).

        The caches of samples are unchanged. Only the first `filled` positions are copied, and only
        for beams whose parent is another beam.
        """
        captions = len(self.columns)
        clip, beam = (parents != self.columns[: parents.shape[1]]).nonzero(as_tuple=True)
        if not len(clip):
            return
        to, source = clip * captions + beam, clip * captions + parents[clip, beam]
        for cache in (each[:, :, :filled] for layer in self.past for each in layer):
            cache[to] = cache[source]

    def select_rows(self, rows: Tensor, filled: int) -> None:
        """Keep only the clips `rows`, with the first `filled` positions of their caches."""
        self.ids = self.ids[rows]
        self.encoded = self.encoded.take(rows)
        self.memory = [KeyValue(*(each[rows] for each in layer)) for layer in self.memory]
        own = (rows[:, None] * len(self.columns) + self.columns).flatten()
        for index, layer in enumerate(self.past):
            smaller = _allocate_cache(self.memory[index], len(own), layer.keys.shape[2])
            for to, each in zip(smaller, layer, strict=True):
                to[:, :, :filled] = each[:, :, :filled].index_select(0, own)
            self.past[index] = smaller


def _allocate_cache(like: KeyValue, captions: int, steps: int) -> KeyValue:
    """Room for keys and values, in memory position by position; what is in it is undefined."""
    _, heads, _, width = like.keys.shape
    keys, values = like.keys.new_empty(2, captions, steps, heads, width).transpose(2, 3)
    return KeyValue(keys, values)
