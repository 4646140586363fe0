"""Released checkpoints of other code as model directories: BLAT, and LAION's CLAP without fusion.

Weights only: nothing in a checkpoint is run. Every name in it has its place here, or is known to
hold nothing that is learned.
"""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, ClapConfig, ClapModel, PreTrainedTokenizerBase

from curation.errors import InputError
from curation.models import weights
from curation.models.networks.clap import ClapPair
from curation.models.networks.clap_frontend import laion_front_end
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.log_mel import mel_filters

# Trainers save their last loss beside the weights, as a number of numpy's of any version.
_NUMBERS: list[Any] = [
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
]

_BLAT_NAMES = [
    (r"^audio\.cnn\.blocks\.(\d+)\.convs\.(\d+)", r"audio_encoder.conv_block<\1>.conv<\2>"),
    (r"^audio\.cnn\.blocks\.(\d+)\.norms\.(\d+)", r"audio_encoder.conv_block<\1>.bn<\2>"),
    (r"^audio\.cnn\.", "audio_encoder."),
    (r"^text\.", "text_encoder.model."),
    (r"_projection\.", "_proj."),
]
_BLAT_BANDS = "audio_encoder.melspec_extractor.mel_scale.fb"
_BLAT_UNUSED = re.compile(
    r"audio_encoder\.melspec_extractor\..*|text_encoder\.model\.pooler\..*"
    r"|text_encoder\.model\.embeddings\.(position|token_type)_ids"
)

_LAION_NAMES = [
    (r"_projection\.linear1\.", "_projection.0."),
    (r"_projection\.linear2\.", "_projection.2."),
    (r"^text_model\.", "text_branch."),
]
_LAION_AUDIO_NAMES = [
    (r"^audio_model\.audio_encoder\.", "audio_branch."),
    (r"\.batch_norm\.", ".bn0."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.self\.(query|key|value)\.", ".attn.qkv."),
    (r"\.attention\.self\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
]
_LAION_BANDS = "audio_branch.logmel_extractor.melW"
# The heads of HTSAT's own classes, two networks of an abandoned loss, and constants.
_LAION_UNUSED = re.compile(
    r"audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\..*"
    r"|(audio|text)_transform\..*"
    r"|text_branch\.embeddings\.(position|token_type)_ids"
    r"|audio_branch\..*\.(attn_mask|relative_position_index)"
)
# HTSAT-base, by the width of its patches; HTSAT-tiny is transformers' default.
_HTSAT_BASE = {
    "patch_embeds_hidden_size": 128,
    "depths": [2, 2, 12, 2],
    "num_attention_heads": [4, 8, 16, 32],
    "hidden_size": 1024,
}


def convert_blat(
    path: Path, out: Path, tokenizer: str | Path, config: DualEncoderConfig | None = None
) -> DualEncoder:
    """Write a checkpoint of BLAT (Zenodo 8192397, model.pth) as a directory of a dual encoder.

    Args:
        path: the checkpoint, of wsntxxn/BLAT's names.
        out: the directory to write.
        tokenizer: the directory, or hub id, of its tokenizer (prajjwal1/bert-medium).
        config: its sizes where they are not those released.

    Raises InputError naming what is missing, unknown or of another shape.
    """
    found = _read(path)
    model = DualEncoder(config or DualEncoderConfig())
    bands = mel_filters(model.config.log_mel(), torch.device("cpu"))
    _check_bands(path, found, _BLAT_BANDS, bands)
    _fill(model, found, _blat_name, _BLAT_UNUSED, path)
    _save(model.eval(), out, tokenizer, model.text.config.vocab_size)
    return model


def convert_laion_clap(
    path: Path, out: Path, tokenizer: str | Path, config: ClapConfig | None = None
) -> ClapPair:
    """Write a checkpoint of LAION's CLAP (HTSAT and RoBERTa, unfused) as transformers' CLAP.

    Args:
        path: the .pt file, of LAION-AI/CLAP's names.
        out: the directory to write.
        tokenizer: the directory, or hub id, of its tokenizer (roberta-base).
        config: its sizes where they are neither HTSAT-tiny's nor HTSAT-base's.

    Raises InputError for a model with fusion, and naming what is missing, unknown or of another
    shape.
    """
    found = _read(path)
    if any(".fusion_model." in name for name in found):
        raise InputError(
            f"{path}: a CLAP with fusion; expected an unfused one, such as 630k-audioset-best.pt"
        )
    extractor = laion_front_end({})
    _check_bands(path, found, _LAION_BANDS, torch.from_numpy(extractor.mel_filters_slaney))
    model = ClapModel(config or _laion_config(found))
    _fill(model, found, _laion_name, _LAION_UNUSED, path)
    pair = ClapPair(model, extractor).eval()
    _save(pair, out, tokenizer, model.config.text_config.vocab_size)
    return pair


def _laion_config(found: dict[str, Tensor]) -> ClapConfig:
    patches = found.get("audio_branch.patch_embed.proj.weight")
    base = patches is not None and len(patches) == _HTSAT_BASE["patch_embeds_hidden_size"]
    # RoBERTa's own, where transformers' CLAP has BERT's.
    return ClapConfig(
        audio_config=_HTSAT_BASE if base else {}, text_config={"layer_norm_eps": 1e-5}
    )


def _blat_name(name: str) -> str:
    # Theirs counts from one.
    return re.sub(r"<(\d+)>", lambda match: str(int(match[1]) + 1), _renamed(name, _BLAT_NAMES))


def _laion_name(name: str) -> str:
    if name.startswith("audio_model."):
        return _renamed(name, _LAION_AUDIO_NAMES)
    return _renamed(name, _LAION_NAMES)


def _renamed(name: str, rules: list[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _read(path: Path) -> dict[str, Tensor]:
    """The weights by name, without the prefix that training over several GPUs left."""
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


def _check_bands(path: Path, found: dict[str, Tensor], name: str, expected: Tensor) -> None:
    """The mel bands are no weights, but they tell a model that was trained on others."""
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


def _fill(
    model: nn.Module,
    found: dict[str, Tensor],
    name_of: Callable[[str], str],
    unused: re.Pattern[str],
    path: Path,
) -> None:
    """Copy `found` into a model, of which several tensors may lie in one, one after the other."""
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


def _save(
    model: DualEncoder | ClapPair, out: Path, tokenizer_of: str | Path, vocab_size: int
) -> None:
    tokenizer = _tokenizer(tokenizer_of)
    if len(tokenizer) > vocab_size:
        raise InputError(
            f"{tokenizer_of}: a tokenizer of {len(tokenizer)} tokens, the model knows {vocab_size};"
            " expected the tokenizer that it was trained with"
        )
    with weights.no_progress_bar():
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
