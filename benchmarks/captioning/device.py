"""Captioners of three sizes on a device: speed, the distance from the floor, and the busy share.

The floor is the longer of two times: that of the operations at the device's peak, and that of the
bytes that must move at its bandwidth, which are the weights and the clips' memory once a step. The
busy share is that of the time in which the GPU has something to do.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.captioning import language
from benchmarks.common.gpus import Peak, busy_s, device_name, peak
from curation import console
from curation.models import files
from curation.models.decoding.batch_decoding import decode_captions
from curation.models.decoding.next_token import draw_uniform_noise
from curation.models.networks.tag_guided_captioner import (
    TagGuidedCaptioner,
    TagGuidedCaptionerConfig,
)

CLIP_S = 10
BEAMS, SAMPLES, STEPS, ROUNDS = 3, 3, 30, 5


class Measured(NamedTuple):
    """What captioning so many clips took, and at least takes, in seconds; the words written."""

    clips: int
    words: int
    seconds: float
    floor: float | None
    busy: float | None

    @property
    def over_floor(self) -> float | None:
        return None if self.floor is None else round(self.seconds / self.floor, 2)

    @property
    def busy_share(self) -> float | None:
        return None if self.busy is None else round(self.busy / self.seconds, 3)


def on_device(device: torch.device, clips: int) -> dict[str, Any]:
    """Measure random weights at the reference's size, at CNN14's, and on a GPU at 7B."""
    measured_by_size: dict[str, Measured] = {}
    for name, config in sizes().items():
        model = TagGuidedCaptioner(config).eval().to(device)
        measured_by_size[name] = tag_guided(model, clips)
    if language.has_memory(device):
        for way, work, floor in language.ways(device):
            measured_by_size[f"7B {way}"] = measured(work, language.CLIPS, device, floor)
    else:
        console.stdout.print(
            f"7B: not measured, {language.REQUIRED_GB} GB of a GPU's memory wanted"
        )
    console.print_table(
        f"random weights, {1 + SAMPLES} captions a clip, on {device_name(device)}; "
        f"tag-guided: {clips} clips of {CLIP_S} s",
        ["", "clips/s", "tokens/s", "times the floor", "GPU busy"],
        [
            [
                way,
                f"{each.clips / each.seconds:.1f}",
                f"{each.words / each.seconds:.0f}",
                each.over_floor or "not known",
                each.busy_share or "not measured",
            ]
            for way, each in measured_by_size.items()
        ],
    )
    return {
        key: value
        for way, each in measured_by_size.items()
        for key, value in {
            f"{way}_clips_s": round(each.clips / each.seconds, 1),
            f"{way}_tokens_s": round(each.words / each.seconds),
            f"{way}_over_floor": each.over_floor,
            f"{way}_busy": each.busy_share,
        }.items()
    }


def sizes() -> dict[str, TagGuidedCaptionerConfig]:
    """The reference's size, and the defaults: CNN14 and BLAT's decoder."""
    reference = files.read_model_config(
        files.locate_model("reference", None, "captioner"), "tagscribe-captioner"
    )
    tags = reference["tags"]
    return {
        "reference": TagGuidedCaptionerConfig.from_dict(reference),
        "cnn14": TagGuidedCaptionerConfig(tags=tags),
    }


@torch.inference_mode()
def tag_guided(model: TagGuidedCaptioner, clips: int) -> Measured:
    """From waveforms to captions, in float32."""
    config, device = model.config, model.device
    samples = CLIP_S * model.frontend.config.sample_rate_hz
    waveforms = torch.randn(clips, samples, device=device) * 0.1
    lengths = torch.full((clips,), samples, device=device)

    def words() -> int:
        encoded = model.encoder(*model.features(waveforms, lengths))
        noise = draw_uniform_noise(range(clips), SAMPLES, STEPS, config.vocab_size)
        beams, sampled = decode_captions(model, encoded, BEAMS, noise, 0.7, STEPS)
        return sum(len(one.ids) + 1 for clip in [beams, *sampled] for one in clip)

    frames = model.frontend.frames(torch.tensor(samples))
    positions = int(frames) // model.encoder.cnn.config.frame_stride
    weights = sum(each.numel() for each in model.decoder.parameters())
    memory = clips * positions * config.dim * 2 * config.decoder_layers
    moved = 4 * STEPS * (weights + memory)
    with FlopCounterMode(display=False) as counter:
        encoded = model.encoder(*model.features(waveforms, lengths))
        noise = draw_uniform_noise(range(clips), SAMPLES, STEPS, config.vocab_size)
        decode_captions(model, encoded, BEAMS, noise, 0.7, STEPS)
    operations = counter.get_total_flops()

    def floor(most: Peak) -> float:
        return max(operations / most.float32, moved / most.bandwidth)

    return measured(words, clips, device, floor)


def measured(
    work: Callable[[], int], clips: int, device: torch.device, floor: Callable[[Peak], float]
) -> Measured:
    """The median of some rounds of `work`, which says how many words it wrote."""
    words = work()
    seconds = []
    for _ in range(ROUNDS):
        begun_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun_s)
    most = peak(device)
    least = None if most is None else floor(most)
    return Measured(clips, words, statistics.median(seconds), least, busy_s(work, device))
