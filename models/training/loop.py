"""Training as a generator of reports: whoever iterates decides what is done with them, and when to stop."""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.training import metrics
from models.training.dataset import Dataset, Rows
from models.training.normaliser import Normaliser, fit
from models.training.split import Split

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.families.kinds import AnyNetwork
    from models.settings.training import TrainingSettings

EVALUATION_ROWS = 256  # a pass


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
    """Networks, optimiser and the state of chance; iterate over `run`."""

    data: Dataset
    parts: Split
    network_settings: "AnyNetwork"
    settings: "TrainingSettings"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    network: nn.Module = field(init=False)
    average: nn.Module = field(init=False)
    normaliser: Normaliser = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.settings.seed)
        self.network = self.data.family.build(self.network_settings).to(self.device)
        self.average = copy.deepcopy(self.network)
        self.normaliser = fit(self._labels(self.parts.train))

    def run(self) -> Iterator[Report]:
        """One report an epoch."""
        chance = np.random.default_rng(self.settings.seed)
        steps = max(1, len(self.parts.train) // self.settings.batch_size) * self.settings.epochs
        optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.settings.learning_rate, steps, pct_start=self.settings.warm_up
        )
        for epoch in range(1, self.settings.epochs + 1):
            start = time.perf_counter()
            loss = self._epoch(optimiser, schedule, chance)
            figures = self.evaluate(self.parts.val)
            rate = float(schedule.get_last_lr()[0])
            yield Report(epoch, loss, figures, rate, time.perf_counter() - start)

    def evaluate(self, rows: Rows) -> dict[str, float]:
        """Figures of these rows; of several targets the mean over them."""
        if not len(rows):
            return {}
        answers, labels = self.answers(rows), self._labels(rows)
        figure = metrics.classification if self._classifies else metrics.regression
        each = [figure(answers[:, at], labels[:, at]) for at in range(labels.shape[1])]
        return {
            name: float(np.mean([one[name] for one in each if name in one])) for name in each[0]
        }

    def answers(self, rows: Rows) -> metrics.Values:
        """Denormalised answers of the averaged network; of a classifier the probability of the last class."""
        self.average.eval()
        found = []
        with torch.inference_mode():
            for some in np.array_split(rows, -(-len(rows) // EVALUATION_ROWS)):
                batch, _ = self.data.batch(some)
                outputs = self.average(batch.to(self.device)).values.cpu()
                if self._classifies:
                    found.append(outputs.softmax(1)[:, -1:])
                else:
                    found.append(self.normaliser.values(outputs))
        return torch.cat(found).double().numpy()

    @property
    def _classifies(self) -> bool:
        return getattr(self.network_settings, "task", "") == "classification"

    def _labels(self, rows: Rows) -> metrics.Values:
        return self.data.labels.values[self.data.labels.places(rows)]

    def _epoch(
        self,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        chance: np.random.Generator,
    ) -> float:
        self.network.train()
        total = 0.0
        for rows in self.data.shuffled(self.parts.train, self.settings.batch_size, chance):
            loss = self._step(rows, optimiser)
            schedule.step()
            self._follow()
            total += loss * len(rows)
        return total / len(self.parts.train)

    def _step(self, rows: Rows, optimiser: torch.optim.Optimizer) -> float:
        batch, labels = self.data.batch(rows)
        outputs = self.network(batch.to(self.device)).values
        loss = self._loss(outputs, labels.to(self.device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        optimiser.step()
        return loss.item()

    def _loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        known = torch.isfinite(labels)
        if self._classifies:
            return F.cross_entropy(outputs[known[:, 0]], labels[known].long())
        wanted = self.normaliser.normalised(labels.cpu()).to(outputs.device)[known]
        if self.settings.loss == "squared":
            return F.mse_loss(outputs[known], wanted)
        return F.l1_loss(outputs[known], wanted)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights towards the present ones; BatchNorm's figures are averages already."""
        share = 1 - self.settings.average
        ours: list[Tensor] = list(self.average.parameters())
        theirs: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(ours, theirs, share)
        for mine, other in zip(self.average.buffers(), self.network.buffers(), strict=True):
            mine.copy_(other)
