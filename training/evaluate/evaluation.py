"""Evaluates a model on a data set: reads the set, embeds it, computes and writes figures."""

from typing import Any

from curation.errors import InputError
from curation.models.scorers.base import Scorer
from curation.storage.files import Storage
from training import distributed
from training.evaluate import result as results
from training.evaluate.datasets import read_eval_set
from training.evaluate.embed import EmbeddedClips, describe_crop, embed_clips
from training.evaluate.evalset import EvalSet
from training.evaluate.prompts import TEMPLATES, Captions, build_class_captions
from training.evaluate.retrieval import retrieval_figures
from training.evaluate.zero_shot import zero_shot_figures


def evaluate_on_dataset(
    storage: Storage,
    scorer: Scorer,
    dataset: str,
    folder: str,
    split: str | None = None,
    out: str | None = None,
    prompts: Captions | None = None,
    batch: int = 8,
    max_duration_s: float = 10.0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Evaluate a model on a data set: zero-shot with labels, retrieval with captions.

    Under torch.distributed every rank calls this function and gets the result. Rank 0 writes the
    result and prints it.

    Args:
        storage: storage of the data set and of the result.
        scorer: the model; it is set up here.
        dataset: one of `datasets.DATASETS`.
        folder: the data set as published, local or `s3://`.
        split: None for the split on which figures are published.
        out: the path of the result as JSON; None to write none.
        prompts: captions by class, evaluated in addition to the fixed templates.
        batch: clips embedded at once.
        max_duration_s: of a longer clip, the central part of this duration is used.
        quiet: print neither progress bar nor table.

    Returns the result; docs/evaluation.md has its keys.

    Raises InputError for a folder that is not the data set's, prompts that do not fit, a model that
    cannot be opened, or a data set without a readable clip.
    """
    if batch < 1 or max_duration_s <= 0:
        raise InputError(f"batch {batch}, max_duration_s {max_duration_s}: both must be above 0")
    data = read_eval_set(storage, dataset, folder, split)
    if prompts is not None:
        # Checked before an hour of embedding.
        if not data.classes:
            raise InputError(f"prompts: {dataset} has captions, no classes to write prompts for")
        build_class_captions(data.classes, prompts)
    scorer.setup()
    embedded = embed_clips(storage, scorer, data.clips, batch, max_duration_s, quiet)
    if not embedded.rows:
        failure = embedded.failures[0]
        raise InputError(
            f"{folder}: none of {len(data.clips):,} clips can be used; the first: {failure.message}"
        )
    result = {
        "dataset": data.name,
        "split": data.split,
        "data_version": results.hash_data_version(data.clips),
        "clips": len(embedded.rows),
        "missing": data.missing,
        "errors": [
            {
                "clip": data.clips[row].name,
                "stage": failure.stage,
                "type": failure.kind,
                "message": failure.message,
            }
            for row, failure in embedded.failures.items()
        ],
        "crop": describe_crop(max_duration_s),
        "model": scorer.identity,
        **_measure(scorer, data, embedded, prompts),
    }
    if distributed.get_rank() == 0:
        if out is not None:
            results.write_eval_result(storage, out, result)
        if not quiet:
            results.print_eval_result(result)
    return result


def _measure(
    scorer: Scorer, data: EvalSet, embedded: EmbeddedClips, prompts: Captions | None
) -> dict[str, Any]:
    clips = [data.clips[row] for row in embedded.rows]
    if not data.classes:
        return {
            "task": "retrieval",
            "captions": sum(len(clip.captions) for clip in clips),
            "figures": retrieval_figures(scorer, embedded.embeddings, clips),
        }
    used_prompts: dict[str, Any] = dict(TEMPLATES)
    if prompts is not None:
        used_prompts["custom"] = {name: list(prompts[name]) for name in data.classes}
    figures = zero_shot_figures(
        scorer, embedded.embeddings, clips, data.classes, data.multi_label, prompts
    )
    return {"task": "zero_shot", "prompts": used_prompts, "figures": figures}
