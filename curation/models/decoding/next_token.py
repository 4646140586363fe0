"""Chooses the next word of captions by beam search and sampling, independently for each clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from curation.models.networks.tag_guided_captioner import TagGuidedCaptioner

_IMPOSSIBLE = -1.0e9


@dataclass(frozen=True)
class DecodedCaption:
    """Word ids without start and end token, and the mean log-probability, end token included."""

    ids: tuple[int, ...]
    log_prob: float


def draw_uniform_noise(seeds: Sequence[int], samples: int, steps: int, words: int) -> Tensor:
    """Draw uniform float64 noise in [0, 1), `[clip, sample, step, word]`, from one seed a clip.

    `to_gumbel` takes four times as long as drawing, so it is applied only to the steps that are
    taken.
    """
    noise = torch.empty(len(seeds), samples, steps, words, dtype=torch.float64)
    for row, seed in enumerate(seeds):
        noise[row].uniform_(generator=torch.Generator().manual_seed(seed))
    return noise


def to_gumbel(uniform: Tensor) -> Tensor:
    """Convert uniform float64 noise to standard Gumbel noise, float32, of the same shape.

    The arg max of log-probabilities plus such noise is an exact sample (Gumbel-max).
    """
    return uniform.neg().log1p_().neg_().float().log_().neg_()


class BeamSearch:
    """Beam search for each clip, as in transformers 5 (early_stopping False, length_penalty 1).

    The `done*` tensors hold the best ended captions of every clip; `rows` are the clips still in
    the batch. A step changes these tensors in place.
    """

    def __init__(self, model: TagGuidedCaptioner, clips: int, beams: int, max_tokens: int) -> None:
        device = model.device
        self.eos = model.config.eos_token_id
        self.beams = beams
        self.rows = torch.arange(clips, device=device)
        # Only the first beam counts at the start: all begin with the same token.
        self.scores = torch.full((clips, beams), _IMPOSSIBLE, device=device)
        self.scores[:, :1] = 0.0
        self.running = torch.full((clips, beams, max_tokens), self.eos, device=device)
        self.active = torch.full((clips,), beams > 0, device=device)
        self.done_scores = torch.full((clips, beams), _IMPOSSIBLE, device=device)
        self.done = torch.full((clips, beams, max_tokens), self.eos, device=device)

    def step(self, log_probs: Tensor, at: int, last: bool) -> tuple[Tensor, Tensor]:
        """Choose the next words. Return the parent and the word of each beam, `[clip, beam]` each.

        Args:
            log_probs: log-probabilities of the next word `[clip, beam, word]`.
            at: position of the next word.
            last: whether this is the last position.
        """
        if not self.beams:
            return _empty_words(log_probs), _empty_words(log_probs)
        words = log_probs.shape[-1]
        total = (log_probs + self.scores[:, :, None]).flatten(1)
        scores, indices = total.topk(2 * self.beams, dim=1)
        parents, ids = indices // words, indices % words
        running = _gather_captions(self.running, parents)
        running[:, :, at] = ids
        is_end = (ids == self.eos) | last
        worst = self._finish(scores / (at + 1), running, is_end)
        # Twice as many were kept as there are beams, so enough continue whichever of them end.
        scores, best = (scores + is_end * _IMPOSSIBLE).topk(self.beams, dim=1)
        self.scores.copy_(scores)
        self.running.copy_(_gather_captions(running, best))
        self.active.logical_and_(scores[:, 0] / (at + 1) > worst)
        return parents.gather(1, best), ids.gather(1, best)

    def select_rows(self, rows: Tensor) -> None:
        """Keep only these clips in the batch; ended captions of the other clips stay stored."""
        self.rows, self.active = self.rows[rows], self.active[rows]
        self.scores, self.running = self.scores[rows], self.running[rows]

    def best(self) -> list[DecodedCaption]:
        """Return the best caption of every clip; an empty list if there are no beams.

        The log-probability of a caption is NaN if logits were not finite and no caption ended.
        """
        if not self.beams:
            return []
        scores = self.done_scores[:, 0].masked_fill(
            self.done_scores[:, 0] == _IMPOSSIBLE, torch.nan
        )
        captions_with_scores = zip(self.done[:, 0].tolist(), scores.tolist(), strict=True)
        return [
            DecodedCaption(_before_end(self.eos, ids), score) for ids, score in captions_with_scores
        ]

    def _finish(self, scores: Tensor, running: Tensor, is_end: Tensor) -> Tensor:
        """Put captions that end among the done ones, where they are better; the worst of those."""
        ended = is_end[:, : self.beams] & self.active[:, None]
        new = torch.where(ended, scores[:, : self.beams], _IMPOSSIBLE)
        both = torch.cat([self.done_scores[self.rows], new], dim=1)
        done_scores, best = both.topk(self.beams, dim=1)
        captions = torch.cat([self.done[self.rows], running[:, : self.beams]], dim=1)
        self.done[self.rows] = _gather_captions(captions, best)
        self.done_scores[self.rows] = done_scores
        return done_scores[:, -1]


class Sampler:
    """Draws independent samples by the Gumbel-max trick; a step changes its tensors in place."""

    def __init__(
        self,
        model: TagGuidedCaptioner,
        clips: int,
        noise: Tensor | None,
        temperature: float,
        max_tokens: int,
    ) -> None:
        """`noise` is from `draw_uniform_noise`; None for no samples."""
        device = model.device
        self.noise = None if noise is None else noise.to(device)
        self.samples = 0 if noise is None else noise.shape[1]
        self.eos = model.config.eos_token_id
        self.pad = model.config.pad_token_id
        self.temperature = temperature
        shape = (clips, self.samples)
        self.finished = torch.zeros(shape, dtype=torch.bool, device=device)
        self.total = torch.zeros(shape, device=device)
        self.length = torch.zeros(shape, dtype=torch.long, device=device)
        self.ids = torch.full((*shape, max_tokens), self.pad, device=device)
        self.rows = torch.arange(clips, device=device)  # of the clips that are in the batch

    @property
    def active(self) -> Tensor:
        """Whether each clip of the batch has a sample that has not ended, bool `[clip]`."""
        return ~self.finished[self.rows].all(dim=1)

    def step(self, log_probs: Tensor, at: int, last: bool) -> Tensor:
        """Draw one word for each sample, `[clip, sample]`; an ended sample gets padding.

        The arguments are those of `BeamSearch.step`.
        """
        if self.noise is None:
            return _empty_words(log_probs)
        noise = to_gumbel(self.noise[:, :, at].index_select(0, self.rows))
        ids = (log_probs / self.temperature + noise).argmax(dim=-1)
        drawn = log_probs.gather(2, ids[:, :, None]).squeeze(2)
        finished = self.finished[self.rows]
        self.total[self.rows] += torch.where(finished, 0.0, drawn)
        self.length[self.rows] += ~finished
        ids = torch.where(finished, self.pad, ids)
        self.finished[self.rows] = finished | (ids == self.eos) | last
        self.ids[self.rows, :, at] = ids
        return ids

    def select_rows(self, rows: Tensor) -> None:
        """Keep only these clips in the batch; the samples of the other clips stay stored."""
        self.rows = self.rows[rows]

    def captions(self) -> list[list[DecodedCaption]]:
        """Return the samples of every clip."""
        means = (self.total / self.length).tolist()
        return [
            [
                DecodedCaption(_before_end(self.eos, ids), mean)
                for ids, mean in zip(*clip, strict=True)
            ]
            for clip in zip(self.ids.tolist(), means, strict=True)
        ]


def _gather_captions(captions: Tensor, chosen: Tensor) -> Tensor:
    """The chosen captions of each clip, `[clip, choice, word]`, of `[clip, caption, word]`."""
    return captions.gather(1, chosen[:, :, None].expand(-1, -1, captions.shape[2]))


def _before_end(eos: int, ids: list[int]) -> tuple[int, ...]:
    """The words before the first end token, or all of them."""
    return tuple(ids[: ids.index(eos)] if eos in ids else ids)


def _empty_words(log_probs: Tensor) -> Tensor:
    """The words of no captions, `[clip, 0]`, from their log-probabilities `[clip, 0, word]`."""
    return log_probs.new_zeros(log_probs.shape[:2], dtype=torch.long)
