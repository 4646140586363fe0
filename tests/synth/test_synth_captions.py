"""The judge passes every true caption and no hard negative, over thousands of scenes."""

from collections import Counter

import numpy as np
import pytest

from curation.demo.grading import grade_caption, parse_caption
from curation.synth.classes import SOUND_CLASSES
from curation.synth.negatives import NEGATIVE_KINDS, make_hard_negative, make_hard_negatives
from curation.synth.scenes import Scene, make_scene

SCENES = [make_scene(11, index) for index in range(3000)]


def test_every_reference_caption_is_all_right() -> None:
    for scene in SCENES:
        for caption in scene.captions:
            assert grade_caption(caption, scene).all_right, f"{caption!r} for {scene}"


def test_every_hard_negative_is_wrong_in_its_own_respect() -> None:
    rng = np.random.default_rng(0)
    seen: Counter[str] = Counter()
    for scene in SCENES:
        for kind in NEGATIVE_KINDS:
            caption = make_hard_negative(scene, rng, kind)
            if caption is None:
                continue
            seen[kind] += 1
            found = grade_caption(caption, scene)
            assert not found.all_right, f"{kind}: {caption!r} for {scene}"
            assert found.classes_right == (kind in ("swapped", "relation"))
            if kind == "swapped":
                assert found.relation_right and not found.order_right
            if kind == "relation":
                assert not found.relation_right
    assert set(seen) == set(NEGATIVE_KINDS)
    assert all(len(make_hard_negatives(scene, rng, 3)) == 3 for scene in SCENES[:50])


def test_captions_are_plain_and_the_vocabulary_small() -> None:
    words: set[str] = set()
    for scene in SCENES:
        assert 3 <= len(scene.captions) <= 5 and len(set(scene.captions)) == len(scene.captions)
        for caption in scene.captions:
            assert caption == caption.lower() and caption.replace(" ", "").isalpha()
            assert 3 <= len(caption.split()) <= 20
            words.update(caption.split())
    assert len(words) <= 260


def test_keywords_find_their_class_and_no_other() -> None:
    for sound in SOUND_CLASSES:
        assert len(sound.phrases) >= 4
        for phrase in sound.phrases:
            assert parse_caption(phrase).classes == (sound.key,), phrase


@pytest.mark.parametrize(
    ("caption", "classes", "relation", "order"),
    [
        ("a dog barks while rain falls in the background", True, True, True),
        ("Rain falling behind a barking dog.", True, True, True),
        ("a dog barks and then rain falls", True, False, True),
        ("rain is falling in the background while a dog barks", True, True, True),
        ("a dog barks in the background while rain falls", True, True, False),
        ("a dog barks and rain falls", True, False, True),
        ("a dog barks", False, False, False),
        ("a dog barks while a helicopter flies in the background", False, True, False),
        ("", False, False, False),
        ("??? 42 xyzzy", False, False, False),
    ],
)
def test_judge_reads_by_hand(caption: str, classes: bool, relation: bool, order: bool) -> None:
    found = grade_caption(caption, Scene(("dog_bark", "rain"), "background", 5.0, ()))
    assert (found.classes_right, found.relation_right, found.order_right) == (
        classes,
        relation,
        order,
    )


def test_counts_are_of_classes() -> None:
    found = grade_caption(
        "a dog barks before a siren wails", Scene(("dog_bark", "rain"), "then", 5.0, ())
    )
    assert (found.true_positives, found.false_positives, found.false_negatives) == (1, 1, 1)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of replaced"):
        make_hard_negative(SCENES[0], np.random.default_rng(0), "nonsense")
