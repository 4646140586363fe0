"""Muon's update is nearly orthogonal, by kernel as by matrix, and it descends."""

import torch

from training.muon import Muon, orthogonalise


def test_singular_values_are_near_one() -> None:
    random = torch.Generator().manual_seed(0)
    for shape in ((2, 16, 90), (2, 90, 16), (1, 32, 32)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=random)))
        assert values.max() < 1.3, values
        assert values.median() > 0.6, values


def test_singular_vectors_are_kept() -> None:
    matrix = torch.randn(1, 12, 40, generator=torch.Generator().manual_seed(1))
    u, _, vh = torch.linalg.svd(matrix[0], full_matrices=False)
    core = u.T @ orthogonalise(matrix)[0] @ vh.T
    torch.testing.assert_close(core, torch.diag(core.diagonal()), atol=1e-4, rtol=0)


def test_parameters_of_one_shape_step_as_each_alone() -> None:
    random = torch.Generator().manual_seed(2)
    start = [torch.randn(8, 4, 3, 3, generator=random) for _ in range(2)]
    gradients = [torch.randn(8, 4, 3, 3, generator=random) for _ in range(2)]

    def stepped(indices: list[int]) -> list[torch.Tensor]:
        parameters = [torch.nn.Parameter(start[index].clone()) for index in indices]
        for parameter, index in zip(parameters, indices, strict=True):
            parameter.grad = gradients[index].clone()
        Muon(parameters).step()
        return [parameter.detach() for parameter in parameters]

    together = stepped([0, 1])
    torch.testing.assert_close(together[0], stepped([0])[0])
    torch.testing.assert_close(together[1], stepped([1])[0])


def test_finds_a_matrix() -> None:
    random = torch.Generator().manual_seed(3)
    target = torch.randn(6, 9, generator=random)
    matrix = torch.nn.Parameter(torch.zeros(6, 9))
    optimiser = Muon([matrix], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        ((matrix - target) ** 2).sum().backward()
        optimiser.step()
    assert (matrix - target).abs().max() < 0.2
