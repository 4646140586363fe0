"""Loads transformers models, and checks that the files contain all weights of the model."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import logging

from curation.errors import InputError
from curation.models import files, weights
from curation.models.caption_tokenizer import CaptionTokenizer, read_tokenizer


def load_model_and_tokenizer(
    folder: Path,
    model_class: type[PreTrainedModel],
    device: str,
    dtype: torch.dtype = torch.float32,
    config: PreTrainedConfig | None = None,
    others: tuple[str, ...] = (),
) -> tuple[PreTrainedModel, CaptionTokenizer]:
    """Load a model, in evaluation mode, and its tokenizer.

    Args:
        config: the model's configuration, if config.json also contains other configurations.
        others: name prefixes of weights in the files that belong to other models; they are not
            loaded.

    Raises InputError if the directory has another kind of model or weights that do not fit.
    """
    config = config or load_model_config(folder, model_class.config_class)
    try:
        with hide_progress_bars():
            model, report = model_class.from_pretrained(
                folder, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True
            )
        tokenizer = convert_tokenizer(PreTrainedTokenizerFast.from_pretrained(folder))
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{folder}: not a loadable {model_class.__name__}: {error}") from error
    names = {*report["missing_keys"], *report["unexpected_keys"]}
    weights.check_weight_names(
        folder, model_class.__name__, {n for n in names if not n.startswith(others)}
    )
    return model.eval().to(weights.resolve_device(device)), tokenizer


def load_model_config(folder: Path, config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    """Load a model's configuration. Raises InputError if it describes another kind of model."""
    return config_class.from_dict(files.read_model_config(folder, config_class.model_type))


def convert_tokenizer(tokenizer: PreTrainedTokenizerBase) -> CaptionTokenizer:
    """Convert a tokenizer of transformers to a `CaptionTokenizer`, with all saved settings.

    Raises ValueError if the tokenizer has no tokenizer.json, which models' directories need.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        try:
            return read_tokenizer(Path(folder))
        except InputError as error:
            raise ValueError(
                f"a {type(tokenizer).__name__} has no tokenizer.json; expected a fast tokenizer"
            ) from error


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """Hide transformers' progress bars, which would overwrite the run's own progress bar."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
