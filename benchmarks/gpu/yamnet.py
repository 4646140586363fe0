"""YAMNet: waveforms to the confidences of 521 classes.

The network here is a stand-in until the packages have YAMNet: the published layer shapes with
random weights, so its speed is YAMNet's and its answers are nobody's. Source of front end and
layers: tensorflow/models, research/audioset/yamnet (params.py, features.py, yamnet.py).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.gpu.inputs import measure_decode_cpu_s, random_waveforms
from benchmarks.gpu.measure import measure, print_stage
from benchmarks.gpu.measurements import Setting
from curation.models import weights
from curation.models.networks.feature_batches import stack_padded
from curation.models.networks.log_mel import mel_filter_bank
from curation.models.networks.log_mel_config import LogMelConfig

CLIPS = {"full": 256, "toy": 2}
WINDOW, HOP = 400, 160
PATCH_FRAMES, PATCH_HOP = 96, 48
BANDS = LogMelConfig(
    sample_rate_hz=16_000,
    n_fft=512,
    window=WINDOW,
    hop=HOP,
    mels=64,
    low_hz=125.0,
    high_hz=7500.0,
    mel_scale="htk",
    norm=None,
)
# Channels and stride of each depthwise-separable block, behind a convolution to 32.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *[(512, 1)] * 5,
    *((1024, 2), (1024, 1)),
)
CLASSES = 521


class YamnetShapes(nn.Module):
    """Log-mel patches `[patch, 96, 64]` to confidences `[patch, 521]`, by YAMNet's layers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormRelu(1, 32, 3, stride=2)]
        inputs = 32
        for outputs, stride in BLOCKS:
            layers.append(ConvNormRelu(inputs, inputs, 3, stride, groups=inputs))
            layers.append(ConvNormRelu(inputs, outputs, 1))
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, CLASSES)

    def forward(self, patches: Tensor) -> Tensor:
        return self.classifier(self.layers(patches[:, None]).mean(dim=(2, 3))).sigmoid()


class ConvNormRelu(nn.Module):
    """A convolution padded as TensorFlow's "same" of even sizes, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        beyond = kernel - stride if kernel > 1 else 0
        self.padding = (beyond // 2, beyond - beyond // 2) * 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.norm(self.conv(F.pad(x, self.padding))))


def log_mel_patches(waveforms: Tensor) -> Tensor:
    """Patches `[clip, patch, 96, 64]` of waveforms `[clip, sample]`, overlapping by half."""
    window = torch.hann_window(WINDOW, device=waveforms.device)
    spectrum = torch.fft.rfft(waveforms.unfold(1, WINDOW, HOP) * window, BANDS.n_fft).abs()
    mel = (spectrum @ mel_filter_bank(BANDS, waveforms.device) + 0.001).log()
    return mel.unfold(1, PATCH_FRAMES, PATCH_HOP).transpose(2, 3)


@torch.inference_mode()
def tag_clips(network: YamnetShapes, waveforms: Tensor) -> Tensor:
    """Confidences `[clip, 521]`, the mean of those of a clip's patches."""
    patches = log_mel_patches(waveforms)
    return network(patches.flatten(0, 1)).unflatten(0, patches.shape[:2]).mean(dim=1)


def yamnet(setting: Setting) -> dict[str, Any]:
    print_stage("building the model")
    device = weights.resolve_device(setting.device)
    network = YamnetShapes().eval().to(device)
    most = CLIPS[setting.size]
    waveforms = random_waveforms(setting, most, BANDS.sample_rate_hz)

    def batch(clips: int) -> int:
        together = stack_padded([torch.from_numpy(each) for each in waveforms[:clips]])
        tag_clips(network, together.to(device)).cpu()
        return 0

    decode_cpu_s = measure_decode_cpu_s(setting, BANDS.sample_rate_hz)
    figures = measure(setting, batch, most, "tf32", decode_cpu_s)
    return {**figures, "network": "a stand-in of YAMNet's layer shapes"}
