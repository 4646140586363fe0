"""Beam search and sampling of a batch of clips in one cached loop, repeatable clip by clip.

transformers' `generate` decodes a beam and samples apart, and samples from one global random
state; here all captions of all clips advance together, the encoder's memory is shared by a clip's
captions, and what is sampled for a clip depends on its own noise alone. `tests/models` holds the
beam equal to `generate(num_beams=...)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from curation.models.captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.transformer import KeyValue

_NEVER = -1.0e9


@dataclass(frozen=True)
class Decoded:
    """Word ids without start and end token, and their mean log-probability, end included."""

    ids: tuple[int, ...]
    log_prob: float


def gumbel_noise(seeds: Sequence[int], samples: int, steps: int, words: int) -> Tensor:
    """Standard Gumbel noise `[clip, sample, step, word]`, each clip's from its own seed.

    The arg max of log-probabilities plus such noise is an exact sample (Gumbel-max).
    """
    noise = torch.empty(len(seeds), samples, steps, words)
    for row, seed in enumerate(seeds):
        noise[row].exponential_(generator=torch.Generator().manual_seed(seed))
    return noise.log_().neg_()


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
        noise: `gumbel_noise` for at least `max_tokens` steps; None draws no samples.
        temperature: of the samples; the log-probabilities told are always untempered.
        max_tokens: the longest caption, end token included; a longer one is cut.
    """
    search = _BeamSearch(model, encoded, beams)
    sampler = _Sampler(model, noise, temperature)
    decoder = model.decoder
    clips = len(encoded.last_hidden_state)
    captions = beams + sampler.samples
    ids = torch.full((clips, captions), model.config.bos_token_id, device=model.device)
    memory = decoder.project(encoded)
    past = [_room(keys_values, clips * captions, max_tokens) for keys_values in memory]
    for at in range(max_tokens):
        last = at == max_tokens - 1
        log_probs = decoder.step(ids, at, past, memory, encoded).log_softmax(dim=-1)
        parents, beam_ids = search.step(log_probs[:, :beams], at, last)
        sample_ids = sampler.step(log_probs[:, beams:], at, last)
        if not search.open.any() and sampler.finished.all():
            break
        ids = torch.cat([beam_ids, sample_ids], dim=1)
        _reorder(past, parents, at + 1)
    return search.best(), sampler.captions()


class _BeamSearch:
    """The beam search of transformers 5 (early_stopping False, length_penalty 1), clip by clip."""

    def __init__(self, model: TagGuidedCaptioner, encoded: EncoderOutput, beams: int) -> None:
        clips = len(encoded.last_hidden_state)
        device = model.device
        self.eos = model.config.eos_token_id
        self.beams = beams
        self.clip = torch.arange(clips, device=device)[:, None]
        # Only the first beam counts at the start: all begin with the same token.
        self.scores = torch.full((clips, beams), _NEVER, device=device)
        self.scores[:, 0] = 0.0
        self.running = torch.zeros((clips, beams, 0), dtype=torch.long, device=device)
        self.done_scores = torch.full((clips, beams), _NEVER, device=device)
        self.done: list[list[tuple[float, tuple[int, ...]]]] = [[] for _ in range(clips)]
        self.open = torch.ones(clips, dtype=torch.bool, device=device)

    def step(self, log_probs: Tensor, at: int, last: bool) -> tuple[Tensor, Tensor]:
        """Take one word; which beam each beam goes on from, and the words: `[clip, beam]` each."""
        words = log_probs.shape[-1]
        total = (log_probs + self.scores[:, :, None]).flatten(1)
        scores, indices = total.topk(2 * self.beams, dim=1)
        parents, ids = indices // words, indices % words
        ends = (ids == self.eos) if not last else torch.ones_like(ids, dtype=torch.bool)
        self._finish(scores / (at + 1), parents, ids, ends)
        # Twice as many were kept as there are beams, so enough go on whichever of them end.
        self.scores, kept = (scores + ends * _NEVER).topk(self.beams, dim=1)
        parents, ids = parents.gather(1, kept), ids.gather(1, kept)
        self.running = torch.cat([self.running[self.clip, parents], ids[:, :, None]], dim=2)
        full = self.done_scores[:, -1] > _NEVER
        worst = torch.where(full, self.done_scores[:, -1], _NEVER)
        self.open &= self.scores[:, 0] / (at + 1) > worst
        return parents, ids

    def best(self) -> list[Decoded]:
        return [Decoded(ids, score) for score, ids in (done[0] for done in self.done)]

    def _finish(self, scores: Tensor, parents: Tensor, ids: Tensor, ends: Tensor) -> None:
        finished = ends[:, : self.beams] & self.open[:, None]
        for clip, place in finished.nonzero().tolist():
            caption = [*self.running[clip, parents[clip, place]].tolist(), int(ids[clip, place])]
            if caption[-1] == self.eos:
                caption.pop()
            done = self.done[clip]
            done.append((float(scores[clip, place]), tuple(caption)))
            done.sort(key=lambda scored: -scored[0])
            del done[self.beams :]
            for index, (score, _) in enumerate(done):
                self.done_scores[clip, index] = score


class _Sampler:
    """Independent samples by the Gumbel-max trick."""

    def __init__(self, model: TagGuidedCaptioner, noise: Tensor | None, temperature: float) -> None:
        self.noise = None if noise is None else noise.to(model.device)
        self.samples = 0 if noise is None else noise.shape[1]
        self.eos = model.config.eos_token_id
        self.pad = model.config.pad_token_id
        self.temperature = temperature
        clips = 0 if noise is None else len(noise)
        self.finished = torch.zeros((clips, self.samples), dtype=torch.bool, device=model.device)
        self.total = torch.zeros((clips, self.samples), device=model.device)
        self.length = torch.zeros((clips, self.samples), device=model.device)
        self.ids: list[Tensor] = []

    def step(self, log_probs: Tensor, at: int, last: bool) -> Tensor:
        """Draw one word a sample, `[clip, sample]`; those that have ended get padding."""
        if self.noise is None:
            return log_probs.new_zeros(log_probs.shape[:2], dtype=torch.long)
        ids = (log_probs / self.temperature + self.noise[:, :, at]).argmax(dim=-1)
        drawn = log_probs.gather(2, ids[:, :, None]).squeeze(2)
        self.total += torch.where(self.finished, 0.0, drawn)
        self.length += ~self.finished
        ids = torch.where(self.finished, self.pad, ids)
        self.finished |= (ids == self.eos) | last
        self.ids.append(ids)
        return ids

    def captions(self) -> list[list[Decoded]]:
        if self.noise is None:
            return []
        ids = torch.stack(self.ids, dim=2).tolist()
        lengths = self.length.long().tolist()
        means = (self.total / self.length).tolist()
        return [
            [self._decoded(*sample) for sample in zip(*clip, strict=True)]
            for clip in zip(ids, lengths, means, strict=True)
        ]

    def _decoded(self, ids: list[int], length: int, mean: float) -> Decoded:
        words = ids[:length]
        return Decoded(tuple(words[:-1] if words[-1] == self.eos else words), mean)


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
