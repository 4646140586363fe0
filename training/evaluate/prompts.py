"""The prompts of zero-shot classification: fixed templates, filled with class names."""

import json
import re
from collections.abc import Mapping, Sequence

import numpy as np

from curation.errors import InputError
from curation.models.scorers.base import Scorer
from curation.storage.files import Storage

TEMPLATES: Mapping[str, str] = {
    "name": "{c}",
    "a_sound_of": "this is a sound of {c}",
    "the_sound_of": "this is the sound of {c}",
    "heard": "{c} can be heard",
    "sound_heard": "the sound of {c} can be heard",
}
ENSEMBLE = "ensemble"
CUSTOM = "custom"

Captions = Mapping[str, Sequence[str]]


def spoken_class_name(name: str) -> str:
    """A class's name in a prompt: "Fill_(with_liquid)" becomes "fill".

    The name is in lower case, with spaces instead of underscores, and without parts in parentheses.
    """
    return " ".join(re.sub(r"\(.*?\)", "", name.replace("_", " ")).lower().split())


def build_class_captions(
    classes: Sequence[str], custom: Captions | None
) -> dict[str, list[list[str]]]:
    """Return the captions of each class for each prompt: the templates, the ensemble, `custom`.

    Args:
        custom: captions by class; None if there are none.

    Raises InputError if `custom` lacks a class, names an unknown class, or has no captions for a
    class.
    """
    captions = {
        key: [[template.format(c=spoken_class_name(name))] for name in classes]
        for key, template in TEMPLATES.items()
    }
    captions[ENSEMBLE] = [
        [template.format(c=spoken_class_name(name)) for template in TEMPLATES.values()]
        for name in classes
    ]
    if custom is not None:
        _check(custom, classes)
        captions[CUSTOM] = [list(custom[name]) for name in classes]
    return captions


def read_prompts(storage: Storage, uri: str) -> dict[str, list[str]]:
    """Read captions by class from a JSON file.

    Raises InputError if there is no file, or if it is not an object of lists of texts.
    """
    expected = 'expected JSON: {"class": ["caption", ...], ...}'
    try:
        found = json.loads(storage.read_bytes(uri))
    except (FileNotFoundError, IsADirectoryError, ValueError) as error:
        raise InputError(f"{uri}: {error}; {expected}") from error
    if not isinstance(found, dict) or not all(map(_is_list_of_texts, found.values())):
        raise InputError(f"{uri}: {expected}")
    return found


def embed_classes(scorer: Scorer, captions: Sequence[Sequence[str]]) -> np.ndarray:
    """Embed classes as unit vectors `[class, dim]`: the mean of each class's caption embeddings."""
    flat = [caption for of_class in captions for caption in of_class]
    embedded = normalise_rows(scorer.embed_text(flat))
    ends = np.cumsum([len(of_class) for of_class in captions])[:-1]
    return normalise_rows(np.stack([part.mean(axis=0) for part in np.split(embedded, ends)]))


def normalise_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale each row of `[row, dim]` to length 1. A row of zeros is unchanged."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _check(custom: Captions, classes: Sequence[str]) -> None:
    empty = [name for name in classes if not custom.get(name)]
    if empty:
        raise InputError(
            f"prompts: no caption for class {empty[0]!r}; expected one or more a class"
        )
    unknown = sorted(custom.keys() - set(classes))
    if unknown:
        raise InputError(
            f"prompts: {unknown[0]!r} is no class of this data set; expected {', '.join(classes)}"
        )
