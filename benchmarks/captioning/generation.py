"""Our decoding in turns with `generate`, with and without its caches."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, EncoderDecoderCache

from benchmarks.captioning.cached import CachedCaptioner
from benchmarks.common.gpus import device_name
from curation import console
from curation.annotate import tagging
from curation.annotate.batching import BatchCutter
from curation.annotate.captioning import clip_seed
from curation.annotate.clip import AnnotatedClip, parse_planned_clips
from curation.annotate.load import DecodeSettings, load_clip
from curation.config.run import RunConfig
from curation.models import files, weights
from curation.models.captioners.tag_guided import TagGuidedAdapter, map_to_vocabulary
from curation.models.decoding.batch_decoding import decode_captions
from curation.models.decoding.next_token import draw_uniform_noise
from curation.models.networks.tag_guided_captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.networks.transformers_networks import (
    GenerationEncoderOutput,
    TransformersCaptioner,
)
from curation.run import plan
from curation.run.layout import RunFolder
from curation.storage.files import Storage

SETTINGS = TagGuidedAdapter()
SAMPLES = SETTINGS.candidates - 1
ENCODER = "the encoder alone"


class Batch(NamedTuple):
    """Clips ready to be encoded, and what the encoder makes of them."""

    seeds: list[int]
    features: torch.Tensor
    lengths: torch.Tensor
    tags: torch.Tensor
    encoded: EncoderOutput


class BatchOutput(NamedTuple):
    """What was written for a batch: its beams, and words over all captions, end included."""

    beams: list[tuple[int, ...]]
    words: int


def against_generate(config: RunConfig, rounds: int, device: str) -> dict[str, Any]:
    """Time all ways of decoding on a device, round by round, every second round backwards."""
    folder = files.locate_model("reference", None, "captioner")
    network = weights.load_network(folder, TagGuidedCaptioner, device)
    plain, cached = (
        kind.from_pretrained(folder, dtype=torch.float32).eval().to(network.device)
        for kind in (TransformersCaptioner, CachedCaptioner)
    )
    batches = encoded_batches(network, config)
    ways: dict[str, Callable[[Batch], BatchOutput]] = {
        "ours": lambda batch: ours(network, batch),
        "generate": lambda batch: generated(plain, batch),
        "generate, cached": lambda batch: generated(cached, batch),
    }
    written = {way: [run(batch) for batch in batches] for way, run in ways.items()}
    check_same_beams(written)
    seconds = []
    for turn in range(rounds):
        order = list(ways)[:: 1 - 2 * (turn % 2)]
        seconds.append({way: timed(ways[way], batches) for way in order})
        seconds[-1][ENCODER] = timed(lambda batch: encode(network, batch), batches)
    words = {way: sum(each.words for each in results) for way, results in written.items()}
    return print_decoding(batches, words, seconds, device)


def encoded_batches(model: TagGuidedCaptioner, config: RunConfig) -> list[Batch]:
    """The run's clips, decoded, guided and cut into batches as the engine does it."""
    rate_hz = SETTINGS.sample_rate_hz
    settings = DecodeSettings(config.audio, (rate_hz,))
    clips = [
        tagging.add_guidance(load_clip(Storage(), clip, settings), config.captioner.min_confidence)
        for clip in parse_planned_clips(plan.read_plan_shard(RunFolder.from_config(config), 0))
    ]
    chunk = BatchCutter(rate_hz, config.batch_seconds).cut(clips)
    return [batch_of(model, [clips[at] for at in batch], rate_hz) for batch in chunk.batches]


def batch_of(model: TagGuidedCaptioner, clips: list[AnnotatedClip], rate_hz: int) -> Batch:
    sounds = [torch.from_numpy(clip.waveform(rate_hz)) for clip in clips]
    samples = torch.tensor([len(sound) for sound in sounds], device=model.device)
    waveforms = pad_sequence(sounds, batch_first=True).to(model.device)
    features, lengths = model.features(waveforms, samples)
    places = {mid: place for place, mid in enumerate(model.config.tags)}
    tags = torch.zeros(len(clips), len(places))
    for row, clip in enumerate(clips):
        for tag in clip.guidance:
            if known := map_to_vocabulary(tag.mid, places):
                tags[row, places[known]] = 1.0
    tags = tags.to(model.device)
    with torch.inference_mode():
        encoded = model.encoder(features, lengths, tags)
    seeds = [clip_seed(0, clip.clip_id) for clip in clips]
    return Batch(seeds, features, lengths, tags, encoded)


@torch.inference_mode()
def encode(model: TagGuidedCaptioner, batch: Batch) -> EncoderOutput:
    encoded = model.encoder(batch.features, batch.lengths, batch.tags)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return encoded


def ours(model: TagGuidedCaptioner, batch: Batch) -> BatchOutput:
    """All captions in one loop, as the adapter writes them."""
    steps, words = SETTINGS.max_tokens, model.config.vocab_size
    noise = draw_uniform_noise(batch.seeds, SAMPLES, steps, words)
    beams, samples = decode_captions(
        model, batch.encoded, SETTINGS.beams, noise, SETTINGS.temperature, steps
    )
    captions = [*beams, *(one for clip in samples for one in clip)]
    return BatchOutput([one.ids for one in beams], sum(len(one.ids) + 1 for one in captions))


def generated(model: TransformersCaptioner, batch: Batch) -> BatchOutput:
    """The same by `generate`: one call for the beam, one for the samples."""
    beams = generate(model, batch, num_beams=SETTINGS.beams, do_sample=False)
    samples = generate(
        model,
        batch,
        do_sample=True,
        temperature=SETTINGS.temperature,
        top_k=0,
        num_return_sequences=SAMPLES,
    )
    captions = [words_of(model, row) for row in [*beams.tolist(), *samples.tolist()]]
    return BatchOutput(captions[: len(beams)], sum(len(words) + 1 for words in captions))


def generate(model: TransformersCaptioner, batch: Batch, **how: Any) -> torch.Tensor:
    if isinstance(model, CachedCaptioner):
        how |= {"past_key_values": EncoderDecoderCache(DynamicCache(), DynamicCache())}
        how |= {"use_cache": True}
    # A copy, as `generate` repeats what it is given in place.
    encoded = GenerationEncoderOutput(**vars(batch.encoded))
    return model.generate(encoder_outputs=encoded, max_new_tokens=SETTINGS.max_tokens, **how)


def words_of(model: TransformersCaptioner, ids: list[int]) -> tuple[int, ...]:
    eos = model.config.eos_token_id
    return tuple(ids[1 : ids.index(eos)] if eos in ids else ids[1:])


def check_same_beams(written: dict[str, list[BatchOutput]]) -> None:
    """All ways do the same work: the beams that they write are equal, clip by clip."""
    beams = {
        way: [beam for each in results for beam in each.beams] for way, results in written.items()
    }
    for way, own_beams in beams.items():
        differ = sum(a != b for a, b in zip(own_beams, beams["ours"], strict=True))
        assert not differ, f"{way}: {differ} of {len(own_beams)} beams differ"


def timed(run: Callable[[Batch], Any], batches: list[Batch]) -> float:
    begun_s = time.perf_counter()
    for batch in batches:
        run(batch)
    return time.perf_counter() - begun_s


def print_decoding(
    batches: list[Batch], words: dict[str, int], seconds: list[dict[str, float]], device: str
) -> dict[str, Any]:
    clips = sum(len(batch.seeds) for batch in batches)
    median = {way: statistics.median(each[way] for each in seconds) for way in seconds[0]}

    def over_ours(way: str, encoding: bool = False) -> float:
        return statistics.median(
            (each[way] + encoding * each[ENCODER]) / (each["ours"] + encoding * each[ENCODER])
            for each in seconds
        )

    rows = [
        [way, f"{clips / median[way]:.1f}", f"{words[way] / median[way]:.0f}"]
        + [f"{over_ours(way, encoding):.2f}" for encoding in (False, True)]
        for way in words
    ]
    console.print_table(
        f"{clips} clips in {len(batches)} batches, {SETTINGS.candidates} captions each, "
        f"on {device_name(torch.device(device))}; medians of {len(seconds)} rounds",
        ["", "clips/s", "tokens/s", "times ours", "with the encoder"],
        [*rows, [ENCODER, f"{clips / median[ENCODER]:.1f}", "", "", ""]],
    )
    return {
        "speedup": round(over_ours("generate"), 3),
        "speedup_with_encoding": round(over_ours("generate", True), 3),
        "speedup_over_cached": round(over_ours("generate, cached"), 3),
        "speedup_over_cached_with_encoding": round(over_ours("generate, cached", True), 3),
        "clips_s": {way: round(clips / each, 1) for way, each in median.items()},
        "tokens_s": round(words["ours"] / median["ours"]),
    }
