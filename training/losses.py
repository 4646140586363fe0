"""Contrastive losses of a batch of clips and captions."""

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(
    audio: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    hard_negatives: Tensor | None = None,
    alike: Tensor | None = None,
) -> Tensor:
    """Symmetric InfoNCE; each clip may bring wrong captions of its own as further columns.

    The mean of two cross-entropies: of each clip among the captions of the batch and its own hard
    negatives, and of each caption among the clips.

    Args:
        audio: unit vectors `[batch, dim]`; clip i belongs to caption i.
        text: unit vectors `[batch, dim]`.
        logit_scale: a number, the inverse temperature (already exponentiated).
        hard_negatives: unit vectors `[batch, count, dim]`, wrong for their own clip; they are
            not held against other clips, for which they may be true.
        alike: true where caption j also fits clip i, `[batch, batch]`: such pairs are not
            negatives. The diagonal does not matter.

    Example:
        >>> audio = text = torch.eye(4)
        >>> float(info_nce(audio, text, torch.tensor(100.0)))
        0.0
    """
    logits = logit_scale * audio @ text.T
    if alike is not None:
        others = alike & ~torch.eye(len(alike), dtype=torch.bool, device=alike.device)
        logits = logits.masked_fill(others, -torch.inf)
    target = torch.arange(len(audio), device=audio.device)
    by_clip = logits
    if hard_negatives is not None:
        own = logit_scale * torch.einsum("bd,bnd->bn", audio, hard_negatives)
        by_clip = torch.cat([logits, own], dim=1)
    return (F.cross_entropy(by_clip, target) + F.cross_entropy(logits.T, target)) / 2


def right_or_wrong(
    audio: Tensor, text: Tensor, hard_negatives: Tensor, logit_scale: Tensor, bias: Tensor
) -> Tensor:
    """Sigmoid loss of each clip's own captions: one threshold for all clips parts right from wrong.

    InfoNCE compares captions of one clip alone and leaves each clip its own zero; a score that is
    to be cut at one threshold needs this as well. The sigmoid of SigLIP (Zhai et al. 2023), over
    the own captions of a clip, right and wrong weighted alike.

    Args:
        audio, text, hard_negatives, logit_scale: as for `info_nce`.
        bias: a number, learnt beside the scale.
    """
    right = logit_scale * (audio * text).sum(dim=1) + bias
    wrong = logit_scale * torch.einsum("bd,bnd->bn", audio, hard_negatives) + bias
    return -(F.logsigmoid(right).mean() + F.logsigmoid(-wrong).mean()) / 2
