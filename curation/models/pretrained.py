"""Loads models and their processors with the transformers library.

Weights must be safetensors. The code of a model runs only if the run's configuration pins the
model's revision and allows the code.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    AutoProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    ProcessorMixin,
)
from transformers.configuration_utils import PreTrainedConfig as ModelConfig
from transformers.feature_extraction_utils import FeatureExtractionMixin

from curation.config.models import PretrainedConfig
from curation.errors import InputError
from curation.models import files, pretrained_weights, weights

_AUDIO_PARTS = {"feature_extractor", "audio_processor"}


class ModelClassChoice(NamedTuple):
    """A class of transformers that can open a model, and the configuration to open it with."""

    model_class: Any
    config: ModelConfig


def load_generative_model(
    folder: Path,
    settings: PretrainedConfig,
    select_class: Callable[[ModelConfig], ModelClassChoice | None],
    expected: str,
    device: str,
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a model that writes text, in evaluation mode, and its processor.

    Raises InputError if the directory has another kind of model than `expected`, if the weights or
    the tokenizer do not fit the model, or if the model needs code that `settings` do not allow.
    """
    config = _configuration(folder, settings)
    choice = select_class(config)
    if choice is None:
        raise InputError(
            f"{folder / 'config.json'}: model_type is {config.model_type!r}, expected {expected}"
        )
    processor = _processor(folder, settings)
    model = _load_weights(folder, settings, choice)
    _check_processor(folder, processor, choice.config)
    _set_end_tokens(folder, model, processor.tokenizer)
    return model.to(weights.resolve_device(device)), processor


def load_processor(folder: Path, settings: PretrainedConfig) -> ProcessorMixin:
    """Load only the processor of a model that writes text; another engine runs the model.

    Raises InputError as `load_generative_model` does.
    """
    config, processor = _configuration(folder, settings), _processor(folder, settings)
    _check_processor(folder, processor, config)
    return processor


def load_classifier(
    folder: Path, settings: PretrainedConfig, device: str
) -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    """Load an audio classifier, in evaluation mode, and its front end.

    Raises InputError as `load_generative_model` does.
    """
    code, config = settings.trust_remote_code, _configuration(folder, settings)
    with _explain_load_errors(folder, "front end"):
        extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=code)
    model = _load_weights(
        folder, settings, ModelClassChoice(AutoModelForAudioClassification, config)
    )
    return model.to(weights.resolve_device(device)), extractor


def load_remote_code_model(
    folder: Path, words: Path, settings: PretrainedConfig, expected: str, device: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model that its own code registers as `AutoModel`, and its tokenizer.

    The model is in evaluation mode. Such code is often older than transformers 5, whose
    `from_pretrained` requires attributes that older classes lack. Therefore this function builds
    the model from its class, and then loads the weights into it.

    Args:
        words: the tokenizer's directory.

    Raises InputError as `load_generative_model` does.
    """
    config = _configuration(folder, settings)
    if AutoModel.__name__ not in (getattr(config, "auto_map", None) or {}):
        raise InputError(
            f"{folder / 'config.json'}: auto_map names no {AutoModel.__name__}; expected the "
            f"directory of {expected}"
        )
    with _explain_load_errors(folder, "model"):
        model = AutoModel.from_config(config, trust_remote_code=settings.trust_remote_code)
        missing = _read_weights(folder, model)
    weights.check_weight_names(folder, type(model).__name__, missing)
    with _explain_load_errors(words, "tokenizer"):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(words)
    _check_vocabulary(words, tokenizer, config)
    return model.eval().to(weights.resolve_device(device)), tokenizer


def _configuration(folder: Path, settings: PretrainedConfig) -> ModelConfig:
    """A directory's configuration. Raises InputError, also for code that is not allowed."""
    if settings.trust_remote_code:
        _refuse_foreign_code(folder)
    with _explain_load_errors(folder, "configuration"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=settings.trust_remote_code)


def _processor(folder: Path, settings: PretrainedConfig) -> Any:
    with _explain_load_errors(folder, "processor"):
        return AutoProcessor.from_pretrained(folder, trust_remote_code=settings.trust_remote_code)


def _read_weights(folder: Path, model: PreTrainedModel) -> list[str]:
    """Read a directory's weights into a model, and name those that are missing."""
    stored = {
        name: tensor
        for path in files.list_weight_files(folder)
        for name, tensor in load_file(path).items()
    }
    own = model.state_dict()
    missing = model.load_state_dict(stored, strict=False).missing_keys
    # Of weights that are tied the files have one name.
    filled = {own[name].data_ptr() for name in own.keys() & stored.keys()}
    return [name for name in missing if own[name].data_ptr() not in filled]


def _load_weights(
    folder: Path, settings: PretrainedConfig, choice: ModelClassChoice
) -> PreTrainedModel:
    """A model in evaluation mode. Raises InputError for weights that do not fit."""
    name = choice.model_class.__name__
    with _explain_load_errors(folder, name), pretrained_weights.hide_progress_bars():
        model, report = choice.model_class.from_pretrained(
            folder,
            config=choice.config,
            dtype=getattr(torch, settings.dtype),
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=settings.trust_remote_code,
        )
    weights.check_weight_names(folder, name, report["missing_keys"])
    return model.eval()


@contextmanager
def _explain_load_errors(folder: Path, part: str) -> Iterator[None]:
    try:
        yield
    # A model's own code, and the many classes of transformers, raise what they like.
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise InputError(
                f"{folder}: the model brings code of its own: read it, and allow it by two lines "
                "below model: 'revision:' with the revision that you read, and "
                "'trust_remote_code: true'"
            ) from error
        raise InputError(f"{folder}: not a loadable {part}: {error}") from error


def _refuse_foreign_code(folder: Path) -> None:
    """Raises InputError if a model's code is in another repository."""
    for path in sorted(folder.glob("*.json")):
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not JSON: {error}") from error
        classes = values.get("auto_map", {}) if isinstance(values, dict) else {}
        for name in json.dumps(list(classes.values())).split('"'):
            if "--" in name:
                raise InputError(
                    f"{path}: auto_map names {name}, code of another repository, whose revision "
                    "nothing pins; expected code in the model's own directory: copy it there"
                )


def _check_processor(folder: Path, processor: Any, config: ModelConfig) -> None:
    """Raises InputError for a processor without audio input, or with unknown words."""
    parts = set(processor.get_attributes()) if isinstance(processor, ProcessorMixin) else set()
    if "tokenizer" not in parts or not parts & _AUDIO_PARTS:
        raise InputError(
            f"{folder}: a {type(processor).__name__} prepares the inputs; expected a processor "
            "with a tokenizer and a feature extractor"
        )
    _check_vocabulary(folder, processor.tokenizer, config)


def _check_vocabulary(
    folder: Path, tokenizer: PreTrainedTokenizerBase, config: ModelConfig
) -> None:
    """Raises InputError for a tokenizer with words that the model lacks."""
    largest = max(tokenizer.get_vocab().values())
    words = config.get_text_config(decoder=True).vocab_size
    if largest >= words:
        raise InputError(
            f"{folder}: the tokenizer's ids go up to {largest}, but the model knows {words} words; "
            "expected the tokenizer that the model was trained with"
        )


def _set_end_tokens(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Keep of a model's own settings how a caption ends; the run's settings say how to sample.

    Raises InputError if nothing ends a caption.
    """
    eos = model.generation_config.eos_token_id
    end_ids = {*(eos if isinstance(eos, list) else [eos]), tokenizer.eos_token_id} - {None}
    if not end_ids:
        raise InputError(
            f"{folder}: neither generation_config.json nor the tokenizer names an end token; "
            "expected eos_token_id in generation_config.json"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.generation_config.update(
        eos_token_id=sorted(end_ids),
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
        temperature=None,
        top_k=None,
        top_p=None,
        max_length=None,
    )
