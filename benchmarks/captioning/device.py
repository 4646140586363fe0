"""Captioners of two sizes on a device: clips and tokens a second, and the distance from the floor.

The floor is the longer of two times: that of the operations at the device's peak, and that of the
bytes that must move, the weights and the clips' memory once a step, at its bandwidth.
"""

import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common.gpus import peak
from curation import console
from curation.models import files
from curation.models.captioner import TagGuidedCaptioner, TagGuidedCaptionerConfig
from curation.models.decoding import decode
from curation.models.next_word import gumbel_noise

CLIP_S = 10
BEAMS, SAMPLES, STEPS, ROUNDS = 3, 3, 30, 5


def on_device(device: torch.device, clips: int) -> dict[str, Any]:
    """Measure random weights at the reference's size and at CNN14's, in float32."""
    told: dict[str, Any] = {}
    rows = []
    for name, config in sizes().items():
        model = TagGuidedCaptioner(config).eval().to(device)
        seconds, words, floor = measured(model, clips)
        over = None if floor is None else round(seconds / floor, 2)
        told |= {f"{name}_clips_s": round(clips / seconds, 1), f"{name}_over_floor": over}
        told |= {f"{name}_tokens_s": round(words / seconds)}
        rows.append([name, f"{clips / seconds:.1f}", f"{words / seconds:.0f}", over or "?"])
    console.print_table(
        f"{clips} clips of {CLIP_S} s, {1 + SAMPLES} captions each, on {device}",
        ["", "clips/s", "tokens/s", "times the floor"],
        rows,
    )
    return told


def sizes() -> dict[str, TagGuidedCaptionerConfig]:
    """The reference's size, and the defaults: CNN14 and BLAT's decoder."""
    reference = files.read_config(
        files.locate("reference", None, "captioner"), "tagscribe-captioner"
    )
    tags = reference["tags"]
    return {
        "reference": TagGuidedCaptionerConfig.from_dict(reference),
        "cnn14": TagGuidedCaptionerConfig(tags=tags),
    }


@torch.inference_mode()
def measured(model: TagGuidedCaptioner, clips: int) -> tuple[float, int, float | None]:
    """Seconds from waveforms to captions, words written, and the floor in seconds where known."""
    config, device = model.config, model.device
    samples = CLIP_S * model.frontend.config.sample_rate_hz
    waveforms = torch.randn(clips, samples, device=device) * 0.1
    lengths = torch.full((clips,), samples, device=device)

    def words() -> int:
        encoded = model.encoder(*model.features(waveforms, lengths))
        noise = gumbel_noise(range(clips), SAMPLES, STEPS, config.vocab_size)
        beams, sampled = decode(model, encoded, BEAMS, noise, 0.7, STEPS)
        return sum(len(one.ids) + 1 for clip in [beams, *sampled] for one in clip)

    with FlopCounterMode(display=False) as counter:
        written = words()
    seconds = []
    for _ in range(ROUNDS):
        begun_s = time.perf_counter()
        words()
        seconds.append(time.perf_counter() - begun_s)
    return statistics.median(seconds), written, floor_s(model, counter.get_total_flops(), clips)


def floor_s(model: TagGuidedCaptioner, flops: int, clips: int) -> float | None:
    """The least seconds that so many operations and the decoder's bytes can take."""
    most = peak(model.device)
    if most is None:
        return None
    frames = model.frontend.frames(torch.tensor(CLIP_S * model.frontend.config.sample_rate_hz))
    positions = int(frames) // model.encoder.cnn.config.frame_stride
    layers, dim = model.config.decoder_layers, model.config.dim
    weights = sum(each.numel() for each in model.decoder.parameters())
    memory = clips * positions * dim * 2 * layers
    moved = 4 * STEPS * (weights + memory)
    return max(flops / most.float32, moved / most.bandwidth)
