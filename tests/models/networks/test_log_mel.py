"""The log-mel front end equals a naive STFT in numpy and torchaudio's, whatever the padding."""

from typing import Literal

import numpy as np
import pytest
import torch
import torchaudio

from curation.models.networks.log_mel import LogMel, mel_filter_bank
from curation.models.networks.log_mel_config import LogMelConfig

BLAT = LogMelConfig()
SMALL = LogMelConfig(sample_rate_hz=16_000, hop=512, high_hz=8000.0)
HTK = LogMelConfig(sample_rate_hz=48_000, hop=480, mel_scale="htk", norm=None)


def sound(samples: int) -> torch.Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(samples)) * 0.1


def naive_log_mel(waveform: np.ndarray, config: LogMelConfig) -> np.ndarray:
    """Frame by frame, in double precision, with the filters written out."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)
    padded = np.pad(waveform.astype(np.float64), config.n_fft // 2, mode="reflect")
    starts = range(0, len(padded) - config.n_fft + 1, config.hop)
    frames = np.stack([padded[start : start + config.n_fft] * window for start in starts])
    power = np.abs(np.fft.rfft(frames)) ** 2
    return 10 * np.log10(np.maximum(power @ naive_filters(config), 1e-10))


def naive_filters(config: LogMelConfig) -> np.ndarray:
    """Triangles `[frequency bin, mel]` between points evenly spaced in mels."""
    mel, hertz = SCALES[config.mel_scale]
    edges = [
        hertz(m) for m in np.linspace(mel(config.low_hz), mel(config.high_hz), config.mels + 2)
    ]
    bins = np.arange(config.n_fft // 2 + 1) * config.sample_rate_hz / config.n_fft
    filters = np.zeros((len(bins), config.mels))
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
        area = 2 / (high - low) if config.norm == "slaney" else 1
        filters[:, band] = np.maximum(0, np.minimum(rising, falling)) * area
    return filters


def slaney_mel(hz: float) -> float:
    """Auditory Toolbox: linear to 1 kHz, then logarithmic."""
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def slaney_hertz(mels: float) -> float:
    return 200 * mels / 3 if mels < 15 else 1000 * np.exp(np.log(6.4) * (mels - 15) / 27)


def htk_mel(hz: float) -> float:
    return 2595 * np.log10(1 + hz / 700)


def htk_hertz(mels: float) -> float:
    return 700 * (10 ** (mels / 2595) - 1)


SCALES = {"slaney": (slaney_mel, slaney_hertz), "htk": (htk_mel, htk_hertz)}


@pytest.mark.parametrize("config", [BLAT, SMALL, HTK])
def test_equals_naive_stft(config: LogMelConfig) -> None:
    waveform = sound(16_001)
    got = LogMel(config)(waveform[None], torch.tensor([16_001]))[0].numpy()
    expected = naive_log_mel(waveform.numpy(), config)
    assert got.shape == expected.shape == (16_001 // config.hop + 1, 64)
    # Float against double: hundredths of a dB where a band is almost empty.
    assert np.abs(got - expected).max() < 0.02
    assert np.abs(got - expected).mean() < 1e-4


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", None])
@pytest.mark.parametrize(
    ("sample_rate_hz", "n_fft", "mels", "low_hz", "high_hz"),
    [
        (16_000, 2048, 64, 50.0, 8000.0),  # the reference models'
        (32_000, 1024, 64, 50.0, 14_000.0),  # BLAT's
        (48_000, 1024, 64, 50.0, 14_000.0),  # LAION's
        (8000, 256, 16, 0.0, 900.0),
        (44_100, 512, 128, 125.0, 22_050.0),
    ],
)
def test_bands_have_torchaudios_bits(
    scale: Literal["slaney", "htk"],
    norm: Literal["slaney"] | None,
    sample_rate_hz: int,
    n_fft: int,
    mels: int,
    low_hz: float,
    high_hz: float,
) -> None:
    config = LogMelConfig(
        sample_rate_hz, n_fft, n_fft, n_fft // 2, mels, low_hz, high_hz, scale, norm
    )
    expected = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, low_hz, high_hz, mels, sample_rate_hz, norm, scale
    )
    assert torch.equal(mel_filter_bank(config, torch.device("cpu")), expected)


def test_equals_torchaudio() -> None:
    transform = torch.nn.Sequential(
        torchaudio.transforms.MelSpectrogram(
            32_000, 1024, 1024, 320, 50.0, 14_000.0, n_mels=64, norm="slaney", mel_scale="slaney"
        ),
        torchaudio.transforms.AmplitudeToDB("power", top_db=None),
    )
    waveform = sound(20_000)[None]
    torch.testing.assert_close(
        LogMel(BLAT)(waveform, torch.tensor([20_000])),
        transform(waveform).transpose(1, 2),
        atol=1e-3,
        rtol=0,
    )


def test_ten_seconds_at_32_khz_are_1001_frames() -> None:
    assert int(LogMel(BLAT).frames(torch.tensor(320_000))) == 1001


def test_padding_changes_no_frame_of_a_clip() -> None:
    frontend = LogMel(SMALL)
    clips = [sound(5000), sound(9000)]
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=7.0)
    lengths = torch.tensor([5000, 9000])
    together = frontend(batch, lengths)
    for row, clip in enumerate(clips):
        alone = frontend(clip[None], lengths[row : row + 1])[0]
        torch.testing.assert_close(together[row, : len(alone)], alone)


def test_silence_is_the_floor() -> None:
    features = LogMel(SMALL)(torch.zeros(1, 4000), torch.tensor([4000]))
    assert features.unique().tolist() == [-100.0]


def test_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="400 samples is too short.*pad it to 513"):
        LogMel(SMALL)(torch.zeros(1, 400), torch.tensor([400]))
