"""The steps of torch's optimisers, without torch.optim: that loads a compiler, which takes as long as torch itself."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["adamw", "adam", "sgd"]

SQUARES = 0.999  # share of the last squares kept
EPSILON = 1e-8
# As torch.optim calls them: what it has left can be gone on from.
ADAM, SGD = ("exp_avg", "exp_avg_sq", "step"), ("momentum_buffer",)


class Optimiser:
    """Moves weights against their gradients; `rate` and `momentum` may be others in every step."""

    def __init__(
        self,
        weights: Iterable[Tensor],
        kind: Kind = "adamw",
        *,
        rate: float,
        decay: float = 0.01,
        momentum: float = 0.9,
    ) -> None:
        self.kind = kind
        self.rate = rate
        self.decay = decay
        self.momentum = momentum
        self._weights = list(weights)
        self._kept = [
            {
                name: weight.new_zeros(() if name == "step" else weight.shape)
                for name in (SGD if kind == "sgd" else ADAM)
            }
            for weight in self._weights
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Those that have a gradient."""
        pairs = zip(self._weights, self._kept, strict=True)
        used = [(weight, weight.grad, kept) for weight, kept in pairs if weight.grad is not None]
        if not used:
            return
        weights, gradients, kept = (list(each) for each in zip(*used, strict=True))
        if self.kind == "sgd":
            torch._fused_sgd_(
                weights, gradients, [each["momentum_buffer"] for each in kept],
                lr=self.rate, momentum=self.momentum, weight_decay=self.decay,
                dampening=0.0, nesterov=False, maximize=False, is_first_step=False,
            )  # fmt: skip
            return
        means, squares, steps = ([each[name] for each in kept] for name in ADAM)
        torch._foreach_add_(steps, 1)
        step = torch._fused_adamw_ if self.kind == "adamw" else torch._fused_adam_
        step(
            weights, gradients, means, squares, [], steps,
            lr=self.rate, beta1=self.momentum, beta2=SQUARES, weight_decay=self.decay,
            eps=EPSILON, amsgrad=False, maximize=False,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """All that is needed to go on."""
        return {"state": dict(enumerate(self._kept))}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for number, kept in state["state"].items():
            for name, value in kept.items():
                self._kept[number][name].copy_(value)
