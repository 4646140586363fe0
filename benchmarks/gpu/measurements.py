"""The measurements of the GPU proof: names, labels, and the time that each may take.

Nothing here imports torch, so that the list is known at once, and without it.
"""

from typing import Literal, NamedTuple

Size = Literal["toy", "full"]

FULL_RESULT = "benchmarks/results/gpu_proof.json"
FLOP_SOURCE = (
    "torch.utils.flop_counter on the measured batch: two operations for each multiply-add of "
    "matrix products, convolutions and attention, none for anything else"
)
PEAK_SOURCE = "dense tensor core operations in peak_format as published, by secondary sources"


class Setting(NamedTuple):
    """What a measurement is given: the size of models and batches, and the device's name."""

    size: Size
    device: str = "auto"

    @property
    def is_full(self) -> bool:
        return self.size == "full"

    @property
    def clip_s(self) -> float:
        return 10.0 if self.is_full else 1.0


class Measurement(NamedTuple):
    """One measurement.

    Attributes:
        part: what `--parts` selects it by, and the module of `benchmarks.gpu` that holds it.
        name: its function there.
        label: what it is called in tables.
        limit_s: how long it may take at full size, imports included; then it is stopped.
    """

    part: str
    name: str
    label: str
    limit_s: int

    @property
    def function(self) -> str:
        return f"benchmarks.gpu.{self.part}:{self.name}"


MEASUREMENTS = (
    Measurement("captioner", "reference", "captioner: the reference model", 120),
    Measurement("captioner", "cnn14", "captioner: CNN14 and BLAT's decoder", 150),
    Measurement("captioner", "audio_llm", "captioner: Qwen2-Audio-7B's sizes, bf16", 330),
    Measurement("scorers", "clap", "scorer: CLAP (HTSAT and RoBERTa)", 150),
    Measurement("scorers", "pe_av", "scorer: PE-AV base, bf16", 150),
    Measurement("yamnet", "yamnet", "tagger: YAMNet's layer shapes", 90),
    Measurement("training", "cnn14_bert", "training: CNN14 with BERT-medium, bf16", 180),
    Measurement("training", "htsat_roberta", "training: HTSAT with RoBERTa, bf16", 180),
)
