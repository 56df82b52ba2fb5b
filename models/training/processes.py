"""Several processes that train one network: each takes a share of every batch, and all take the same step."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function

from models.training.dataset import Rows


@dataclass(frozen=True, slots=True)
class Processes:
    """Which of how many this one is."""

    rank: int = 0
    count: int = 1

    def share(self, rows: Rows) -> Rows:
        """What this process computes of a batch."""
        return rows[self.rank :: self.count]

    def add(self, network: nn.Module, *figures: float) -> list[float]:
        """Sum the gradients, and these figures, over all processes; every one then holds the same."""
        if self.count == 1:
            return list(figures)
        grads = [each.grad for each in network.parameters() if each.grad is not None]
        flat = [grad.reshape(-1) for grad in grads]
        everything = torch.cat([*flat, flat[0].new_tensor(figures)])
        distributed.all_reduce(everything)
        parts = torch.split(everything, [*(len(each) for each in flat), len(figures)])
        for grad, part in zip(grads, parts, strict=False):
            grad.copy_(part.view_as(grad))
        return [float(each) for each in parts[-1]]

    def fit(self, network: nn.Module) -> None:
        """Let BatchNorm see the whole batch, not this process's share of it."""
        if self.count > 1:
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - no public name
                    module.__class__ = SharedNorm


def joined(device: torch.device) -> Processes:
    """This process among those the launcher started."""
    if "RANK" not in os.environ:
        return Processes()
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(distributed.get_rank(), distributed.get_world_size())


class SharedNorm(nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
    """BatchNorm with the statistics of all processes; torch's own needs a GPU."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Whatever it was before."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalised over all but the second axis, in all processes."""
        if not self.training:
            return super().forward(input)
        axes = [at for at in range(input.dim()) if at != 1]
        shape = [-1 if at == 1 else 1 for at in range(input.dim())]
        count = input.new_full((1,), input.numel() / input.shape[1])
        sums = _summed(torch.cat([input.sum(axes), count]))
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = input - mean.view(shape)
        variance = _summed((centred**2).sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = (self.weight * torch.rsqrt(variance + self.eps)).view(shape)
        return torch.addcmul(self.bias.view(shape), centred, scale)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def _summed(values: Tensor) -> Tensor:
    found: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return found


class _Sum(Function):
    """The sum over all processes, and of its gradients on the way back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        values = values.clone()
        distributed.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient
