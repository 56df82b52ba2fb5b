"""Our own steps, held against torch's."""

import io
from typing import Any

import pytest
import torch
from torch import Tensor

from models.training.optimiser import Kind, Optimiser

THEIRS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def weights() -> list[Tensor]:
    chance = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=chance) for shape in ((3, 4), (4,), (2, 2))]


def theirs(kind: Kind, mine: list[Tensor]) -> torch.optim.Optimizer:
    usual: dict[str, Any] = {"momentum": 0.9} if kind == "sgd" else {}
    return THEIRS[kind](mine, lr=0.1, weight_decay=0.03, fused=True, **usual)  # type: ignore[no-any-return]


def set_rate(optimiser: torch.optim.Optimizer, rate: float, momentum: float) -> None:
    [group] = optimiser.param_groups
    group["lr"] = rate
    if "betas" in group:
        group["betas"] = (momentum, 0.999)
    else:
        group["momentum"] = momentum


def give_gradients(both: tuple[list[Tensor], list[Tensor]], step: int) -> None:
    """To the last weight in every other step alone."""
    chance = torch.Generator().manual_seed(step)
    for number, pair in enumerate(zip(*both, strict=True)):
        gradient = torch.randn(pair[0].shape, generator=chance)
        for weight in pair:
            weight.grad = None if number == 2 and step % 2 else gradient.clone()


@pytest.mark.parametrize("kind", THEIRS)
def test_its_steps_are_those_of_torch_and_go_on_from_theirs(kind: Kind) -> None:
    mine, other = weights(), weights()
    reference = theirs(kind, other)
    ours = Optimiser(mine, kind, rate=0.1, decay=0.03)
    for step in range(12):
        if step == 6:  # another process goes on, from what torch's has left
            file = io.BytesIO()
            torch.save(reference.state_dict(), file)
            file.seek(0)
            ours = Optimiser(mine, kind, rate=0.1, decay=0.03)
            ours.restore(torch.load(file, weights_only=True))
        ours.rate, ours.momentum = 0.1 / (1 + step), 0.85 + step / 100
        set_rate(reference, ours.rate, ours.momentum)
        give_gradients((mine, other), step)
        ours.step()
        reference.step()
        assert all(map(torch.equal, mine, other)), step


@pytest.mark.parametrize("kind", THEIRS)
def test_what_goes_on_from_its_state_ends_as_one_that_was_never_interrupted(kind: Kind) -> None:
    mine, other = weights(), weights()
    unbroken, broken = (Optimiser(each, kind, rate=0.1) for each in (mine, other))
    for step in range(8):
        if step == 4:
            state = broken.state()
            broken = Optimiser(other, kind, rate=0.1)
            broken.restore(state)
        give_gradients((mine, other), step)
        unbroken.step()
        broken.step()
    assert all(map(torch.equal, mine, other))
