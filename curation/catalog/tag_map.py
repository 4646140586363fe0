"""Translates a catalog's labels to AudioSet classes, and collects those that no class has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from curation.catalog.metadata import read_metadata
from curation.config.catalog import CatalogSection, TagMap
from curation.errors import InputError
from curation.schema import Tag
from curation.storage.files import Storage
from curation.tags import ontology

_COLUMNS = "label", "tag"
# Labels that a note names; an error names all.
_NAMED = 5


@dataclass
class _UnknownLabel:
    """A label that no AudioSet class has: the number of its clips, their first and last row."""

    clips: int
    first_row: int
    last_row: int


class TagFinder:
    """Finds the tags of labels: by the catalog's `tag_map`, else by id or name in AudioSet."""

    def __init__(
        self, tag_map: Mapping[str, list[str]] | None = None, drops_unknown: bool = False
    ) -> None:
        """`tag_map`: classes by label; `drops_unknown`: unknown labels are no error.

        Raises InputError if the map names a class that AudioSet does not have.
        """
        self._map = {
            label.strip().lower(): [_find_mapped_tag(label, name) for name in names]
            for label, names in (tag_map or {}).items()
        }
        self._drops_unknown = drops_unknown
        self._unknown: dict[str, _UnknownLabel] = {}

    def find_tags(self, label: str, row: int) -> list[Tag]:
        """Return the tags of a label in a row; none for an unknown label, which is counted."""
        mapped = self._map.get(label.strip().lower())
        if mapped is not None:
            return mapped
        try:
            return [ontology.find_tag(label)]
        except InputError:
            found = self._unknown.setdefault(label, _UnknownLabel(0, row, -1))
            found.clips += found.last_row != row
            found.last_row = row
            return []

    def require_known(self, where: Callable[[int], str]) -> None:
        """Raise InputError naming all unknown labels, unless they are dropped.

        Args:
            where: the place of a row, for the message.
        """
        if not self._unknown or self._drops_unknown:
            return
        found = [
            f"{label!r} in {each.clips:,} clip{'s' if each.clips > 1 else ''}, first in "
            f"{where(each.first_row)}: {ontology.suggest_classes(label)}"
            for label, each in self._most_common()
        ]
        head = "1 label is" if len(found) == 1 else f"{len(found):,} labels are"
        raise InputError(
            f"{head} no AudioSet class: {'; '.join(found)}. Give their classes by tag_map: of the "
            "catalog, or leave them out by unknown_tags: drop"
        )

    def notes(self) -> tuple[str, ...]:
        """Return a sentence on the labels that were left out, if there are any."""
        if not self._unknown:
            return ()
        few = ", ".join(repr(label) for label, _ in self._most_common()[:_NAMED])
        more = f" and {len(self._unknown) - _NAMED:,} more" if len(self._unknown) > _NAMED else ""
        return (f"labels that are no AudioSet class were left out: {few}{more}",)

    def _most_common(self) -> list[tuple[str, _UnknownLabel]]:
        return sorted(self._unknown.items(), key=lambda item: -item[1].clips)


def build_tag_finder(storage: Storage, config: CatalogSection) -> TagFinder:
    """Return the finder of a catalog's tags.

    Raises InputError for a map that cannot be read, or that names a class AudioSet does not have.
    """
    return TagFinder(_read_tag_map(storage, config.tag_map), config.unknown_tags == "drop")


def _read_tag_map(storage: Storage, tag_map: TagMap | None) -> dict[str, list[str]]:
    if isinstance(tag_map, str):
        names: dict[str, list[str]] = {}
        for _, row in read_metadata(storage, tag_map, _COLUMNS, "tag_map"):
            names.setdefault(str(row["label"]), []).append(str(row["tag"] or ""))
        # An empty cell drops the label, as null does in the YAML.
        return {label: [name for name in each if name.strip()] for label, each in names.items()}
    return {
        label: [] if value is None else [value] if isinstance(value, str) else list(value)
        for label, value in (tag_map or {}).items()
    }


def _find_mapped_tag(label: str, name: str) -> Tag:
    try:
        return ontology.find_tag(name)
    except InputError as error:
        raise InputError(f"catalog.tag_map: {label}: {error}") from error
