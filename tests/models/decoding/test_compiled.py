"""The compiled decoder writes what the plain one writes, and compiles once for all batches."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from curation.errors import InputError
from curation.models.captioners.base import Candidate
from curation.models.captioners.tag_guided import TagGuided
from curation.models.decoding.cached import decode
from curation.models.decoding.compiled import CompiledDecoder
from curation.models.decoding.next_token import Decoded, gumbel_noise
from curation.models.networks.tag_guided_captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.word_tokenizer import word_tokenizer
from curation.schema import Failure, Tag
from tests.models.networks.test_tag_guided_captioner import LONGER, encoded
from tests.support.tiny_networks import CAPTIONS, tiny_captioner

WORDS = len(word_tokenizer(CAPTIONS, 20))
COMPILER = os.environ.get("CXX", "g++")
NO_GPU = "no GPU here to record a CUDA graph on"
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)),
]
# Beams and samples: all candidates at once, and those of adaptive drawing's two draws.
DRAWS = [(3, 2), (3, 0), (0, 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny captioner's directory."""
    folder = tmp_path_factory.mktemp("captioner")
    tiny_captioner("memory", decoder_layers=1).save_pretrained(folder)
    word_tokenizer(CAPTIONS, 20).save_pretrained(folder)
    return folder


def on(device: str, whole: EncoderOutput, clips: int) -> EncoderOutput:
    """The first clips of a batch."""
    first = whole.take(torch.arange(clips))
    return EncoderOutput(**{name: part.to(device) for name, part in first.items()})


def captions(
    decoder: Callable[..., Any], whole: EncoderOutput, beams: int, samples: int
) -> list[Decoded]:
    """All captions of a batch, beams first."""
    clips = len(whole.last_hidden_state)
    noise = gumbel_noise(range(clips), samples, LONGER, WORDS) if samples else None
    best, sampled = decoder(whole, beams, noise, 0.7, LONGER)
    assert len(best) == (clips if beams else 0)
    assert len(sampled) == clips
    return [*best, *(one for clip in sampled for one in clip)]


def need_same(told: list[Decoded], expected: list[Decoded]) -> None:
    assert [one.ids for one in told] == [one.ids for one in expected]
    log_probs = [one.log_prob for one in expected]
    assert [one.log_prob for one in told] == pytest.approx(log_probs, abs=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_fixed_shapes_write_the_same(eager: TagGuidedCaptioner, device: str) -> None:
    whole = encoded(eager)
    model = eager.to(device)
    decoder = CompiledDecoder(model)
    with torch.compiler.set_stance("force_eager"):
        # Twice, as on a GPU another batch has lain in the same memory by then.
        for clips in (5, 1, 5):
            batch = on(device, whole, clips)
            for draw in DRAWS:
                expected = captions(partial(decode, model), batch, *draw)
                need_same(captions(decoder.decode, batch, *draw), expected)
    assert len({len(one.ids) for one in expected}) > 2, "captions end together: little is compared"


def test_it_ends_when_all_captions_have_ended(eager: TagGuidedCaptioner) -> None:
    steps: list[int] = []
    eager.decoder.norm.register_forward_hook(lambda _, inputs, __: steps.append(1))
    with torch.compiler.set_stance("force_eager"):
        told = captions(CompiledDecoder(eager).decode, on("cpu", encoded(eager), 1), 1, 0)
    words = len(told[0].ids) + 1
    assert words <= len(steps) <= words + 3 < LONGER


def test_one_compiled_step_serves_batches_of_all_sizes() -> None:
    model = tiny_captioner("additive", decoder_layers=1)
    counter = CompileCounterWithBackend("eager")
    decoder = CompiledDecoder(model, counter)
    whole = encoded(model)
    for clips in (5, 1, 40):
        batch = whole.take(torch.arange(clips) % 5)
        for draw in DRAWS:
            captions(decoder.decode, batch, *draw)
    # One more, as a size that equals one of the model's is first taken for it.
    assert counter.frame_count <= 2


@pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason=f"no C++ compiler ({COMPILER}), which a CPU's code wants"
)
def test_a_compiling_adapter_writes_the_same_captions(
    folder: Path, waveforms: list[np.ndarray]
) -> None:
    guidance = [[Tag("/m/0bt9lr", "Dog", 1.0)], [], *[[Tag("/m/06mb1", "Rain", 0.5)]] * 6]
    told = [
        TagGuided(str(folder), device="cpu", max_tokens=10, compile=compiled).caption(
            waveforms, guidance, range(8)
        )
        for compiled in (False, True)
    ]
    for plain, compiled in zip(*told, strict=True):
        assert isinstance(plain, list) and isinstance(compiled, list)
        assert words(compiled) == words(plain)
        log_probs = [one.log_prob for one in plain]
        assert [one.log_prob for one in compiled] == pytest.approx(log_probs, abs=1e-4)
    assert len({words(result)[0] for result in told[0]}) > 1


def words(result: list[Candidate] | Failure) -> list[tuple[str, str]]:
    assert isinstance(result, list)
    return [(one.method, one.caption) for one in result]


def test_where_it_cannot_be_compiled_the_error_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> NoReturn:
        raise RuntimeError("no compiler to be found")

    broken = partial(CompiledDecoder, backend=missing)
    monkeypatch.setattr("curation.models.captioners.writer.CompiledDecoder", broken)
    with pytest.raises(InputError, match=r"no compiler to be found.*g\+\+.*leave compile out"):
        TagGuided(str(folder), compile=True).setup()
