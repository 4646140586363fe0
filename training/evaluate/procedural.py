"""Evaluation on held-out procedural clips, and prompts for ESC-10 with the same words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from curation.models.scorers.base import Scorer
from curation.storage.files import Storage
from curation.synth.classes import SOUND_CLASSES
from curation.synth.mixing import render_clip
from curation.synth.negatives import make_hard_negative
from curation.synth.scenes import Scene
from curation.tags.guidance import class_phrase
from training.evaluate.prompts import embed_classes, normalise_rows
from training.evaluate.readers.listing import read_csv_rows
from training.evaluate.scores import top_k_recall
from training.rendering import render_in_pool

SEED = 8  # below 1000, as every seed that no training uses
WRONG_KINDS = ("replaced", "dropped", "swapped", "relation")
CHANCE = {"classes": 1 / len(SOUND_CLASSES), "mixes": 1 / (1 + len(WRONG_KINDS))}

_BATCH = 32


@dataclass(frozen=True)
class HeldOutClips:
    """Procedural clips at one sample rate, with their scenes."""

    sample_rate_hz: int
    waveforms: list[np.ndarray]
    scenes: list[Scene]


def render_held_out_clips(
    clips: int, sample_rate_hz: int, workers: int = 1, progress: bool = False
) -> HeldOutClips:
    """The first clips of the held-out corpus."""
    one = partial(render_clip, SEED, sample_rate_hz=sample_rate_hz)
    made = render_in_pool(one, clips, workers, "rendering held-out clips", progress)
    return HeldOutClips(sample_rate_hz, [waveform for waveform, _ in made], [s for _, s in made])


def evaluate_on_held_out_clips(scorer: Scorer, held_out: HeldOutClips) -> dict[str, float]:
    """Zero-shot and retrieval figures of a model that is set up.

    `classes` is the share of clips with one sound for which the phrases of the right class are the
    most similar. `mixes` is the share of clips with two sounds whose true caption scores above four
    wrong captions: one with another sound, one without one of the sounds, one in reverse order, one
    with another relation. `score` is the mean of `classes` and `mixes`. `r@1` and `r@10` are the
    shares of clips with two sounds that their caption ranks first, or among the first ten, of all
    clips with two sounds. A clip with the same sounds in the same relation counts as right.
    """
    audio = np.concatenate(
        [
            np.stack(
                [
                    _checked_embedding(each)
                    for each in scorer.embed_audio(held_out.waveforms[at : at + _BATCH])
                ]
            )
            for at in range(0, len(held_out.scenes), _BATCH)
        ]
    )
    single = np.array([scene.relation == "single" for scene in held_out.scenes])
    scenes = [scene for scene in held_out.scenes if scene.relation != "single"]
    alone = [scene for scene in held_out.scenes if scene.relation == "single"]
    figures = {
        "classes": _classes(scorer, audio[single], alone),
        "mixes": _mixes(scorer, audio[~single], scenes),
    }
    captions = scorer.embed_text([scene.captions[0] for scene in scenes])
    keys = [(scene.classes, scene.relation) for scene in scenes]
    relevant = np.array([[one == other for other in keys] for one in keys])
    similarities = captions @ audio[~single].T
    return {
        "score": (figures["classes"] + figures["mixes"]) / 2,
        **figures,
        **{f"r@{k}": top_k_recall(similarities, k, relevant) for k in (1, 10)},
    }


def class_phrases(mid: str) -> list[str]:
    """Return captions of a class: the template with the class's tag, and phrases of its sounds."""
    spoken = [
        clause.nominal() for sound in SOUND_CLASSES if sound.mid == mid for clause in sound.clauses
    ]
    return [template_caption([class_phrase(mid)]), *spoken]


def template_caption(guidance: Sequence[str]) -> str:
    """A caption made of tags without a captioner: "the sound of a dog and rain"."""
    return f"the sound of {' and '.join(guidance)}"


def esc10_prompts(storage: Storage, folder: str) -> dict[str, list[str]]:
    """Return one caption for each ESC-10 class: the joined phrases of its AudioSet classes.

    Raises InputError if `folder` has no clips.csv, or it cannot be read.
    """
    columns, layout = ("esc10_class", "audioset_mids"), "a folder of ESC-10, audio/ beside it"
    rows = read_csv_rows(storage, folder, "clips.csv", columns, layout)
    return {row["esc10_class"]: class_phrases(row["audioset_mids"]) for row in rows}


def _classes(scorer: Scorer, audio: np.ndarray, scenes: Sequence[Scene]) -> float:
    prompts = embed_classes(scorer, [class_phrases(sound.mid) for sound in SOUND_CLASSES])
    predicted = (normalise_rows(audio) @ prompts.T).argmax(axis=1)
    keys = [sound.key for sound in SOUND_CLASSES]
    return float(
        np.mean([keys[best] == s.classes[0] for best, s in zip(predicted, scenes, strict=True)])
    )


def _mixes(scorer: Scorer, audio: np.ndarray, scenes: Sequence[Scene]) -> float:
    right = []
    for index, scene in enumerate(scenes):
        rng = np.random.default_rng((SEED, index))
        wrong = [make_hard_negative(scene, rng, kind) or "" for kind in WRONG_KINDS]
        scores = scorer.embed_text([scene.captions[0], *wrong]) @ audio[index]
        right.append(scores[0] > scores[1:].max())
    return float(np.mean(right))


def _checked_embedding(embedding: object) -> np.ndarray:
    assert isinstance(embedding, np.ndarray), embedding
    return embedding
