"""How fast captions are decoded, against transformers' `generate`, and what adaptive drawing saves.

Decoding: k = 4 captions a clip, one by three beams and three sampled, of the same encoded clips in
turns: by `models.decoding.batch_decoding`; by `generate` on the captioner as it is, which
recomputes the caption each step (`speedup`); by `generate` with transformers' own caches put into
the same model (`speedup_over_cached`). `generate` has one call for the beam and one for the
samples. All three must write the same beams. Keys that end in `_with_encoding` count the encoder on
both sides. Where there is a GPU the same is measured there too, in keys that begin with `gpu_`;
larger captioners are measured by `benchmarks.gpu_proof`.

Adaptive drawing: one worker, files to scores, `first: 1` against all four candidates for all, at
scores that a given share of the clips reach, of which both accept the same clips.

    python -m benchmarks.captioner [--clips 96] [--rounds 5] [--threads 2]

Prints tables and ends in one line of JSON.
"""

import argparse
import json
import os
import tempfile

import torch

from benchmarks.captioning.adaptive import against_fixed
from benchmarks.captioning.generation import against_generate
from curation.config.run import RunConfig
from curation.run import catalog_plan
from curation.run.config_file import parse_run_config
from curation.synth.corpus import write_corpus

SEED = 21


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each, alternating")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    gpu = "cuda" if torch.cuda.is_available() else "none"
    parser.add_argument("--device", default=gpu, help="measured beside the CPU; none leaves it out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(f"{folder}/corpus", options.clips, SEED, workers=os.cpu_count() or 1)
        config = planned_run(folder, options)
        figures = against_generate(config, options.rounds, "cpu")
        if options.device not in ("none", "cpu"):
            on_gpu = against_generate(config, options.rounds, options.device)
            figures |= {f"gpu_{key}": value for key, value in on_gpu.items()}
        figures |= against_fixed(config, options.rounds)
    print(json.dumps({**figures, "clips": options.clips, "threads": options.threads}))


def planned_run(folder: str, options: argparse.Namespace) -> RunConfig:
    """A run over the corpus, in one shard."""
    config = parse_run_config(
        {
            "run": f"{folder}/run",
            "catalog": {
                "kind": "audioset",
                "segments": f"{folder}/corpus/segments_noisy.csv",
                "audio": f"{folder}/corpus/audio",
            },
            "annotate": {"shard_clips": options.clips, "model_threads": options.threads},
        },
        "benchmarks/captioner.py",
    )
    catalog_plan.create_plan(config)
    return config


if __name__ == "__main__":
    main()
