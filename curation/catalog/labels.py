"""Parses the labels found in metadata, for the tag column of a listing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from curation.errors import InputError
from curation.schema import Tag
from curation.tags import ontology

EXPECTED_LABELS = "expected a list of class ids or names"


def parse_labels(
    value: Any, key: str | None, names: Sequence[str] | None = None
) -> list[str | Tag]:
    """Parse a list of labels: class ids, names, objects with the fields of a tag, or numbers.

    A number is a position in `names`. Nulls and blank texts are skipped, and so is -1, which means
    "no label" in Hugging Face's datasets.

    Args:
        value: the value from the metadata.
        key: the column or key that has the value, for messages.
        names: class names by number, if the column is a ClassLabel of Hugging Face.

    Raises InputError for any other value.
    """
    if value is None:
        return []
    if isinstance(value, int) and names is not None:
        value = [value]
    if not isinstance(value, list):
        raise InputError(f"found {value!r} as {key!r}; {EXPECTED_LABELS}")
    labels: list[str | Tag] = []
    for item in value:
        if isinstance(item, str):
            if item.strip():
                labels.append(item.strip())
        elif isinstance(item, Mapping) and isinstance(item.get("mid"), str):
            labels.append(_tag_of_fields(item))
        elif isinstance(item, int) and not isinstance(item, bool):
            labels += _name_of_number(item, key, names)
        elif item is not None:
            raise InputError(f"found {item!r} in {key!r}; {EXPECTED_LABELS}")
    return labels


def _tag_of_fields(fields: Mapping[str, Any]) -> Tag:
    """A tag as this engine publishes it, with its confidence and origin."""
    named = ontology.find_tag(fields["mid"])
    confidence, origin = fields.get("confidence"), fields.get("origin")
    return Tag(
        named.mid,
        named.name,
        float(confidence) if isinstance(confidence, (int, float)) else 1.0,
        origin if origin in ("human", "predicted") else "human",
    )


def _name_of_number(number: int, key: str | None, names: Sequence[str] | None) -> list[str]:
    if names is None:
        raise InputError(
            f"found the number {number} in {key!r}, and no names of classes (ClassLabel) in the "
            f"file's metadata; {EXPECTED_LABELS}"
        )
    if number == -1:
        return []
    if not 0 <= number < len(names):
        raise InputError(
            f"found the number {number} in {key!r}; the file's metadata names {len(names)} classes"
        )
    return [names[number]]


def class_label_names(metadata: Mapping[bytes, bytes] | None, column: str) -> list[str] | None:
    """Read the class names of a column by number, as `datasets` writes them into a Parquet schema.

    None if the column is neither a ClassLabel nor a list of ClassLabels.
    """
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        feature = features[column]
    except (KeyError, TypeError, ValueError):
        return None
    # A list is {"feature": ..., "_type": "List"}; of old it was [...].
    while not (isinstance(feature, dict) and "names" in feature):
        if isinstance(feature, dict) and "feature" in feature:
            feature = feature["feature"]
        elif isinstance(feature, list) and len(feature) == 1:
            feature = feature[0]
        else:
            return None
    names = feature["names"]
    if isinstance(names, dict):  # by number as text
        names = [names[number] for number in sorted(names, key=int)]
    return [str(name) for name in names]
