"""Parts of a measurement: batch size, operations, peaks, the busy share, YAMNet's shapes."""

import time
from typing import Any

import pytest
import torch

from benchmarks.common.gpus import BusyShare, find_peak
from benchmarks.gpu import measure
from benchmarks.gpu.yamnet import BANDS, ConvNormRelu, YamnetShapes, log_mel_patches, tag_clips


def batch_with_memory_for(most: int) -> measure.Batch:
    def batch(clips: int) -> int:
        if clips > most:
            raise torch.OutOfMemoryError(f"no memory for {clips}")
        return 0

    return batch


def test_a_batch_is_halved_until_there_is_memory() -> None:
    assert measure.find_batch_size(batch_with_memory_for(5), 32) == 4
    assert measure.find_batch_size(batch_with_memory_for(32), 32) == 32


def test_no_memory_for_one_clip_is_a_failure() -> None:
    with pytest.raises(torch.OutOfMemoryError, match="no memory for 1"):
        measure.find_batch_size(batch_with_memory_for(0), 4)


@torch.inference_mode()
def test_a_multiply_add_counts_as_two_operations() -> None:
    linear, conv = torch.nn.Linear(7, 5), torch.nn.Conv2d(4, 6, 3, padding=1, groups=2)
    assert measure.count_flop(lambda: linear(torch.ones(3, 7))) == 2 * 3 * 7 * 5
    # Each output sees two of the four channels.
    assert measure.count_flop(lambda: conv(torch.ones(1, 4, 8, 8))) == 2 * 6 * 8 * 8 * 2 * 9


@pytest.mark.parametrize(
    ("kernel", "arguments"),
    [
        ("_scaled_dot_product_flash_attention", ()),
        ("_scaled_dot_product_efficient_attention", (None, False)),
        ("_scaled_dot_product_cudnn_attention", (None, False)),
    ],
)
def test_the_attention_kernels_of_gpus_are_counted(kernel: str, arguments: tuple[Any, ...]) -> None:
    query = torch.empty(2, 3, 16, 8, device="meta", dtype=torch.bfloat16)
    work = getattr(torch.ops.aten, kernel)
    counted = measure.count_flop(lambda: work(query, query, query, *arguments))
    assert counted == 2 * (2 * 2 * 3 * 16 * 16 * 8)


@pytest.mark.parametrize(
    ("name", "bf16_tflops"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
    ],
)
def test_the_peak_of_a_gpu(name: str, bf16_tflops: float) -> None:
    peak = find_peak(name)
    assert peak is not None
    assert peak.bf16 == pytest.approx(bf16_tflops * 1e12)
    assert peak.tf32 < peak.bf16


@pytest.mark.parametrize(
    "name", ["NVIDIA GH200 480GB", "NVIDIA H200 MIG 1g.18gb", "NVIDIA GeForce RTX 4090", "the CPU"]
)
def test_an_unknown_gpu_has_no_peak(name: str) -> None:
    assert find_peak(name) is None


def test_the_busy_share_is_the_mean_of_the_readings() -> None:
    percents = iter([90, *[20, 60] * 1000])
    busy = BusyShare(lambda: next(percents))
    with busy.sampled():
        time.sleep(0.35)
    # An even or an odd number of them; the first one, of the time before, does not count.
    assert busy.share is not None
    assert 0.2 <= busy.share <= 0.4
    assert busy.missing is None


def test_without_readings_there_is_a_reason() -> None:
    busy = BusyShare.of_device(torch.device("cpu"))
    with busy.sampled():
        pass
    assert (busy.share, busy.missing) == (None, "no GPU")


def test_yamnet_has_the_published_number_of_parameters() -> None:
    network = YamnetShapes()
    layers = [layer for layer in network.layers if isinstance(layer, ConvNormRelu)]
    weights = sum(layer.conv.weight.numel() for layer in layers)
    weights += sum(each.numel() for each in network.classifier.parameters())
    # Offset, mean and variance a channel: its batch norm has no scale.
    channels = sum(layer.norm.num_features for layer in layers)
    assert weights + 3 * channels == 3_751_369


def test_yamnet_tags_clips_by_the_mean_of_patches() -> None:
    waveforms = torch.randn(2, 2 * BANDS.sample_rate_hz, generator=torch.Generator().manual_seed(1))
    # 198 frames of 25 ms every 10 ms; patches of 96 that overlap by half.
    assert log_mel_patches(waveforms).shape == (2, 3, 96, 64)
    network = YamnetShapes().eval()
    tags = tag_clips(network, waveforms)
    assert tags.shape == (2, 521)
    torch.testing.assert_close(tags[1:], tag_clips(network, waveforms[1:]))
