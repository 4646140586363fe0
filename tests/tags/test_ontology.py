"""The class list and hierarchy: counts, names, families, and targets as published."""

import csv

import pytest

from curation.errors import InputError
from curation.tags import ontology
from tests.support.paths import SHARED_DATA

AUDIOSET = SHARED_DATA / "audioset"

BARK, DOG, PETS, ANIMAL = "/m/05tny_", "/m/0bt9lr", "/m/068hy", "/m/0jbk"
GROWL, HUMAN_VOICE = "/m/0ghcn6", "/m/09l8g"


def test_counts_are_those_of_the_published_ontology():
    everything = ontology._classes()
    assert len(everything) == 632
    assert len(ontology.labelled_mids()) == 527
    assert sum(not ontology.parent_classes(mid) for mid in everything) == 7
    assert sum(not ontology.child_classes(mid) for mid in everything) == 474
    assert sum(map(ontology.is_abstract_class, everything)) == 23
    assert sum(map(ontology.is_blacklisted_class, everything)) == 67


def test_labelled_classes_come_in_the_order_of_their_index():
    mids = ontology.labelled_mids()
    assert [ontology.class_index(mid) for mid in mids] == list(range(527))
    assert (ontology.class_name(mids[0]), ontology.class_name(mids[-1])) == (
        "Speech",
        "Field recording",
    )


def test_a_tag_is_found_by_id_and_by_name_in_any_case():
    assert ontology.find_tag(BARK) == ontology.find_tag("bark") == ontology.find_tag(" BARK ")
    assert ontology.find_tag("Male speech, man speaking").mid == "/m/05zppz"
    assert ontology.find_tag(BARK).name == "Bark"


def test_an_unknown_label_is_named_with_the_nearest_classes():
    with pytest.raises(InputError, match=r"'Doog' is no AudioSet class: did you mean 'Dog'"):
        ontology.find_tag("Doog")
    with pytest.raises(InputError, match=r"'/m/zzz' is no AudioSet class: expected a class id"):
        ontology.find_tag("/m/zzz")
    with pytest.raises(InputError, match="is no AudioSet class id"):
        ontology.class_name("Dog")


def test_families():
    assert ontology.parent_classes(BARK) == (DOG,)
    assert BARK in ontology.child_classes(DOG)
    assert ontology.ancestor_classes(BARK) == {DOG, PETS, ANIMAL}
    assert ontology.ancestor_classes(ANIMAL) == frozenset()


def test_targets_climb_single_parent_chains_and_stop_at_a_fork():
    assert ontology.evaluation_targets([BARK]) == {BARK, DOG, PETS, ANIMAL}
    assert len(ontology.parent_classes(GROWL)) > 1
    assert ontology.evaluation_targets([GROWL]) == {GROWL}


def test_targets_pass_through_classes_without_labels():
    assert ontology.evaluation_targets([HUMAN_VOICE]) == set()
    speech = ontology.find_tag("Speech").mid
    assert ontology.parent_classes(speech) == (HUMAN_VOICE,)
    assert ontology.evaluation_targets([speech]) == {speech}


@pytest.mark.skipif(not AUDIOSET.exists(), reason=f"no AudioSet lists at {AUDIOSET}")
def test_targets_of_the_balanced_list_as_published():
    lines = (AUDIOSET / "balanced_train_segments.csv").read_text().splitlines()
    rows = list(csv.reader((x for x in lines if not x.startswith("#")), skipinitialspace=True))
    labels = [row[3].split(",") for row in rows]
    assert sum(map(len, labels)) / len(labels) == pytest.approx(2.386, abs=5e-4)
    assert sum(len(ontology.evaluation_targets(mids)) for mids in labels) / len(
        labels
    ) == pytest.approx(3.347, abs=5e-4)
