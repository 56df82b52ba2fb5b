"""Training as a generator of reports: whoever iterates decides what is done with them, and when to stop."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import Diverged, OutOfMemory
from models.memory import exhausted
from models.training import judging, metrics
from models.training.dataset import Dataset, Rows
from models.training.loss import Loss, loss_for
from models.training.normaliser import Normaliser, fit
from models.training.optimiser import Optimiser
from models.training.processes import Processes
from models.training.schedules import momentum, rate
from models.training.split import Split

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.families.kinds import AnyNetwork
    from models.settings.training import TrainingSettings

EVALUATION_ROWS = 256  # a pass
State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Report:
    """After an epoch."""

    epoch: int  # from 1
    loss: float  # of the training rows, while they were learned
    figures: dict[str, float]  # of the validation rows, with the averaged weights
    learning_rate: float
    duration_s: float


@dataclass(slots=True, eq=False)
class Training:
    """Networks, optimiser and how far they are; iterate over `run`, then ask `evaluate`.

    All that is left to chance follows from the seed and the epoch, so that a training that goes on from
    `state` ends as one that was never interrupted.
    """

    data: Dataset
    parts: Split
    network_settings: "AnyNetwork"
    settings: "TrainingSettings"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    processes: Processes = field(default_factory=Processes)
    stop: Callable[[], bool] = lambda: False  # asked after every step
    network: nn.Module = field(init=False)
    average: nn.Module = field(init=False)
    normaliser: Normaliser = field(init=False)
    history: list[Report] = field(init=False, default_factory=list)
    best_epoch: int = field(init=False, default=0)
    stopped: bool = field(init=False, default=False)
    _best: State = field(init=False, default_factory=dict)
    _best_loss: float = field(init=False, default=math.inf)
    _steps: int = field(init=False, default=0)
    _optimiser: Optimiser = field(init=False)
    _loss: Loss = field(init=False)
    # To gather them anew takes longer than to use them.
    _weights: list[Tensor] = field(init=False)
    _averages: list[Tensor] = field(init=False)
    _figures_of_norms: tuple[list[Tensor], list[Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.network = self.data.family.build(self.network_settings).to(self.device)
        self.average = copy.deepcopy(self.network)
        self.processes.fit(self.network)
        self.normaliser = fit(self.data.labels.exact(self.parts.train))
        self._weights = list(self.network.parameters())
        self._averages = list(self.average.parameters())
        self._figures_of_norms = (list(self.average.buffers()), list(self.network.buffers()))
        self._optimiser = Optimiser(
            self._weights, self.settings.optimiser,
            rate=self.settings.learning_rate, decay=self.settings.weight_decay,
        )  # fmt: skip
        self._loss = self._new_loss()

    def start_from(self, weights: State, normaliser: Normaliser | None = None) -> list[str]:
        """Begin with these weights wherever they fit, and say which did not."""
        own = self.network.state_dict()
        fits = {
            name: value
            for name, value in weights.items()
            if name in own and own[name].shape == value.shape
        }
        for network in (self.network, self.average):
            network.load_state_dict(fits, strict=False)
        self.normaliser = normaliser or self.normaliser
        self._loss = self._new_loss()
        return [name for name, _ in self.network.named_parameters() if name not in fits]

    def run(self) -> Iterator[Report]:
        """One report an epoch. Raises: Diverged, OutOfMemory."""
        if not self.settings.epochs:
            self._validated(0, 0.0)  # what it goes on from is all there is
        for epoch in range(len(self.history) + 1, self.settings.epochs + 1):
            if self._patience_is_over():
                break
            start = time.perf_counter()
            try:
                loss = self._epoch(epoch)
                if self.stopped:
                    break
                figures = self._validated(epoch, loss)
            except (MemoryError, RuntimeError) as error:
                raise (_no_room(self.settings) if exhausted(error) else error) from error
            duration_s = time.perf_counter() - start
            report = Report(epoch, loss, figures, self._optimiser.rate, duration_s)
            self.history.append(report)
            yield report
        self.settle()

    def settle(self) -> None:
        """Take the weights of the best epoch for the averaged ones, which answer; the first may have none yet."""
        if self._best:
            self.average.load_state_dict(self._best)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "best": self._best,
            "best_epoch": self.best_epoch,
            "best_loss": self._best_loss,
            "optimiser": self._optimiser.state(),
            "steps": self._steps,
            "history": [asdict(report) for report in self.history],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.restore(state["optimiser"])
        self._best = state["best"]
        self.best_epoch, self._best_loss = state["best_epoch"], state["best_loss"]
        self._steps = state["steps"]
        self.history = [Report(**report) for report in state["history"]]

    @property
    def ready(self) -> bool:
        """Whether there are weights to answer with."""
        return bool(self._best)

    @property
    def best_loss(self) -> float:
        """Loss of the validation rows in the epoch whose weights are kept."""
        return self._best_loss

    def evaluate(self, rows: Rows) -> dict[str, float]:
        """Figures of these rows; of several targets the mean over them."""
        if not len(rows):
            return {}
        return self.figures(rows, self.answers(rows))

    def answers(self, rows: Rows) -> metrics.Values:
        """Denormalised answers of the averaged network; of a classifier the probability of the last class."""
        return self._told(self._outputs(rows))

    def figures(self, rows: Rows, answers: metrics.Values) -> dict[str, float]:
        """Of these answers, whoever gave them."""
        return judging.figures(
            judging.beside(self.data, rows, answers),
            classifies=self._loss.classifies,
            properties=self.data.properties,
        )

    def _told(self, outputs: Tensor) -> metrics.Values:
        if self._loss.classifies:
            return outputs.softmax(1)[:, -1:].double().numpy()
        return self.normaliser.values(outputs).double().numpy()

    def _outputs(self, rows: Rows) -> Tensor:
        self.average.eval()
        found = []
        with torch.inference_mode():
            for some in np.array_split(rows, -(-len(rows) // EVALUATION_ROWS)):
                batch, _ = self.data.batch(some)
                found.append(self.average(batch.to(self.device)).values.cpu())
        return torch.cat(found)

    def _validated(self, epoch: int, loss: float) -> dict[str, float]:
        """Figures of the validation rows; the averaged weights are kept when they are the best so far."""
        rows, figures = self.parts.val, {}
        if len(rows):
            outputs = self._outputs(rows)
            loss = self._loss(outputs, rows).item() / max(self._loss.weight(rows), 1e-12)
            figures = {**self.figures(rows, self._told(outputs)), "loss": loss}
        if self.settings.keep == "last" or not len(rows) or loss < self._best_loss:
            self._best = {name: value.clone() for name, value in self.average.state_dict().items()}
            self.best_epoch, self._best_loss = epoch, loss
        return figures

    def _patience_is_over(self) -> bool:
        patience = self.settings.patience
        waited = len(self.history) - self.best_epoch
        return patience is not None and bool(len(self.parts.val)) and waited >= patience

    def _epoch(self, epoch: int) -> float:
        """The mean loss of the steps, up to where it was stopped."""
        self.network.train()
        torch.manual_seed(_mixed(self.seed, epoch, self.processes.rank))  # of dropout
        chance = np.random.default_rng((self.seed, epoch))
        total = 0.0
        for rows in self.data.shuffled(self.parts.train, self.settings.batch_size, chance):
            self._set_rate()
            loss = self._step(rows)
            if self.stopped:
                break
            if not math.isfinite(loss):
                raise _diverged(epoch, self.settings)
            total += loss * len(rows)
        return total / len(self.parts.train)

    def _step(self, rows: Rows) -> float:
        """The loss, and whether to stop, are what all processes say together."""
        mine = self.processes.share(rows)
        batch, _ = self.data.batch(mine)
        outputs = self.network(batch.to(self.device)).values
        loss = self._loss(outputs, mine) / max(self._loss.weight(rows), 1e-12)
        loss = loss + _penalty(self.network, self.processes.count)
        for each in self._weights:
            each.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        summed, stopped = self.processes.add(self.network, loss.item(), self.stop())
        _clip(self._weights, self.settings.clip)
        self._optimiser.step()
        self._steps += 1
        self._follow()
        self.stopped = stopped > 0
        return summed

    def _set_rate(self) -> None:
        per_epoch = max(1, len(self.parts.train) // self.settings.batch_size)
        done = min(1.0, self._steps / max(1, per_epoch * self.settings.epochs - 1))
        self._optimiser.rate = rate(self.settings, done)
        self._optimiser.momentum = momentum(self.settings, done)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights towards the present ones; BatchNorm's figures are averages already."""
        # An average over more steps than there were would be one over the weights of the beginning.
        share = 1 - min(self.settings.average, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._averages, self._weights, share)
        torch._foreach_copy_(*self._figures_of_norms)

    def _new_loss(self) -> Loss:
        return loss_for(
            self.data.labels, self.parts.train, self.normaliser, self.settings,
            classifies=getattr(self.network_settings, "task", "") == "classification",
        )  # fmt: skip


@torch.no_grad()
def _clip(weights: list[Tensor], limit: float) -> None:
    """As torch's clip_grad_norm_ does, in a tenth of the calls."""
    gradients = [each.grad for each in weights if each.grad is not None]
    norm = torch.cat([each.reshape(-1) for each in gradients]).norm()
    torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1))


def _penalty(network: nn.Module, processes: int) -> Tensor | float:
    """What a network wants to be kept small, each process's share of it."""
    penalty = getattr(network, "penalty", None)
    return penalty() / processes if penalty else 0.0


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _diverged(epoch: int, settings: "TrainingSettings") -> Diverged:
    return Diverged(
        f"The loss is no finite number any more in epoch {epoch}.",
        place=f"epoch {epoch}",
        expected="a finite loss",
        got="infinite or no number",
        hint=f"Lower learning_rate ({settings.learning_rate:g}) or clip ({settings.clip:g}).",
    )


def _no_room(settings: "TrainingSettings") -> OutOfMemory:
    return OutOfMemory(
        f"A batch of {settings.batch_size} structures does not fit into memory.",
        got=f"batch_size {settings.batch_size}",
        hint="Set a smaller batch_size, or a narrower network.",
    )
