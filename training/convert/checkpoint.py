"""Reads released checkpoints, copies weights into this package's networks, and saves them.

Only tensors are loaded, and no code in a checkpoint is run. Each tensor of a checkpoint must belong
to the network, or be known to contain no trained weights.
"""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from curation.errors import InputError
from curation.models.networks.clap import TrainableClap
from curation.models.networks.dual_encoder import DualEncoder

# Trainers save their last loss beside the weights, as a number of numpy's of any version.
_NUMBERS: list[Any] = [
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
]


def rename_weight(name: str, rules: list[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def read_released_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights by name. The name prefix of multi-GPU training is removed."""
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a file") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(
            f"{path}: not a checkpoint that can be read without running it; expected weights as "
            f"torch.save writes them: {error}"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path}: not weights by name; expected those, or an entry 'state_dict'")
    return {name.removeprefix("module."): value for name, value in state.items()}


def check_mel_bands(path: Path, found: dict[str, Tensor], name: str, expected: Tensor) -> None:
    """Raise InputError if a checkpoint's mel bands show that it had another front end."""
    bands = found.get(name)
    if bands is None:
        return
    if bands.shape != expected.shape or not torch.allclose(
        bands.double(), expected.double(), atol=1e-5
    ):
        raise InputError(
            f"{path}: {name} holds other mel bands than those of the model's configuration; "
            "expected a checkpoint trained with the released front end"
        )


def fill_model(
    model: nn.Module,
    found: dict[str, Tensor],
    name_of: Callable[[str], str],
    unused: re.Pattern[str],
    path: Path,
) -> None:
    """Copy the tensors of `found` into a model; several may be concatenated to one parameter."""
    places: dict[str, list[Tensor]] = {}
    for name, tensor in model.state_dict().items():
        if not unused.fullmatch(name_of(name)):
            places.setdefault(name_of(name), []).append(tensor)
    known = {name: value for name, value in found.items() if not unused.fullmatch(name)}
    problems = [f"{name} is missing" for name in places if name not in known]
    problems += [f"{name} is unknown" for name in known if name not in places]
    for name, parts in places.items():
        shape = _shape(parts)
        if name in known and known[name].shape != shape:
            problems.append(f"{name} is {list(known[name].shape)}, expected {list(shape)}")
    if problems:
        listed = "; ".join(problems[:8])
        raise InputError(f"{path}: {len(problems)} weights do not fit the model: {listed}")
    with torch.no_grad():
        for name, parts in places.items():
            pieces = known[name].chunk(len(parts)) if len(parts) > 1 else [known[name]]
            for part, piece in zip(parts, pieces, strict=True):
                part.copy_(piece)


def _shape(parts: list[Tensor]) -> torch.Size:
    return parts[0].shape if len(parts) == 1 else torch.cat(parts).shape


def save_model_folder(
    model: DualEncoder | TrainableClap, out: Path, tokenizer_of: str | Path, vocab_size: int
) -> None:
    tokenizer = _tokenizer(tokenizer_of)
    if len(tokenizer) > vocab_size:
        raise InputError(
            f"{tokenizer_of}: a tokenizer of {len(tokenizer)} tokens, the model knows {vocab_size};"
            " expected the tokenizer that it was trained with"
        )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: no tokenizer that can be opened; expected a directory with tokenizer.json "
            f"or vocab.txt, or a hub id: {error}"
        ) from error
