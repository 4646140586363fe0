"""Renders procedural clips to log-mel features in memory, in a pool of processes."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from curation.models.networks.log_mel import LogMel
from curation.models.networks.log_mel_config import LogMelConfig
from curation.synth.mixing import render_clip
from curation.synth.scenes import Scene
from training.config.reference import CorpusConfig
from training.rendering import render_in_pool


@dataclass(frozen=True)
class FeatureCorpus:
    """The clips of one seed: log-mel features `[frame, mel]` (float16), and their scenes."""

    seed: int
    features: list[Tensor]
    scenes: list[Scene]

    def __len__(self) -> int:
        return len(self.scenes)


def render_corpora(
    config: CorpusConfig, frontend: LogMelConfig, seed: int, progress: bool
) -> tuple[FeatureCorpus, FeatureCorpus]:
    """Render the training clips with the training's seed, and held-out clips with a fixed seed."""
    trained_on, held_out = (
        render_corpus(corpus_seed, clips, frontend, config.workers, progress)
        for corpus_seed, clips in (
            (config.seed + seed, config.clips),
            (config.held_out_seed, config.held_out_clips),
        )
    )
    return trained_on, held_out


def render_corpus(
    seed: int, clips: int, frontend: LogMelConfig, workers: int = 1, progress: bool = False
) -> FeatureCorpus:
    """Render clips 0 to `clips` - 1 of corpus `seed`. The result does not depend on `workers`."""
    label = f"rendering corpus {seed}"
    rendered = render_in_pool(partial(_render, seed, frontend), clips, workers, label, progress)
    features, scenes = zip(*rendered, strict=True)
    return FeatureCorpus(seed, [torch.from_numpy(feature) for feature in features], list(scenes))


def _render(seed: int, frontend: LogMelConfig, index: int) -> tuple[Tensor, Scene]:
    waveform, scene = render_clip(seed, index, frontend.sample_rate_hz)
    samples = torch.from_numpy(waveform)[None]
    features = LogMel(frontend)(samples, torch.tensor([samples.shape[1]]))[0]
    # As an array: tensors would travel by shared memory, one file descriptor each.
    return features.half().numpy(), scene
