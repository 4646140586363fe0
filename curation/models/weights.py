"""Loads a model's weights, and picks the device that it runs on."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import logging

from curation.errors import InputError
from curation.models import files

# Constants that some versions of transformers keep in the file and others make anew.
_COMPUTED = ("position_ids", "token_type_ids", "relative_position_index")


def load_model_and_tokenizer(
    folder: Path,
    model_class: type[PreTrainedModel],
    device: str,
    dtype: torch.dtype = torch.float32,
    config: PreTrainedConfig | None = None,
    others: tuple[str, ...] = (),
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model, in evaluation mode, and its tokenizer.

    Args:
        config: the model's, where config.json says more than that of this model.
        others: how the names of weights begin that lie beside this model's, and are left there.

    Raises InputError where the directory holds another kind of model or weights that do not fit.
    """
    config = config or load_model_config(folder, model_class.config_class)
    try:
        with hide_progress_bars():
            model, report = model_class.from_pretrained(
                folder, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True
            )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{folder}: not a loadable {model_class.__name__}: {error}") from error
    names = {*report["missing_keys"], *report["unexpected_keys"]}
    check_weight_names(folder, model_class.__name__, {n for n in names if not n.startswith(others)})
    return model.eval().to(resolve_device(device)), tokenizer


def check_weight_names(folder: Path, model_class: str, names: Iterable[str]) -> None:
    """Raises InputError where weights of these names are missing, or too many, for a model."""
    wrong = sorted(name for name in names if not name.endswith(_COMPUTED))
    if wrong:
        raise InputError(
            f"{folder}: the weights are not those of a {model_class}: "
            f"{len(wrong)} names missing or unknown, among them {wrong[0]}"
        )


def load_model_config(folder: Path, config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    """A model's configuration. Raises InputError where it is that of another kind of model."""
    return config_class.from_dict(files.read_model_config(folder, config_class.model_type))


def resolve_device(device: str) -> torch.device:
    """The device of a name; "auto" is the GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """No bar of transformers' while weights are read or written: it is drawn over the run's own."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
