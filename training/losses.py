"""Computes contrastive losses of a global batch, whose rows are spread over the processes.

Each function returns this process's share of the loss. The mean of the shares over the processes is
the loss of the whole batch in one process, and the mean of the gradients is its gradient. For this,
the clips of a process are compared with the captions gathered from all processes, and gradients
flow back to all processes.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training import distributed


def info_nce(
    audio: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    hard_negatives: Tensor | None = None,
    false_negatives: Tensor | None = None,
) -> Tensor:
    """Symmetric InfoNCE; each clip may have hard negatives as additional columns.

    The loss is the mean of two cross-entropies. One classifies each clip among the captions of the
    batch and the clip's own hard negatives. The other classifies each caption among the clips.

    Args:
        audio: unit vectors `[row, dim]`; clip i belongs to caption i.
        text: unit vectors `[row, dim]`.
        logit_scale: a number: the inverse temperature, already exponentiated.
        hard_negatives: unit vectors `[row, count, dim]`, wrong captions of each clip. They are
            not compared with other clips, for which they may be right.
        false_negatives: true if the batch's caption j also fits this process's clip i, `[row,
            batch]`: such pairs are not negatives. The entry of a clip's own caption is ignored.

    Example:
        >>> audio = text = torch.eye(4)
        >>> float(info_nce(audio, text, torch.tensor(100.0)))
        0.0
    """
    all_audio, all_text = distributed.gather_rows(audio), distributed.gather_rows(text)
    target = distributed.first_row_index(audio) + torch.arange(len(audio), device=audio.device)
    by_clip = _mask_false_negatives(logit_scale * audio @ all_text.T, false_negatives, target)
    by_caption = _mask_false_negatives(logit_scale * text @ all_audio.T, false_negatives, target)
    if hard_negatives is not None:
        own = logit_scale * torch.einsum("bd,bnd->bn", audio, hard_negatives)
        by_clip = torch.cat([by_clip, own], dim=1)
    of_clips = F.cross_entropy(by_clip, target, reduction="sum")
    of_captions = F.cross_entropy(by_caption, target, reduction="sum")
    return (of_clips + of_captions) * distributed.get_world_size() / (2 * len(all_audio))


def sigmoid_loss(
    audio: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    bias: Tensor,
    false_negatives: Tensor | None = None,
) -> Tensor:
    """The pairwise sigmoid loss of SigLIP (Zhai et al. 2023): each pair is right or wrong.

    The loss is summed over all pairs of clip and caption, and divided by the number of clips.

    Args:
        audio, text, logit_scale, false_negatives: as for `info_nce`.
        bias: a trained number; SigLIP initialises it with -10.

    Example:
        >>> audio = text = torch.eye(4)
        >>> round(float(sigmoid(audio, text, torch.tensor(100.0), torch.tensor(-50.0))), 6)
        0.0
    """
    all_text = distributed.gather_rows(text)
    target = distributed.first_row_index(audio) + torch.arange(len(audio), device=audio.device)
    own = F.one_hot(target, len(all_text)).bool()
    logits = logit_scale * audio @ all_text.T + bias
    losses = -F.logsigmoid(torch.where(own, logits, -logits))
    if false_negatives is not None:
        losses = losses.masked_fill(false_negatives & ~own, 0.0)
    return losses.sum() * distributed.get_world_size() / len(all_text)


def hard_negative_sigmoid(
    audio: Tensor, text: Tensor, hard_negatives: Tensor, logit_scale: Tensor, bias: Tensor
) -> Tensor:
    """Sigmoid loss of each clip's own captions, with one threshold for all clips.

    InfoNCE compares captions of the same clip only, so the scores of two clips have no common zero.
    If scores are to be compared with one threshold for all clips, this loss is needed in addition.
    It is SigLIP's sigmoid loss (Zhai et al. 2023) over the captions of each clip. Right and wrong
    captions have equal weight.

    Args:
        audio, text, hard_negatives, logit_scale: as for `info_nce`.
        bias: a trained number.
    """
    right = logit_scale * (audio * text).sum(dim=1) + bias
    wrong = logit_scale * torch.einsum("bd,bnd->bn", audio, hard_negatives) + bias
    return -(F.logsigmoid(right).mean() + F.logsigmoid(-wrong).mean()) / 2


def chance_loss(loss: str, batch: int) -> float:
    """The loss of a constant prediction, the best one, for "info_nce" or "sigmoid"."""
    if loss == "info_nce":
        return math.log(batch)
    return math.log(batch) + (batch - 1) * math.log(batch / (batch - 1))


def _mask_false_negatives(logits: Tensor, false_negatives: Tensor | None, target: Tensor) -> Tensor:
    """Removes false negatives from the sum; each row's own pair stays."""
    if false_negatives is None:
        return logits
    own = F.one_hot(target, logits.shape[1]).bool()
    return logits.masked_fill(false_negatives & ~own, -torch.inf)
