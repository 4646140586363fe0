"""Labels of other vocabularies: all unknown ones in one message, mapped, or left out."""

from pathlib import Path

import pytest

from curation.catalog.catalog import list_clips
from curation.catalog.listing import CatalogListing
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.run.config_file import parse_run_config
from curation.storage.files import Storage

# Labels as FSD50K and UrbanSound8K write them.
METADATA = """file,tags
a.wav,Acoustic_guitar;dog_bark
b.wav,dog_bark;Rain
c.wav,gun_shot
d.wav,Rain;gun_shot
e.wav,dog_bark;dog_bark
"""


def config_of(folder: Path, **catalog: object) -> RunConfig:
    for name in "abcde":
        (folder / f"{name}.wav").touch()
    (folder / "clips.csv").write_text(METADATA)
    given = {"kind": "folder", "audio": str(folder), "metadata": str(folder / "clips.csv")}
    return parse_run_config({"run": str(folder / "run"), "catalog": {**given, **catalog}}, "test")


def listing_of(folder: Path, **catalog: object) -> CatalogListing:
    return list_clips(Storage(), config_of(folder, **catalog).catalog)


def tags_of(listing: CatalogListing) -> list[list[str]]:
    return [[tag["name"] for tag in tags] for tags in listing.clips["tags"].to_pylist()]


def test_one_message_names_every_unknown_label(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        listing_of(tmp_path)
    message = str(raised.value)
    assert message.startswith("3 labels are no AudioSet class: 'dog_bark' in 3 clips, first in ")
    assert f"{tmp_path}/clips.csv line 2: " in message
    assert "'gun_shot' in 2 clips" in message
    assert "'Acoustic_guitar' in 1 clip, " in message
    assert "did you mean 'Acoustic guitar'" in message
    assert "tag_map: of the catalog, or leave them out by unknown_tags: drop" in message


def test_a_map_gives_their_classes(tmp_path: Path) -> None:
    tag_map = {"Acoustic_guitar": "/m/042v_gx", "DOG_BARK": ["Dog", "Bark"], "gun_shot": None}
    listing = listing_of(tmp_path, tag_map=tag_map)
    assert tags_of(listing) == [
        ["Acoustic guitar", "Dog", "Bark"],
        ["Dog", "Bark", "Rain"],
        [],
        ["Rain"],
        ["Dog", "Bark"],
    ]
    assert listing.coverage.notes == ()


def test_a_map_may_be_a_table(tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_text(
        "label,tag\nAcoustic_guitar,Acoustic guitar\ndog_bark,Dog\ndog_bark,Bark\ngun_shot,\n"
    )
    inline = {"Acoustic_guitar": "Acoustic guitar", "dog_bark": ["Dog", "Bark"], "gun_shot": None}
    mapped = listing_of(tmp_path, tag_map=str(table))
    assert tags_of(mapped) == tags_of(listing_of(tmp_path, tag_map=inline))


def test_unknown_labels_can_be_dropped(tmp_path: Path) -> None:
    listing = listing_of(tmp_path, unknown_tags="drop")
    assert tags_of(listing) == [[], ["Rain"], [], ["Rain"], []]
    assert listing.summary().endswith(
        "; labels that are no AudioSet class were left out: 'dog_bark', 'gun_shot', "
        "'Acoustic_guitar'"
    )


def test_a_map_to_no_class_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="catalog.tag_map: dog_bark: 'Barc' is no AudioSet class"):
        listing_of(tmp_path, tag_map={"dog_bark": "Barc"})
    with pytest.raises(InputError, match="nowhere.csv: no such file, given as tag_map:"):
        listing_of(tmp_path, tag_map=str(tmp_path / "nowhere.csv"))
