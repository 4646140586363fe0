"""How the weights of our networks start."""

from functools import partial

from torch import nn

# Of GPT-2 and BERT.
_DEVIATION = 0.02


def initialise_weights(network: nn.Module, deviation: float = _DEVIATION) -> None:
    """Draw the first weights of all modules of a network, see `initialise_module`.

    They are taken in the order in which they were registered, inner ones first, so that a seed
    fixes the weights.
    """
    network.apply(partial(initialise_module, deviation=deviation))


def initialise_module(module: nn.Module, deviation: float = _DEVIATION) -> None:
    """Draw matrices, kernels and embeddings from a normal distribution; biases start at zero.

    Norms, which torch starts at one and zero, and what is no layer are left as they are.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.normal_(module.weight, std=deviation)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=deviation)
        if module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])
