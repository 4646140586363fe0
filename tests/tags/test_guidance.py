"""Guidance: which tags a captioner is given, and that all of their names are prose."""

import re

import pytest

from curation.errors import InputError
from curation.schema import Tag
from curation.tags import guidance, ontology
from curation.tags.guidance import class_phrase, select_guidance_tags

USABLE = [
    mid
    for mid in ontology._classes()
    if not (ontology.is_abstract_class(mid) or ontology.is_blacklisted_class(mid))
]


def tag(label, confidence=1.0, origin="human"):
    found = ontology.find_tag(label)
    return Tag(found.mid, found.name, confidence, origin)


def names(tags):
    return [each.name for each in tags]


def test_an_ancestor_is_dropped_when_a_descendant_is_present():
    tags = [tag("Animal"), tag("Bark"), tag("Dog"), tag("Speech")]
    assert names(select_guidance_tags(tags)) == ["Speech", "Bark"]


def test_the_way_to_an_ancestor_may_lead_through_classes_that_are_not_given():
    assert names(select_guidance_tags([tag("Animal"), tag("Bark")])) == ["Bark"]


def test_abstract_and_blacklisted_classes_are_dropped_and_hide_nothing():
    assert select_guidance_tags([tag("Human voice"), tag("Heart murmur")]) == []
    tags = [tag("Heart sounds, heartbeat"), tag("Heart murmur")]
    assert names(select_guidance_tags(tags)) == ["Heart sounds, heartbeat"]


def test_of_a_class_given_twice_the_surer_tag_is_kept_as_it_was():
    sure = tag("Dog", 0.9, "predicted")
    assert select_guidance_tags([tag("Dog", 0.4), sure, tag("Dog", 0.9)]) == [sure]


def test_the_order_is_by_confidence_and_then_by_index_however_they_come():
    tags = [tag("Dog", 0.5), tag("Speech", 0.5), tag("Rain", 0.8)]
    assert names(select_guidance_tags(tags)) == ["Rain", "Speech", "Dog"]
    assert select_guidance_tags(tags) == select_guidance_tags(tags[::-1])


def test_tags_below_the_least_confidence_are_dropped_and_hide_nothing():
    tags = [tag("Dog", 0.6), tag("Bark", 0.2)]
    assert names(select_guidance_tags(tags, min_confidence=0.5)) == ["Dog"]
    assert select_guidance_tags([]) == []


def test_a_tag_that_is_no_audioset_class():
    with pytest.raises(InputError, match="'/m/none' is no AudioSet class id"):
        select_guidance_tags([Tag("/m/none", "None")])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Male speech, man speaking", "a man speaking"),
        ("Vehicle horn, car horn, honking", "a car horn honking"),
        ("Dog", "a dog"),
        ("Bark", "a dog barking"),
        ("Acoustic guitar", "an acoustic guitar"),
        ("Heavy metal", "heavy metal music"),
        ("Wind noise (microphone)", "wind noise on a microphone"),
        ("French horn", "a French horn"),
        ("Inside, small room", "inside a small room"),
        ("Bus", "a bus"),
        ("Ping", "a ping"),
        ("Bagpipes", "bagpipes"),
        ("Oboe", "an oboe"),
    ],
)
def test_phrases(name, expected):
    assert class_phrase(ontology.find_tag(name).mid) == expected


@pytest.mark.parametrize("mid", USABLE)
def test_every_usable_class_reads_as_prose(mid):
    said = class_phrase(mid)
    assert re.fullmatch(r"[A-Za-z' -]+", said), said
    assert said == " ".join(said.split()), said
    capitals = {word for word in said.split() if word != word.lower()}
    assert capitals <= guidance.PROPER_NAMES, said
    assert not re.match(r"(an [^aeiou]|a [aeio])", said), said


def test_no_two_labelled_classes_share_a_phrase():
    phrases = [class_phrase(mid) for mid in ontology.labelled_mids()]
    assert len(set(phrases)) == len(phrases) == 527


def test_the_table_holds_only_what_the_rules_would_not_say():
    for name, said in guidance._exceptions().items():
        mid = ontology.find_tag(name).mid
        assert ontology.class_name(mid) == name
        assert guidance._phrase_by_rule(mid, name) != said
