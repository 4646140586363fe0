"""The contrastive losses equal their naive formulas, gradients included."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from training.losses import chance_loss, hard_negative_sigmoid, info_nce, sigmoid_loss

BATCH, WRONG, DIM = 4, 2, 3


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Seeded unit vectors in double precision, and a scale."""
    random = torch.Generator().manual_seed(0)
    shapes = ((BATCH, DIM), (BATCH, DIM), (BATCH, WRONG, DIM))
    audio, text, wrong = (
        F.normalize(torch.randn(shape, generator=random, dtype=torch.float64), dim=-1)
        for shape in shapes
    )
    return audio, text, wrong, torch.tensor(9.0, dtype=torch.float64)


def naive_info_nce(
    audio: Tensor, text: Tensor, scale: Tensor, wrong: Tensor | None, false_negatives: Tensor | None
) -> float:
    """Pair by pair."""

    def likeness(one: Tensor, other: Tensor) -> float:
        return math.exp(float(scale * (one @ other)))

    total = 0.0
    for i in range(BATCH):
        others = [
            j
            for j in range(BATCH)
            if j == i or false_negatives is None or not bool(false_negatives[i, j])
        ]
        right = likeness(audio[i], text[i])
        among = sum(likeness(audio[i], text[j]) for j in others)
        if wrong is not None:
            among += sum(likeness(audio[i], negative) for negative in wrong[i])
        clips = sum(likeness(audio[j], text[i]) for j in others)
        total -= math.log(right / among) + math.log(right / clips)
    return total / (2 * BATCH)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_info_nce_equals_naive(hard: bool, masked: bool) -> None:
    audio, text, wrong, scale = inputs()
    false_negatives = torch.eye(BATCH, dtype=torch.bool)
    false_negatives[0, 2] = false_negatives[2, 0] = True
    negatives, mask = (wrong if hard else None), (false_negatives if masked else None)
    got = float(info_nce(audio, text, scale, negatives, mask))
    assert got == pytest.approx(naive_info_nce(audio, text, scale, negatives, mask))


def test_info_nce_of_chance_is_the_log_of_the_batch() -> None:
    same = torch.ones(8, 1)
    assert float(info_nce(same, same, torch.tensor(14.0))) == pytest.approx(math.log(8))


def test_hard_negatives_are_not_held_against_other_clips() -> None:
    audio, text, wrong, scale = inputs()
    wrong.requires_grad_()
    info_nce(audio, text, scale, wrong).backward()
    changed = wrong.detach().clone()
    changed[1] = audio[0]  # what is wrong for clip 1 is right for clip 0
    audio.requires_grad_()
    [before] = torch.autograd.grad(info_nce(audio, text, scale, wrong.detach()), audio)
    [after] = torch.autograd.grad(info_nce(audio, text, scale, changed), audio)
    torch.testing.assert_close(before[0], after[0])


def test_right_or_wrong_equals_naive() -> None:
    audio, text, wrong, scale = inputs()
    bias = torch.tensor(-4.0, dtype=torch.float64)

    def sigmoid(x: Tensor) -> float:
        return 1 / (1 + math.exp(-float(x)))

    right = [sigmoid(scale * (audio[i] @ text[i]) + bias) for i in range(BATCH)]
    false = [
        sigmoid(scale * (audio[i] @ wrong[i, j]) + bias) for i in range(BATCH) for j in range(WRONG)
    ]
    expected = -sum(map(math.log, right)) / len(right)
    expected -= sum(math.log(1 - p) for p in false) / len(false)
    got = float(hard_negative_sigmoid(audio, text, wrong, scale, bias))
    assert got == pytest.approx(expected / 2)


def test_gradients() -> None:
    audio, text, wrong, scale = inputs()
    bias = torch.tensor(-4.0, dtype=torch.float64)
    variables = [x.requires_grad_() for x in (audio, text, scale, wrong)]
    false_negatives = torch.eye(BATCH, dtype=torch.bool)
    false_negatives[0, 1] = True
    assert torch.autograd.gradcheck(
        lambda a, t, s, w: info_nce(a, t, s, w, false_negatives), variables
    )
    assert torch.autograd.gradcheck(
        lambda a, t, s, w: hard_negative_sigmoid(a, t, w, s, bias), variables
    )


@pytest.mark.parametrize("masked", [False, True])
def test_sigmoid_equals_naive(masked: bool) -> None:
    audio, text, _, scale = inputs()
    bias = torch.tensor(-3.0, dtype=torch.float64)
    false_negatives = torch.eye(BATCH, dtype=torch.bool)
    false_negatives[0, 2] = false_negatives[2, 0] = True
    total = 0.0
    for i in range(BATCH):
        for j in range(BATCH):
            if masked and i != j and false_negatives[i, j]:
                continue
            logit = float(scale * (audio[i] @ text[j]) + bias)
            total += math.log(1 + math.exp(-logit if i == j else logit))
    got = float(sigmoid_loss(audio, text, scale, bias, false_negatives if masked else None))
    assert got == pytest.approx(total / BATCH)


def test_chance_is_the_least_that_a_constant_pays() -> None:
    same = torch.ones(8, 1)
    assert chance_loss("info_nce", 8) == pytest.approx(math.log(8))
    pays = [
        float(sigmoid_loss(same, same, torch.tensor(0.0), torch.tensor(bias)))
        for bias in torch.linspace(-6, 2, 801)
    ]
    assert chance_loss("sigmoid", 8) == pytest.approx(min(pays), abs=1e-4)
