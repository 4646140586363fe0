"""Reads and writes this package's networks, and chooses the device of a model.

`pretrained_weights` reads models of transformers.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from curation.errors import InputError
from curation.models import files
from curation.models.caption_tokenizer import CaptionTokenizer, read_tokenizer
from curation.models.networks.saved_network import SavedNetwork

# Constants that some versions of transformers keep in the file and others recompute.
_COMPUTED = ("position_ids", "token_type_ids", "relative_position_index")

Network = TypeVar("Network", bound=SavedNetwork)


def load_network_and_tokenizer(
    folder: Path, network_class: type[Network], device: str
) -> tuple[Network, CaptionTokenizer]:
    """Load a network of this package, in float32 and evaluation mode, and its tokenizer.

    Raises InputError if the directory has another kind of model or weights that do not fit.
    """
    return load_network(folder, network_class, device), read_tokenizer(folder)


def load_network(folder: Path, network_class: type[Network], device: str) -> Network:
    """Load a network of this package, in float32 and evaluation mode.

    Raises InputError if the directory has another kind of model or weights that do not fit.
    """
    name, config_class = network_class.__name__, network_class.config_class
    values = files.read_model_config(folder, config_class.model_type)
    try:
        with _WithoutInitialisation():
            network = network_class(config_class.from_dict(values))
        stored = _read_float32(folder)
        report = network.load_state_dict(stored, strict=False, assign=True)
    except (OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise InputError(f"{folder}: not a loadable {name}: {error}") from error
    missing = set(report.missing_keys) - network.tied_weights
    check_weight_names(folder, name, missing.union(report.unexpected_keys))
    network.tie_weights()
    return network.eval().to(resolve_device(device))


def save_network(network: SavedNetwork, folder: Path) -> None:
    """Write the directory of a network: its weights and config.json.

    In transformers, only the classes of `curation.models.networks.transformers_networks` can open
    the directory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.contiguous()
        for name, tensor in network.state_dict().items()
        if name not in network.tied_weights
    }
    save_file(state, folder / files.NETWORK_WEIGHTS, metadata={"format": "pt"})
    dtype = next(network.parameters()).dtype
    values = {
        "architectures": [type(network).__name__],
        "dtype": str(dtype).removeprefix("torch."),
        **network.config.to_dict(),
    }
    text = json.dumps(values, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def check_weight_names(folder: Path, model_class: str, names: Iterable[str]) -> None:
    """Raise InputError if `names`, the missing or unknown weights of a model, is not empty.

    Names of weights that are computed are ignored.
    """
    wrong = sorted(name for name in names if not name.endswith(_COMPUTED))
    if wrong:
        raise InputError(
            f"{folder}: the weights are not those of a {model_class}: "
            f"{len(wrong)} names missing or unknown, among them {wrong[0]}"
        )


def resolve_device(device: str) -> torch.device:
    """Return the device of a name; "auto" is the GPU if there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def _read_float32(folder: Path) -> dict[str, Tensor]:
    """A directory's weights by name, copied: what `load_file` returns may be the mapped file."""
    return {
        name: tensor.to(torch.float32, copy=True) if tensor.is_floating_point() else tensor.clone()
        for path in files.list_weight_files(folder)
        for name, tensor in load_file(path).items()
    }


class _WithoutInitialisation(TorchFunctionMode):
    """Draws no first weights: a file replaces them.

    Building on the meta device would do so too, but brings in torch's compiler, 1.5 s of imports.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
