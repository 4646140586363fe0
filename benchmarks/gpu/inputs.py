"""What the measurements are given: sounds, captions, a tokenizer, and what a clip costs to decode.

A clip is what AudioSet's are: 10 s, stereo, 48 kHz; here as FLAC, its sound procedural.
"""

import io
import time

import numpy as np
import soundfile

from benchmarks.gpu.measurements import Setting
from curation.annotate.clip import PlannedClip
from curation.annotate.load import DecodeSettings, EncodedClip, decode_clip
from curation.config.run import AudioConfig
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.word_tokenizer import build_word_tokenizer
from curation.synth.mixing import render_clip
from curation.synth.scenes import make_scene
from tests.support import tiny_networks

SEED = 23
FILE_RATE_HZ = 48_000
DECODED_CLIPS = {"full": 24, "toy": 2}
CAPTIONS_A_CLIP = 4


def random_waveforms(setting: Setting, clips: int, rate_hz: int) -> list[np.ndarray]:
    """Noise, float32 `[samples]` each, as a model's adapter takes it."""
    generator = np.random.default_rng(SEED)
    samples = round(setting.clip_s * rate_hz)
    return [generator.standard_normal(samples, np.float32) * 0.1 for _ in range(clips)]


def true_captions(count: int) -> list[str]:
    """Captions of procedural scenes, hardly any twice."""
    return [make_scene(SEED, index).captions[0] for index in range(count)]


def caption_tokenizer(setting: Setting) -> CaptionTokenizer:
    """One token a word, which is about what the models' own tokenizers make of such captions.

    At toy size it has the words of the tiny networks, and other words are unknown.
    """
    captions = true_captions(2000) if setting.is_full else tiny_networks.CAPTIONS
    return build_word_tokenizer(captions, 30)


def measure_decode_cpu_s(setting: Setting, rate_hz: int) -> float:
    """CPU seconds, over all threads, from a clip's file in memory to samples at a model's rate."""
    files = [encoded_clip(setting, index) for index in range(DECODED_CLIPS[setting.size])]
    settings = DecodeSettings(AudioConfig(), (rate_hz,))
    planned = PlannedClip("clip", "clip.flac", None, None, ())
    decode_clip(planned, files[0], settings)
    begun_s = time.process_time()
    for file in files:
        decoded = decode_clip(planned, file, settings)
        assert decoded.failure is None, decoded.failure
    return (time.process_time() - begun_s) / len(files)


def encoded_clip(setting: Setting, index: int) -> EncodedClip:
    """Two procedural sounds, one a channel, as one FLAC file."""
    samples = round(setting.clip_s * FILE_RATE_HZ)
    channels = [
        np.resize(render_clip(SEED, 2 * index + side, FILE_RATE_HZ)[0], samples) for side in (0, 1)
    ]
    file = io.BytesIO()
    soundfile.write(file, np.stack(channels, axis=1), FILE_RATE_HZ, "PCM_16", format="FLAC")
    return EncodedClip(file.getvalue(), "clip.flac")
