"""Guidance by memory tokens against BLAT's additive tag embedding, all else equal.

Trains the reference captioner once a mode on the same clips, in the same order, by the same
schedule, and prints the share of held-out captions that are wholly right. Run it alone:

    python -m benchmarks.guidance --epochs 4
"""

import argparse
import json
import time

import torch

from curation import console
from training.config.reference import ReferenceCaptionerConfig
from training.reference import captioner
from training.reference.corpus import render_corpora

MODES = ("memory", "additive")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    default = ReferenceCaptionerConfig()
    parser.add_argument("--epochs", type=int, default=default.schedule.epochs)
    parser.add_argument("--clips", type=int, default=default.corpus.clips)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    corpora = default.corpus.model_copy(update={"clips": options.clips})
    corpus, held_out = render_corpora(
        corpora, default.frontend.log_mel(), options.seed, progress=True
    )
    schedule = default.schedule.model_copy(update={"epochs": options.epochs})
    print(
        f"{options.clips} clips, {options.epochs} epochs, batch {schedule.batch_size}, seed "
        f"{options.seed}; {len(held_out)} held-out clips, greedy captions"
    )
    rows, right = {}, {}
    for mode in MODES:
        settings = default.model_copy(update={"guidance_mode": mode, "schedule": schedule})
        began = time.process_time()
        model, tokenizer, _ = captioner.train_captioner_on_corpus(settings, corpus, options.seed)
        cpu_s = time.process_time() - began
        report = captioner.evaluate_reference_captioner(model, tokenizer, held_out)
        right[mode] = {guidance: report[guidance]["all_right"] for guidance in captioner.GUIDANCE}
        rows[mode] = [*right[mode].values(), model.num_parameters() / 1e6, cpu_s]
    columns = [*captioner.GUIDANCE, "M parameters", "CPU seconds"]
    console.print_table(
        "captions wholly right, by the tags given",
        ["", *columns],
        [[mode, *(f"{value:.3f}" for value in values)] for mode, values in rows.items()],
    )
    print(json.dumps(right))


if __name__ == "__main__":
    main()
