"""Scorers with random weights: a clip and its four captions to unit vectors, by the real embedder.

Sizes: `ClapConfig`'s defaults are those of laion/clap-htsat-unfused. PE-AV's text tower has
`PeAudioConfig`'s defaults, and its audio tower the sizes of facebook/pe-a-frame-base, which are
those of facebook/pe-av-base too.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    ClapConfig,
    ClapModel,
    PeAudioConfig,
    PeAudioFeatureExtractor,
    PeAudioModel,
)

from benchmarks.gpu.inputs import (
    CAPTIONS_A_CLIP,
    caption_tokenizer,
    measure_decode_cpu_s,
    random_waveforms,
    true_captions,
)
from benchmarks.gpu.measure import Format, measure, print_stage
from benchmarks.gpu.measurements import Setting
from curation.models import weights
from curation.models.networks.clap import TrainableClap
from curation.models.networks.clap_frontend import build_laion_extractor
from curation.models.networks.pe_audio import PeAudioTowers
from curation.models.networks.towers import Towers
from curation.models.scorers.embedder import Embedder
from curation.schema import Failure
from tests.support import tiny_scorers

CLAP_CLIPS = {"full": 256, "toy": 2}
# Fewer, as its codec goes clip by clip, and gains nothing from more.
PE_AV_CLIPS = {"full": 64, "toy": 2}
PE_AV_BASE = {
    "hidden_size": 1024,
    "intermediate_size": 2752,
    "num_hidden_layers": 16,
    "num_attention_heads": 8,
}


def clap(setting: Setting) -> dict[str, Any]:
    return _embedding(setting, random_clap(setting), CLAP_CLIPS[setting.size], "tf32")


def pe_av(setting: Setting) -> dict[str, Any]:
    print_stage("building the model")
    if setting.is_full:
        config, extractor = PeAudioConfig(audio_config=PE_AV_BASE), PeAudioFeatureExtractor()
    else:
        config = tiny_scorers.tiny_pe_audio_config(len(caption_tokenizer(setting)))
        extractor = PeAudioFeatureExtractor(sampling_rate=8000, hop_length=32)
    # Not by torch's own weights, of which such deep networks make numbers that are not finite.
    model = tiny_scorers.awake(PeAudioModel(config)).to(torch.bfloat16)
    return _embedding(setting, PeAudioTowers(model, extractor), PE_AV_CLIPS[setting.size], "bf16")


def random_clap(setting: Setting) -> TrainableClap:
    print_stage("building the model")
    tokenizer = caption_tokenizer(setting)
    padding = {"pad_token_id": tokenizer.special_id("pad_token")}
    if setting.is_full:
        return TrainableClap(ClapModel(ClapConfig(text_config=padding)), build_laion_extractor({}))
    text = {**tiny_scorers.TEXT, **padding, "vocab_size": len(tokenizer)}
    config = ClapConfig(audio_config=tiny_scorers.AUDIO, text_config=text, projection_dim=8)
    return TrainableClap(ClapModel(config), build_laion_extractor(tiny_scorers.FRONT_END))


def _embedding(
    setting: Setting, towers: Towers, most: int, number_format: Format
) -> dict[str, Any]:
    """From waveforms and captions in the host's memory to unit vectors there."""
    towers = towers.eval().to(weights.resolve_device(setting.device))
    embedder = Embedder(Path("random weights"), towers, caption_tokenizer(setting))
    waveforms = random_waveforms(setting, most, towers.sample_rate_hz)
    captions = true_captions(CAPTIONS_A_CLIP * most)

    def batch(clips: int) -> int:
        embedded = embedder.embed_audio(waveforms[:clips])
        failures = [each for each in embedded if isinstance(each, Failure)]
        if failures:
            raise RuntimeError(f"{len(failures)} of {clips} clips failed: {failures[0]}")
        embedder.embed_text(captions[: CAPTIONS_A_CLIP * clips])
        return 0

    decode_cpu_s = measure_decode_cpu_s(setting, towers.sample_rate_hz)
    return measure(setting, batch, most, number_format, decode_cpu_s)
