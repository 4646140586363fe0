"""Gradients of a global batch are the same in 1, 2 and 3 processes, whole and in chunks.

The batch has 8 clips, so three processes hold 3, 3 and 2 of them; the text tower has dropout, which
must draw the same in both passes over a chunk.
"""

import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn import functional as F

from training import distributed, grad_cache, losses

CLIPS, SOUND, WORDS, DIM = 8, 6, 5, 4
LOSSES = ("info_nce", "sigmoid")


class Towers(nn.Module):
    """Two small towers, a scale and a bias, in double precision."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.audio = nn.Sequential(nn.Linear(SOUND, DIM), nn.Tanh(), nn.Linear(DIM, DIM))
        self.text = nn.Sequential(nn.Linear(WORDS, DIM), nn.Dropout(dropout), nn.Linear(DIM, DIM))
        self.logit_scale = nn.Parameter(torch.tensor(1.5))
        self.bias = nn.Parameter(torch.tensor(-1.0))
        self.double()

    def embed(self, rows: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        sounds, captions = rows
        return F.normalize(self.audio(sounds), dim=1), F.normalize(self.text(captions), dim=1)

    def loss_of(self, name: str, same: Tensor) -> grad_cache.Loss:
        def loss(audio: Tensor, text: Tensor) -> Tensor:
            scale = self.logit_scale.exp()
            if name == "info_nce":
                return losses.info_nce(audio, text, scale, false_negatives=same)
            return losses.sigmoid_loss(audio, text, scale, self.bias, same)

        return loss


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Sounds, captions, and the clips of which 0 and 5 are the same."""
    random = torch.Generator().manual_seed(1)
    sounds = torch.randn(CLIPS, SOUND, generator=random, dtype=torch.float64)
    captions = torch.randn(CLIPS, WORDS, generator=random, dtype=torch.float64)
    clips = torch.arange(CLIPS)
    clips[5] = 0
    return sounds, captions, clips


def gradients(name: str, size: int, rank: int, world: int) -> dict[str, Tensor]:
    """The averaged loss and gradients of one step, this process holding its rows."""
    towers = Towers()
    sounds, captions, clips = batch()
    mine = torch.arange(CLIPS).tensor_split(world)[rank]
    same = clips[mine][:, None] == clips[None, :]
    parts = [(sounds[rows], captions[rows]) for rows in mine.split(size)]
    loss, _, _ = grad_cache.grad_cache_backward(
        towers, parts, towers.embed, towers.loss_of(name, same)
    )
    distributed.average_gradients(towers.parameters())
    gradients = {key: p.grad for key, p in towers.named_parameters() if p.grad is not None}
    return {**gradients, "loss": torch.tensor(distributed.sum_over_ranks(float(loss)) / world)}


def unlike_gradients(rank: int) -> list[Tensor | None]:
    """The averages where the first process has gradients of two parameters, others of none."""
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    if rank == 0:
        parameters[0].grad = torch.tensor([6.0, 12.0])
        parameters[1].grad = torch.tensor([float("nan"), 1.0])
    distributed.average_gradients(parameters)
    return [parameter.grad for parameter in parameters]


def process(rank: int, world: int, port: int, folder: str) -> None:
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
    torch.save(unlike_gradients(rank), f"{folder}/unlike-{world}-{rank}.pt")
    found = {
        f"{name}/{size}": gradients(name, size, rank, world) for name in LOSSES for size in (2, 8)
    }
    if rank == world - 1:
        torch.save(found, f"{folder}/{world}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found_by_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the processes of two and of three found."""
    folder = tmp_path_factory.mktemp("gradients")
    for world in (2, 3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        torch.multiprocessing.spawn(process, (world, port, str(folder)), nprocs=world)
    return folder


@pytest.fixture(scope="module")
def by_world(found_by_all: Path) -> dict[int, dict[str, dict[str, Tensor]]]:
    """What the last process of two and of three found."""
    return {world: torch.load(found_by_all / f"{world}.pt", weights_only=True) for world in (2, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_a_gradient_of_one_process_alone_is_averaged_in_all(found_by_all: Path, world: int) -> None:
    """What is not finite in one is so in all, and a parameter without any gradient keeps none."""
    for rank in range(world):
        own, not_finite, none = torch.load(
            found_by_all / f"unlike-{world}-{rank}.pt", weights_only=True
        )
        torch.testing.assert_close(own, torch.tensor([6.0, 12.0]) / world)
        assert not_finite.isnan().tolist() == [True, False]
        assert none is None


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_of_any_number_of_processes_whole_and_in_chunks(
    name: str, by_world: dict[int, dict[str, dict[str, Tensor]]]
) -> None:
    alone = gradients(name, CLIPS, 0, 1)
    assert alone["logit_scale"].abs() > 1e-3
    others = {
        f"{world}/{size}": by_world[world][f"{name}/{size}"] for world in (2, 3) for size in (2, 8)
    }
    others["1/2"] = gradients(name, 2, 0, 1)
    for way, found in others.items():
        assert found.keys() == alone.keys()
        for key, gradient in found.items():
            torch.testing.assert_close(
                gradient,
                alone[key],
                atol=1e-12,
                rtol=1e-9,
                msg=lambda m, w=way, k=key: f"{w} {k}: {m}",
            )


@pytest.mark.parametrize("name", LOSSES)
def test_local_negatives_alone_would_give_other_gradients(name: str) -> None:
    """The comparison above can fail: half a batch has other gradients than the whole."""
    sounds, captions, _ = batch()
    whole = gradients(name, CLIPS, 0, 1)["audio.0.weight"]
    towers = Towers()
    none = torch.zeros(4, 4, dtype=torch.bool)
    half = [(sounds[:4], captions[:4])]
    grad_cache.grad_cache_backward(towers, half, towers.embed, towers.loss_of(name, none))
    assert not torch.allclose(whole, towers.audio[0].weight.grad, rtol=1e-2)


def test_dropout_draws_the_same_in_both_passes() -> None:
    """Of two passes that drew differently, the gradient would not be that of the loss reported."""
    sounds, captions, clips = batch()
    same = clips[:, None] == clips[None, :]
    towers = Towers(dropout=0.5)
    parts = [(sounds[rows], captions[rows]) for rows in torch.arange(CLIPS).split(3)]
    torch.manual_seed(3)
    loss, _, _ = grad_cache.grad_cache_backward(
        towers, parts, towers.embed, towers.loss_of("info_nce", same)
    )
    chunked = {key: p.grad.clone() for key, p in towers.named_parameters() if p.grad is not None}
    towers.zero_grad()
    torch.manual_seed(3)
    embedded = [towers.embed(part) for part in parts]
    audio, text = (torch.cat(each) for each in zip(*embedded, strict=True))
    at_once = towers.loss_of("info_nce", same)(audio, text)
    at_once.backward()
    torch.testing.assert_close(loss, at_once.detach())
    for key, gradient in chunked.items():
        torch.testing.assert_close(gradient, towers.get_parameter(key).grad, msg=key)


def test_chunks_count_once_in_batch_norms_statistics() -> None:
    norm = nn.BatchNorm1d(SOUND)
    tower = nn.Sequential(norm, nn.Linear(SOUND, DIM))
    once = nn.BatchNorm1d(SOUND)
    rows = torch.randn(CLIPS, SOUND, generator=torch.Generator().manual_seed(0)).split(4)
    same = torch.eye(CLIPS, dtype=torch.bool)

    def embed(part: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(tower(part), dim=1), F.normalize(part[:, :DIM], dim=1)

    def loss(audio: Tensor, text: Tensor) -> Tensor:
        return losses.info_nce(audio, text, torch.tensor(5.0), false_negatives=same)

    grad_cache.grad_cache_backward(tower, rows, embed, loss)
    for part in rows:
        once(part)
    torch.testing.assert_close(norm.running_mean, once.running_mean)
    torch.testing.assert_close(norm.running_var, once.running_var)
