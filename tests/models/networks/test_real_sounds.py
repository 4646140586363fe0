"""On real recordings our front ends equal transformers', torchaudio's and a naive STFT in numpy.

All in dB, float against double: within TOLERANCE_DB at most, and a hundredth of that in the mean.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from transformers import ClapConfig, ClapModel

from curation.audio.decode import DecodedAudio, decode_audio
from curation.audio.waveform import resample
from curation.models.networks.clap import ClapTowers, FusedClap, TrainableClap
from curation.models.networks.clap_frontend import (
    build_laion_extractor,
    crop_or_pad,
    extractor_log_mel_config,
)
from curation.models.networks.log_mel import LogMel
from curation.models.networks.log_mel_config import LogMelConfig
from tests.models.networks.test_log_mel import naive_log_mel
from tests.support.tiny_scorers import as_int16

TOLERANCE_DB = 0.05


@pytest.fixture(scope="module")
def recordings(shared_data: Path) -> list[DecodedAudio]:
    """Six recordings of ESC-10, and an AudioSet clip: 5 and 10 s at 44.1 and 32 kHz."""
    paths = sorted((shared_data / "esc10" / "audio").iterdir())[::40]
    paths += sorted((shared_data / "audioset" / "clips").glob("*.wav"))
    return [decode_audio(path.read_bytes(), path.name, None, None, 60.0) for path in paths]


def at(recordings: list[DecodedAudio], rate_hz: int) -> list[np.ndarray]:
    return [resample(each.waveform, each.sample_rate_hz, rate_hz) for each in recordings]


def untrained(fused: bool) -> ClapTowers:
    """LAION's front end in full size, before a tower that nobody asks."""
    with torch.device("meta"):
        clap = ClapModel(ClapConfig(audio_config={"enable_fusion": fused}))
    if fused:
        return FusedClap(clap, build_laion_extractor({"truncation": "fusion"}))
    return TrainableClap(clap, build_laion_extractor({}))


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.shape == expected.shape
    apart = np.abs(got - expected)
    assert apart.max() < TOLERANCE_DB
    assert apart.mean() < TOLERANCE_DB / 100


@pytest.mark.parametrize("fused", [False, True])
def test_laions_front_ends_are_transformers_and_a_naive_stft(
    recordings: list[DecodedAudio], fused: bool
) -> None:
    towers = untrained(fused)
    for clip in at(recordings, 48_000):
        stored = as_int16(clip[:480_000])
        theirs = towers.extractor(stored, sampling_rate=48_000)["input_features"][0]
        got, _ = towers.features(torch.from_numpy(clip[None]), torch.tensor([len(stored)]))
        views = got[0].numpy().reshape(-1, 1001, 64)
        assert_close(views, theirs)
        repeated = crop_or_pad(torch.from_numpy(stored), 480_000, "repeatpad").numpy()
        naive = naive_log_mel(repeated, extractor_log_mel_config(towers.extractor))
        for view in views:
            assert_close(view, naive)


def test_a_long_recording_has_the_extractors_four_views(recordings: list[DecodedAudio]) -> None:
    """Two frames more than a view has: then the extractor draws nothing at random."""
    towers = untrained(fused=True)
    long = np.concatenate(at(recordings, 48_000))[: 480_000 + 2 * 480]
    theirs = towers.extractor(as_int16(long), sampling_rate=48_000)
    got, frames = towers.features(torch.from_numpy(long[None]), torch.tensor([len(long)]))
    assert_close(got[0].numpy(), theirs["input_features"][0])
    assert theirs["is_longer"] == [[True]]
    assert frames.tolist() == [1003]


def test_cnn14s_front_end_is_torchaudios_and_a_naive_stft(
    recordings: list[DecodedAudio],
) -> None:
    config = LogMelConfig()
    transform = torch.nn.Sequential(
        torchaudio.transforms.MelSpectrogram(
            32_000, 1024, 1024, 320, 50.0, 14_000.0, n_mels=64, norm="slaney", mel_scale="slaney"
        ),
        torchaudio.transforms.AmplitudeToDB("power", top_db=None),
    )
    for clip in at(recordings, 32_000):
        waveform = torch.from_numpy(clip[None])
        got = LogMel(config)(waveform, torch.tensor([len(clip)]))[0].numpy()
        assert_close(got, transform(waveform)[0].T.numpy())
        assert_close(got, naive_log_mel(clip, config))
