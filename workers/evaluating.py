"""The run of an evaluation: a model judged by a data set, or trainings of growing size, as child jobs."""

from typing import Any

from models.errors import ModelError
from workers.contract import EvaluateOrder
from workers.files import Files
from workers.following import Program, give_order, result_of
from workers.jobs import Status
from workers.owning import Counts, Hold, Outcome
from workers.spreading import after_trials, first_fault, spread, trials
from workers.training import (
    MODEL,
    Machine,
    answered,
    dataset_of,
    forget,
    taken_over,
    write_result,
)
from workers.versions import catalogue_of


class Evaluator:
    """Runs evaluations and learning curves."""

    def __init__(self, files: Files, program: Program, machine: Machine) -> None:
        self.files = files
        self.program = program
        self.machine = machine

    def run(self, hold: Hold) -> Outcome | None:
        """None while the trainings of a learning curve run. Raises: Stopped, MatpropError."""
        order = EvaluateOrder.model_validate_json(hold.claim.order)
        if answered(self.files, hold.claim) is not None:
            return Outcome(Status.SUCCEEDED)
        if not order.sizes:
            return self._judge(hold, order)
        if hold.claim.children is not None:
            return self._curve(hold, order)
        taken_over(self.files, hold)
        if order.train is None:
            raise ModelError("A learning curve without a training.")
        spread(hold, [order.train.model_copy(update={"rows": size}) for size in order.sizes])
        return None

    def _judge(self, hold: Hold, order: EvaluateOrder) -> Outcome:
        folder = taken_over(self.files, hold)
        if order.model is None:
            raise ModelError("An evaluation without a model.")
        _, model = catalogue_of(self.files).get(order.model)
        give_order(
            folder,
            {
                "dataset": dataset_of(self.files, order.dataset),
                "model": str(model),
                "columns": order.columns,
                "device": self.machine.device,
                "threads": self.machine.threads,
            },
        )
        self.program.run(hold, folder, place)
        result = result_of(folder)
        if result is None:
            return Outcome(Status.CANCELLED, counts=hold.counts)
        write_result(self.files, hold, result | {"model": order.model}, folder / MODEL, None)
        return Outcome(Status.SUCCEEDED, counts=(1, 0, 1), afterwards=forget(self.files, folder))

    def _curve(self, hold: Hold, order: EvaluateOrder) -> Outcome:
        """What each size has come to; a cancelled one shows those that had ended."""
        ended = list(trials(hold, self.files))
        points: list[dict[str, Any]] = [
            {"rows": size, **trial.as_dict()}
            for size, trial in zip(order.sizes, ended, strict=True)
        ]
        stopped = hold.claim.status is Status.CANCELLING
        if not stopped and all(trial.result is None for trial in ended):
            raise first_fault(ended)
        folder = self.files.training(hold.claim.id)
        write_result(self.files, hold, {"curve": points}, folder / MODEL, None)
        return Outcome(Status.SUCCEEDED, afterwards=after_trials(hold, self.files))


def place(report: dict[str, Any]) -> Counts | None:
    """Rows judged, as far as the program tells."""
    return (report["done"], 0, report["total"]) if "done" in report else None
