"""Computes the exact gradient of a large batch in little memory, chunk by chunk.

GradCache (Gao et al. 2021): embed all chunks without a graph, and compute the gradient of the loss
at the embeddings. Then embed each chunk again with its graph, and pass the chunk's part of that
gradient back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

Chunk = TypeVar("Chunk")
Embed = Callable[[Chunk], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]


def grad_cache_backward(
    model: nn.Module, chunks: Sequence[Chunk], embed: Embed[Chunk], compute_loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the gradient of a batch's loss to the gradients of the parameters.

    A batch of one chunk gets a plain backward pass.

    Dropout is the same each time that a chunk is embedded. Batch norm updates its running
    statistics once for each chunk, and normalises within a chunk.

    Args:
        model: the model that `embed` uses; its dropout and the running statistics of batch norm are
            controlled here.
        embed: a chunk's embeddings `[row, dim]` of audio and of text.
        loss_of: computes the loss from the embeddings of all rows. If the loss has parameters of
            its own, such as the logit scale, their gradient is added once.

    Returns the loss and the embeddings of all rows, detached.
    """
    if len(chunks) == 1:
        audio, text = embed(chunks[0])
        loss = compute_loss(audio, text)
        loss.backward()
        return loss.detach(), audio.detach(), text.detach()
    states, embedded = [], []
    with torch.no_grad(), _statistics_held(model):
        for chunk in chunks:
            states.append(_random_state())
            embedded.append(embed(chunk))
    audio, text = (torch.cat(parts).requires_grad_() for parts in zip(*embedded, strict=True))
    loss = compute_loss(audio, text)
    loss.backward()
    assert audio.grad is not None and text.grad is not None
    sizes = [len(part) for part, _ in embedded]
    gradients = zip(audio.grad.split(sizes), text.grad.split(sizes), strict=True)
    after = _random_state()
    for chunk, state, gradient_pair in zip(chunks, states, gradients, strict=True):
        _set_random_state(state)
        # A frozen tower's embeddings have no graph.
        pairs = [
            (e, g) for e, g in zip(embed(chunk), gradient_pair, strict=True) if e.requires_grad
        ]
        torch.autograd.backward([e for e, _ in pairs], [g for _, g in pairs])
    _set_random_state(after)
    return loss.detach(), audio.detach(), text.detach()


@contextmanager
def _statistics_held(model: nn.Module) -> Iterator[None]:
    """Batch norm normalises as in training, and leaves its running statistics as they are."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _random_state() -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None


def _set_random_state(state: tuple[Tensor, Tensor | None]) -> None:
    cpu, cuda = state
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda)
