"""Translates a catalog's labels to AudioSet classes, and collects those that no class has."""

from collections import Counter
from collections.abc import Callable, Mapping

from curation.catalog.metadata import read_metadata
from curation.config.catalog import CatalogSection, TagMap
from curation.errors import InputError
from curation.schema import Tag
from curation.storage.files import Storage
from curation.tags import ontology

_COLUMNS = "label", "tag"
# Labels that a note names; an error names all.
_NAMED = 5


class LabelReader:
    """Finds the tags of labels: by the catalog's `tag_map`, else by id or name in AudioSet."""

    def __init__(self, tag_map: Mapping[str, list[str]] | None = None, drops: bool = False) -> None:
        """`tag_map`: classes by label; `drops`: unknown labels are left out and are no error.

        Raises InputError if the map names a class that AudioSet does not have.
        """
        self._map = {
            label.strip().lower(): [_find_mapped_tag(label, name) for name in names]
            for label, names in (tag_map or {}).items()
        }
        self._drops = drops
        self._clips: Counter[str] = Counter()
        self._first_rows: dict[str, int] = {}
        self._last_rows: dict[str, int] = {}

    def find_tags(self, label: str, row: int) -> list[Tag]:
        """The tags of a label; none for an unknown one, which is counted with its first row."""
        mapped = self._map.get(label.strip().lower())
        if mapped is not None:
            return mapped
        try:
            return [ontology.find_tag(label)]
        except InputError:
            if self._last_rows.get(label) != row:
                self._clips[label] += 1
            self._first_rows.setdefault(label, row)
            self._last_rows[label] = row
            return []

    def require_known(self, where: Callable[[int], str]) -> None:
        """Raises InputError naming all unknown labels, unless they are dropped.

        Args:
            where: the place of a row, for the message.
        """
        if not self._clips or self._drops:
            return
        found = [
            f"{label!r} in {clips:,} clip{'s' if clips > 1 else ''}, first in "
            f"{where(self._first_rows[label])}: {ontology.suggest_classes(label)}"
            for label, clips in self._clips.most_common()
        ]
        head = "1 label is" if len(found) == 1 else f"{len(found):,} labels are"
        raise InputError(
            f"{head} no AudioSet class: {'; '.join(found)}. Give their classes by tag_map: of the "
            "catalog, or leave them out by unknown_tags: drop"
        )

    def notes(self) -> tuple[str, ...]:
        """A sentence on dropped labels, if there are any."""
        if not self._clips:
            return ()
        few = ", ".join(repr(label) for label, _ in self._clips.most_common(_NAMED))
        more = f" and {len(self._clips) - _NAMED:,} more" if len(self._clips) > _NAMED else ""
        return (f"labels that are no AudioSet class were left out: {few}{more}",)


def read_labels_of(storage: Storage, config: CatalogSection) -> LabelReader:
    """The reader of a catalog's labels.

    Raises InputError for a map that cannot be read, or that names a class AudioSet does not have.
    """
    return LabelReader(_read_tag_map(storage, config.tag_map), config.unknown_tags == "drop")


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
