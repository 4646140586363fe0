"""Draws the initial weights of this package's networks."""

from functools import partial

from torch import nn

# Of GPT-2 and BERT.
_DEVIATION = 0.02


def initialise_weights(network: nn.Module, deviation: float = _DEVIATION) -> None:
    """Initialise all modules of a network with `initialise_module`.

    Modules are processed in the order of their registration, inner modules first, so that a seed
    fixes the weights.
    """
    network.apply(partial(initialise_module, deviation=deviation))


def initialise_module(module: nn.Module, deviation: float = _DEVIATION) -> None:
    """Draw matrices, kernels and embeddings from a normal distribution; set biases to zero.

    Norms are unchanged, because torch initialises them with one and zero, and so are modules that
    are not layers.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.normal_(module.weight, std=deviation)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=deviation)
        if module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])
