"""Procedural sounds with exact captions: the corpus that needs no download.

Every clip follows from (seed, index) alone. `render` gives the sound and its truth, `write_corpus`
a folder in AudioSet's layout.
"""

from curation.synth.classes import CLASSES, Clause, SoundClass
from curation.synth.corpus import clip_name, noisy_tags, read_truth, true_tags, write_corpus
from curation.synth.mixing import render
from curation.synth.negatives import hard_negative, hard_negatives
from curation.synth.scenes import Scene, make_scene

__all__ = [
    "CLASSES",
    "Clause",
    "Scene",
    "SoundClass",
    "clip_name",
    "hard_negative",
    "hard_negatives",
    "make_scene",
    "noisy_tags",
    "read_truth",
    "render",
    "true_tags",
    "write_corpus",
]
