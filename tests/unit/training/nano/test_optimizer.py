"""Muon against its definition, who gets which optimiser, and the running average."""

import pytest
import torch
from torch import nn

from anymask.training.nano.optimizer import Muon, WeightAverage, make_optimizer, orthogonalise


@pytest.mark.parametrize("shape", [(3, 6, 10), (2, 12, 5), (1, 7, 7)])
def test_orthogonalise_keeps_directions_and_levels_singular_values(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    result = orthogonalise(matrices)
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.3
    assert values.min() > 0.3
    # The same singular vectors: U^T X V is diagonal.
    core = u.mT @ result @ vh.mT
    torch.testing.assert_close(core, torch.diag_embed(core.diagonal(dim1=1, dim2=2)), atol=1e-4, rtol=0)


def test_muon_steps_by_the_orthogonalised_momentum():
    weight = nn.Parameter(torch.ones(4, 9))
    weight.grad = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    optimizer.step()
    first_momentum = 0.1 * weight.grad
    direction = 0.1 * weight.grad + 0.9 * first_momentum
    expected = torch.ones(4, 9) * (1 - 0.1 * 0.5) - 0.1 * 0.2 * 3 * orthogonalise(direction[None])[0]
    torch.testing.assert_close(weight.detach(), expected)


def test_one_optimizer_for_each_parameter():
    model = nn.Sequential(
        nn.Linear(40, 64), nn.LayerNorm(64), nn.Linear(64, 4), nn.Conv2d(3, 5, 2), nn.Embedding(6, 40)
    )
    hidden, decayed, plain = make_optimizer(model, 1e-3, 0.05, use_muon=True).param_groups
    assert [group["weight_decay"] for group in (hidden, decayed, plain)] == [0.05, 0.05, 0.0]
    assert [group["muon"] for group in (hidden, decayed, plain)] == [True, False, False]
    assert [id(weight) for weight in hidden["params"]] == [id(model[0].weight)]
    assert {id(weight) for weight in decayed["params"]} == {id(model[2].weight), id(model[3].weight)}
    assert len(plain["params"]) == 6 and any(weight is model[4].weight for weight in plain["params"])
    only = make_optimizer(model, 1e-3, 0.05, use_muon=False).param_groups
    assert not any(group["muon"] for group in only)
    assert sum(len(group["params"]) for group in only) == len(list(model.parameters()))


def test_what_is_no_hidden_matrix_is_stepped_as_by_adamw():
    torch.manual_seed(3)
    ours, theirs = nn.Conv2d(3, 5, 2), nn.Conv2d(3, 5, 2)
    theirs.load_state_dict(ours.state_dict())
    optimizer = make_optimizer(ours, 1e-2, 0.05, use_muon=True)
    oracle = torch.optim.AdamW(
        [{"params": [theirs.weight]}, {"params": [theirs.bias], "weight_decay": 0.0}],
        lr=1e-2,
        betas=(0.9, 0.98),
        weight_decay=0.05,
    )
    for number in range(4):
        images = torch.randn(2, 3, 6, 7)
        for model, steps in ((ours, optimizer), (theirs, oracle)):
            model(images).square().mean().backward()
            steps.step()
            steps.zero_grad()
        if number == 1:  # what is saved goes on alike
            resumed = make_optimizer(ours, 1.0, 0.0, use_muon=True)
            resumed.load_state_dict(optimizer.state_dict())
            optimizer = resumed
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()))


def test_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="must have parameters that require a gradient"):
        make_optimizer(nn.Linear(2, 3).requires_grad_(False), 1e-3, 0.0, use_muon=True)


def test_average_follows_with_a_short_memory_at_first():
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average = WeightAverage(model, decay=0.9)
    model.weight.data.fill_(1.0)
    average.update(model)
    assert average.weights["weight"].item() == pytest.approx(1 - 2 / 11)
    average.swap(model)
    assert model.weight.item() == pytest.approx(1 - 2 / 11)
    average.swap(model)
    assert model.weight.item() == 1.0
